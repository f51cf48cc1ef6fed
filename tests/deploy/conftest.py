"""A throwaway Postgres, and the environment that the production profile reads."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _find_postgres() -> Path:
    """Return the folder of initdb and pg_ctl; Debian keeps it off the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        pytest.skip("no Postgres server on this machine (Debian: postgresql)")
    return Path(found).parent


def _as_postgres() -> list[str]:
    """Return what goes before a command, since initdb refuses to be root."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("root cannot run Postgres and there is no user postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@dataclass(frozen=True)
class Postgres:
    """
    A Postgres of the tests' own; user dagster, password dagster.

    Parameters
    ----------
    folder
        Holds its data, sockets and log.
    port
        Of loopback.
    """

    folder: Path
    port: int

    def create(self) -> None:
        """Make an empty cluster."""
        password = self.folder / "password"
        password.write_text("dagster\n")
        if _as_postgres():
            for path in (self.folder, password):
                shutil.chown(path, "postgres")
        self._run(
            *("initdb", "--pgdata", self._data, "--username", "dagster"),
            *("--pwfile", str(password), "--auth", "scram-sha-256", "--no-sync"),
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -F"
        log = str(self.folder / "log")
        self._run(
            *("pg_ctl", "--pgdata", self._data, "-o", options, "-l", log, "-w"),
            "start",
        )

    def stop(self) -> None:
        """Stop it at once."""
        self._run("pg_ctl", "--pgdata", self._data, "-m", "immediate", "-w", "stop")

    def kill(self) -> None:
        """End it as the system does that has no memory left."""
        pid = (self.folder / "data" / "postmaster.pid").read_text().split()[0]
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *own):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(each), signal.SIGKILL)
        while any(Path(f"/proc/{each}/cmdline").exists() for each in own):
            time.sleep(0.1)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, *command: str) -> None:
        subprocess.run(
            [*_as_postgres(), str(_find_postgres() / command[0]), *command[1:]],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Give a server, started; it is gone afterwards."""
    # A private TMPDIR of root's would keep the user postgres out.
    area = "/tmp" if _as_postgres() else None
    with tempfile.TemporaryDirectory(prefix="imaging-postgres-", dir=area) as name:
        server = Postgres(Path(name), free_port())
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """Port of a Postgres of the session's own; user dagster, password dagster."""
    with running_postgres() as server:
        yield server.port


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[Postgres]:
    """A Postgres that a test may kill and start again."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def production(postgres_port, tmp_path, monkeypatch) -> Path:
    """A DAGSTER_HOME with the production dagster.yaml and its environment."""
    home = tmp_path / "dagster"
    home.mkdir()
    # Logs stand on a volume that only containers have.
    text = (DEPLOY / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(
        text.replace("base_dir: /logs", f"base_dir: {tmp_path}/logs")
    )
    for name, value in {
        "DAGSTER_HOME": str(home),
        "DAGSTER_POSTGRES_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_PORT": str(postgres_port),
        "DAGSTER_POSTGRES_USER": "dagster",
        "DAGSTER_POSTGRES_PASSWORD": "dagster",
        "DAGSTER_POSTGRES_DB": "postgres",
        "IMAGING_HOME": "/data",
        "IMAGING_REPORTS_URL": "http://localhost:3001",
        "IMAGING_BIND_PREFIXES": "/data=/srv/imaging",
        "IMAGING_NETWORK": "host",
    }.items():
        monkeypatch.setenv(name, value)
    return home
