"""Killed at any moment: the old tree or the new one, and `process` completes it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from imaging_platform.catalog.collecting import collect_records
from imaging_platform.files.digests import RECORD_NAME, digest_tree
from imaging_platform.model.layout import Home
from imaging_platform.provenance.record import read_record

from .conftest import COMMAND, run_command

pytestmark = pytest.mark.slow

KILL_AFTER_S = (4, 9, 15, 22, 30, 41, 55)


def test_a_demo_that_is_killed_again_and_again_ends_like_one_that_was_not(
    tmp_path, demo
):
    reference, _ = demo
    home = Home(tmp_path / "home")
    home.root.mkdir()
    (home.root / "keys").mkdir()
    key = reference.secret_file("demo").read_text()
    home.secret_file("demo").write_text(key)
    home.secret_file("demo").chmod(0o600)

    for seconds in KILL_AFTER_S:
        _run_and_kill(home, after_s=seconds)
        _refuse_broken_trees(home)
    ran = run_command(home, "demo", "--small", "--json")

    assert ran.exit_code == 0, ran.stdout + ran.stderr
    assert _versions(home) == _versions(reference)


def _run_and_kill(home: Home, *, after_s: float) -> None:
    process = subprocess.Popen(
        [str(COMMAND), "demo", "--small"],
        env={**os.environ, "IMAGING_HOME": str(home.root)},
        cwd=home.root.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(after_s)
    for group in _groups_below(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    process.wait()


def _groups_below(pid: int) -> set[int]:
    """Return the process groups of a process and of all that it started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(stat.parent.name)] = (int(fields[1]), int(fields[2]))
    below = {pid}
    while grown := {p for p, (parent, _) in parents.items() if parent in below} - below:
        below |= grown
    # A process that is just ending has no group any more; 0 would be our own.
    return {group for p in below if p in parents and (group := parents[p][1]) > 1}


def _refuse_broken_trees(home: Home) -> None:
    for record_file in home.root.glob("[!i]*/**/" + RECORD_NAME):
        if ".staging" in record_file.parts:
            continue
        record = read_record(record_file.parent)
        if record is not None and record.asset != "bids_dataset":
            assert digest_tree(record_file.parent) == record.data_version


def _versions(home: Home) -> dict[tuple[str, str], str]:
    records = collect_records(home.root, "demo")
    return {key: record.data_version for key, record in records.items()}
