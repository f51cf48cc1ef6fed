"""A throwaway Postgres, and the environment that the production profile reads."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """Port of a Postgres of the session's own; user dagster, password dagster."""
    binaries, prefix, port = _find_postgres(), _as_postgres(), free_port()
    # A private TMPDIR of root's would keep the user postgres out.
    area = "/tmp" if prefix else None
    with tempfile.TemporaryDirectory(prefix="imaging-postgres-", dir=area) as name:
        folder = Path(name)
        password = folder / "password"
        password.write_text("dagster\n")
        if prefix:
            for path in (folder, password):
                shutil.chown(path, "postgres")
        data = str(folder / "data")

        def run(*command: str) -> None:
            subprocess.run(
                [*prefix, str(binaries / command[0]), *command[1:]],
                check=True,
                cwd=folder,
                stdout=subprocess.DEVNULL,
            )

        run(
            *("initdb", "--pgdata", data, "--username", "dagster"),
            *("--pwfile", str(password), "--auth", "scram-sha-256", "--no-sync"),
        )
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -F"
        log = str(folder / "log")
        run("pg_ctl", "--pgdata", data, "-o", options, "-l", log, "-w", "start")
        try:
            yield port
        finally:
            run("pg_ctl", "--pgdata", data, "-m", "immediate", "-w", "stop")


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
