"""A release of the demo study: made, traced, listed, frozen, withdrawn."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest

from imaging_platform.model.layout import Home

from .conftest import COMMAND, run_command

pytestmark = pytest.mark.slow

KILL_AFTER_S = (3, 5, 6, 7, 8)


@pytest.fixture(scope="module")
def home(demo, tmp_path_factory) -> Home:
    """A copy of the demo's home."""
    reference, _ = demo
    home = Home(tmp_path_factory.mktemp("release") / "home")
    shutil.copytree(reference.root, home.root, symlinks=True)
    return home


@pytest.fixture(scope="module")
def released(home) -> dict:
    """What `share` said, called until it was not killed."""
    for seconds in KILL_AFTER_S:
        process = subprocess.Popen(
            [str(COMMAND), "share", "demo", "1.0"],
            env={**os.environ, "IMAGING_HOME": str(home.root)},
            cwd=home.root.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        process.kill()
        process.wait()
    return run_command(home, "share", "demo", "1.0", "--json").json()


def test_a_release_of_the_demo_holds_every_session_and_is_whole(home, released):
    root = home.root / "releases/demo/1.0"
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", "manifest-sha256.txt"],
        cwd=root,
        check=False,
    )

    assert {row["verdict"] for row in released["sessions"]} == {"released"}
    assert checked.returncode == 0
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) == released["n_files"]


def test_trace_and_impact_go_through_a_release(home, released):
    (image, *_) = sorted((home.root / "releases/demo/1.0").rglob("*_T1w.nii.gz"))
    session = released["sessions"][0]["session"]

    traced = run_command(home, "trace", str(image), "--json").json()
    impact = run_command(home, "impact", session, "--json").json()

    names = [node["id"] for node in traced["lineage"]["nodes"]]
    assert names[0] == "release[1.0]"
    assert any(name.startswith("drop-") for name in names)
    assert "release[1.0]" in [node["id"] for node in impact["lineage"]["nodes"]]


def test_the_plan_lists_a_release_and_what_changed_since(home, released):
    (plan,) = run_command(home, "plan", "--json").json()

    (one,) = plan["releases"]
    assert (one["version"], one["is_frozen"]) == ("1.0", True)
    assert one["digest"] == released["digest"]
    assert one["since"] == ""


def test_a_release_is_withdrawn_only_after_a_thaw(home, released):
    gone = ("share", "demo", "1.0", "--withdraw", "--reason", "an error")
    refused = run_command(home, *gone)
    thawed = run_command(home, "thaw", "demo", "--release", "1.0", "--reason", "error")
    withdrawn = run_command(home, *gone)
    again = run_command(home, "share", "demo", "1.0")

    assert refused.exit_code == 3
    assert "is frozen" in refused.stderr
    assert thawed.exit_code == withdrawn.exit_code == 0
    assert not (home.root / "releases/demo/1.0").exists()
    assert again.exit_code == 3
    assert "was withdrawn" in again.stderr
    actions = [
        row["action"] for row in run_command(home, "audit", "demo", "--json").json()
    ]
    assert actions[-3:] == ["freeze", "thaw", "withdraw"]
