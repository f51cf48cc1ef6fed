"""`reprocess`, killed in the middle and called again, ends like one that was not."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time

import dagster as dg
import pytest
import yaml

from imaging_platform.assets.scope import Scope
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import Home
from imaging_platform.resources.database import find_database
from imaging_platform.settings import load_study
from imaging_platform.survey.history import read_made

from .conftest import COMMAND, run_command

pytestmark = pytest.mark.slow

WAIT_S = 300


@pytest.fixture
def home(demo, tmp_path) -> Home:
    """A copy of the demo's home in which a limit of quality was changed."""
    reference, _ = demo
    home = Home(tmp_path / "home")
    shutil.copytree(reference.root, home.root, symlinks=True)
    limit = {"name": "demo", "quality": {"n_directions": {"look": 7}}}
    write_text(home.study_file("demo"), yaml.safe_dump(limit))
    return home


def test_a_killed_reprocess_goes_on_with_its_own_backfill(home):
    before = _count_made(home, "session_quality")
    marked = run_command(home, "reprocess", "--stale", "--dry-run", "--json").json()
    process = _start(home, "reprocess", "--stale")
    _wait_for_a_result(home, before)
    _kill(process)

    again = run_command(home, "reprocess", "--stale", "--json")

    done = again.json()
    after = _count_made(home, "session_quality")
    assert again.exit_code == 0, again.stdout + again.stderr
    assert {asset for asset, _ in marked["first"]} == {"session_quality"}
    assert len(done["attached"]) == 1
    assert {key: after[key] - before[key] for key in after} == dict.fromkeys(after, 1)
    plan = run_command(home, "plan", "--json").json()[0]
    assert plan["states"]["stale"] == plan["states"]["waits"] == 0
    assert plan["costs"] == {} or plan["cells"] == []


def test_what_comes_out_the_same_stops_what_is_behind_it(home):
    write_text(home.study_file("demo"), yaml.safe_dump({"name": "demo"}))
    session = run_command(home, "plan", "--json").json()[0]
    assert session["cells"] == []
    key = next(iter(_count_made(home, "motion")))

    ran = run_command(home, "reprocess", "--select", f"motion:{key}", "--json")

    assert ran.exit_code == 0, ran.stdout + ran.stderr
    assert ran.json()["n_asked"] == 1
    assert run_command(home, "plan", "--json").json()[0]["cells"] == []


def _count_made(home: Home, asset: str) -> dict[str, int]:
    """Return how often a result was made, by session."""
    config = str(home.dagster)
    with dg.DagsterInstance.from_config(config) as instance:
        scope = Scope(load_study(home, "demo"))
        keys = read_made(find_database(instance), scope.name, asset)
        return {
            str(key): len(
                instance.fetch_materializations(
                    dg.AssetRecordsFilter(
                        scope.key(asset), asset_partitions=[str(key)]
                    ),
                    limit=100,
                ).records
            )
            for key in keys
        }


def _start(home: Home, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(COMMAND), *arguments],
        env={**os.environ, "IMAGING_HOME": str(home.root)},
        cwd=home.root.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for_a_result(home: Home, before: dict[str, int]) -> None:
    end_s = time.monotonic() + WAIT_S
    while _count_made(home, "session_quality") == before:
        assert time.monotonic() < end_s, "nothing was made"
        time.sleep(1)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and its code server with their runs, as a power cut does."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
