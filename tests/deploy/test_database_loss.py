"""The database dies in the middle of a `reprocess`: called again, it ends the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml

from imaging_platform.assets.scope import Scope
from imaging_platform.catalog.collecting import collect_records
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import Home
from imaging_platform.resources.database import find_database
from imaging_platform.settings import load_study
from imaging_platform.survey.history import read_made

from .conftest import Postgres

pytestmark = pytest.mark.slow

COMMAND = Path(sys.executable).with_name("imaging-platform")
WAIT_S = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory, postgres_server) -> Path:
    """A home whose Dagster keeps its events in Postgres, with the small demo in it."""
    root = tmp_path_factory.mktemp("made") / "home"
    set_up(root, postgres_server)
    done = run(root, "demo", "--small")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def set_up(root: Path, server: Postgres) -> None:
    folder = root / "dagster"
    folder.mkdir(parents=True)
    settings = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())
    database = {
        "hostname": "127.0.0.1",
        "port": server.port,
        "username": "dagster",
        "password": "dagster",
        "db_name": "postgres",
    }
    settings["storage"] = {"postgres": {"postgres_db": database}}
    write_text(folder / "dagster.yaml", yaml.safe_dump(settings))


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMMAND), *words],
        env={**os.environ, "IMAGING_HOME": str(root)},
        cwd=root.parent,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def count_made(root: Path) -> dict[tuple[str, str], int]:
    """Return how often each result was made."""
    home = Home(root)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        scope = Scope(load_study(home, "demo"))
        counts = {}
        for asset in ("session_quality", "session_report"):
            for key in read_made(find_database(instance), scope.name, asset):
                wanted = dg.AssetRecordsFilter(
                    scope.key(asset), asset_partitions=[str(key)]
                )
                records = instance.fetch_materializations(wanted, limit=100).records
                counts[asset, str(key)] = len(records)
        return counts


def versions(root: Path) -> dict[tuple[str, str], str]:
    records = collect_records(root, "demo")
    return {key: record.data_version for key, record in records.items()}


def change_a_limit(root: Path) -> None:
    limit = {"name": "demo", "quality": {"n_directions": {"look": 7}}}
    write_text(Home(root).study_file("demo"), yaml.safe_dump(limit))


def wait_until_gone(group: int) -> float:
    """Return after how long no process of a group is left; at most `WAIT_S`."""
    first_s = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        while (took_s := time.monotonic() - first_s) < WAIT_S:
            os.killpg(group, 0)
            time.sleep(0.5)
        os.killpg(group, signal.SIGKILL)
    return took_s


@pytest.fixture
def undisturbed(made, tmp_path) -> dict[tuple[str, str], str]:
    """Versions of the same results, where no database was killed."""
    root = tmp_path / "undisturbed"
    shutil.copytree(made, root, symlinks=True)
    shutil.rmtree(root / "dagster")
    (root / "dagster").mkdir()
    shutil.copy(Path(__file__).parents[2] / "dagster.yaml", root / "dagster")
    change_a_limit(root)
    for words in (("rebuild-index", "--study", "demo"), ("reprocess", "--stale")):
        done = run(root, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    return versions(root)


def test_a_reprocess_goes_on_after_its_database_was_killed(
    made, undisturbed, postgres_server, tmp_path
):
    change_a_limit(made)
    before = count_made(made)
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(COMMAND), "reprocess", "--stale"],
            env={**os.environ, "IMAGING_HOME": str(made)},
            cwd=made.parent,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    end_s = time.monotonic() + WAIT_S
    while count_made(made) == before:
        assert time.monotonic() < end_s, "nothing was made"
        time.sleep(0.5)
    postgres_server.kill()
    exit_code = process.wait(timeout=WAIT_S)
    left_s = wait_until_gone(process.pid)
    postgres_server.start()

    again = run(made, "reprocess", "--stale", "--json")

    assert exit_code == 1
    assert left_s < WAIT_S
    said = log.read_text()
    assert "database in which Dagster keeps its events does not answer" in said
    assert "Traceback" not in said
    assert again.returncode == 0, again.stdout + again.stderr
    after = count_made(made)
    assert max(after[key] - before[key] for key in before) == 1
    assert versions(made) == undisturbed
    assert run(made, "plan", "--json").returncode == 0
    assert run(made, "reprocess", "--stale").returncode == 0
    assert count_made(made) == after
