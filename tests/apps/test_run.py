"""A small real app, as a local program: through success and each kind of failure."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from imaging_platform.apps.run import AppReport, run_app
from imaging_platform.apps.runners import AppJob
from imaging_platform.apps.settings import App
from imaging_platform.files.digests import digest_tree
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import (
    BadConfig,
    BadInput,
    BadOutput,
    Licence,
    MissingInput,
    OutOfMemory,
    Timeout,
    ToolFailed,
)
from tests.apps.conftest import KEY, local_app

FAILURES = [
    ("silent", BadOutput, "outputs"),
    ("broken", BadOutput, "outputs"),
    ("cut", BadOutput, "outputs"),
    ("crash", ToolFailed, "--failed ToolFailed"),
    ("licence", Licence, "licences/"),
    ("memory", OutOfMemory, "memory_gb"),
    ("sleep", Timeout, "timeout_min"),
]


def make_job(app: App, session: Path, tmp_path: Path) -> AppJob:
    return AppJob(
        app=app,
        study="demo",
        sessions={KEY: session},
        log=tmp_path / "app.log",
        edits=tmp_path / "edits",
    )


def run(app: App, session: Path, tmp_path: Path) -> AppReport:
    (tmp_path / "workspace").mkdir()
    return run_app(make_job(app, session, tmp_path), tmp_path / "workspace")


def published(tmp_path: Path) -> list[str]:
    root = tmp_path / "workspace"
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*.*"))


def processes_below(folder: Path) -> list[psutil.Process]:
    """Return the processes that have anything to do with a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if any(str(folder / "workspace") in word for word in words):
            found.append(process)
    return found


def test_what_an_app_wrote_is_published_below_the_session(session, tmp_path):
    report = run(local_app(), session, tmp_path)

    assert published(tmp_path) == [
        f"published/anat/{KEY}_desc-copy_T1w.json",
        f"published/anat/{KEY}_desc-copy_T1w.nii.gz",
        "published/other/sub-01.html",
        "published/other/sub-01/figures/x.svg",
    ]
    assert report.pages == ("other/sub-01.html",)
    assert list(report.metrics) == ["desc-copy_T1w size"]
    assert report.left_out == ("sub-01/passwd",)
    assert report.outputs["**/*_never.json"] == 0


def test_two_runs_in_other_folders_publish_the_same_bytes(session, tmp_path):
    versions = set()
    for place in ("first", "second_folder"):
        (tmp_path / place).mkdir()
        run(local_app(), session, tmp_path / place)
        versions.add(digest_tree(tmp_path / place / "workspace" / "published"))

    assert len(versions) == 1


@pytest.mark.parametrize(("mode", "kind", "fix"), FAILURES)
def test_each_failure_has_its_class_and_leaves_nothing(
    mode, kind, fix, session, tmp_path
):
    app = local_app(mode, timeout_min=0.02 if mode == "sleep" else 1)
    before = digest_tree(session)

    with pytest.raises(ToolFailed) as raised:
        run(app, session, tmp_path)

    assert type(raised.value) is kind
    assert fix in raised.value.fix
    assert list((tmp_path / "workspace").iterdir()) == []
    assert processes_below(tmp_path) == []
    assert digest_tree(session) == before


def test_the_last_words_of_an_app_are_told_without_a_path_of_this_machine(
    session, tmp_path
):
    with pytest.raises(ToolFailed, match="step 3 of /bids") as raised:
        run(local_app("crash"), session, tmp_path)

    assert str(tmp_path) not in str(raised.value)
    assert str(tmp_path) not in (tmp_path / "app.log").read_text()


def test_an_app_that_hides_a_process_leaves_none(session, tmp_path):
    run(local_app("orphan"), session, tmp_path)

    assert not [
        p
        for p in psutil.process_iter(["cmdline"])
        if p.info["cmdline"] == ["sleep", "300"] and _is_ours(p, tmp_path)
    ]


def _is_ours(process: psutil.Process, tmp_path: Path) -> bool:
    try:
        return str(tmp_path) in process.cwd()
    except psutil.Error:
        return False


def test_an_app_that_writes_to_its_input_changes_no_published_session(
    session, tmp_path
):
    before = digest_tree(session)

    run(local_app("write"), session, tmp_path)

    assert digest_tree(session) == before


def test_nothing_is_started_when_an_input_is_missing(session, tmp_path):
    app = local_app(needs=["anat/*_T1w.nii.gz", "dwi/*_dwi.nii.gz"])

    with pytest.raises(MissingInput, match=r"needs dwi/\*_dwi.nii.gz") as raised:
        run(app, session, tmp_path)

    assert "bids_session" in raised.value.fix
    assert not (tmp_path / "app.log").exists()


def test_nothing_is_started_without_the_licence(session, tmp_path):
    with pytest.raises(Licence, match=r"licence\.txt") as raised:
        run(local_app(licence="licence.txt"), session, tmp_path)

    assert "licences/licence.txt" in raised.value.fix
    assert not (tmp_path / "app.log").exists()


def test_a_program_that_is_not_there_is_told(session, tmp_path):
    with pytest.raises(BadConfig, match="no program nowhere") as raised:
        run(local_app(executable="nowhere"), session, tmp_path)

    assert "executable" in raised.value.fix


def test_an_image_without_digest_is_not_started(session, tmp_path):
    app = local_app(runner="docker", image="nipreps/mriqc:24.0.2")

    with pytest.raises(BadConfig, match="has no digest") as raised:
        run(app, session, tmp_path)

    assert "docker image inspect" in raised.value.fix


def test_edits_are_laid_into_the_folders_of_the_app_and_survive_a_rerun(
    session, tmp_path
):
    write_text(tmp_path / "edits" / "out" / "correction", "by hand")

    contents = []
    for _ in range(2):
        run(local_app(), session, tmp_path)
        target = tmp_path / "workspace" / "published" / "correction"
        contents.append(target.read_text())
        shutil.rmtree(tmp_path / "workspace")

    assert contents == ["by hand", "by hand"]


def test_edits_in_another_place_are_refused(session, tmp_path):
    write_text(tmp_path / "edits" / "brainmask.mgz", "")

    with pytest.raises(BadInput, match=r"there is also brainmask\.mgz") as raised:
        run(local_app(), session, tmp_path)

    assert "out/" in raised.value.fix


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_an_app_ends_with_the_process_that_runs_it(signal_number, session, tmp_path):
    script = (
        "import sys; from pathlib import Path;"
        "from tests.apps.conftest import local_app; from tests.apps import test_run;"
        "test_run.run(local_app('sleep'), Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script, str(session), str(tmp_path)],
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until(lambda: _sleeps(tmp_path))
        caller.send_signal(signal_number)
        caller.wait(timeout=30)
        _wait_until(lambda: not processes_below(tmp_path))
    finally:
        caller.kill()
        caller.wait()

    assert processes_below(tmp_path) == []


def _sleeps(tmp_path: Path) -> bool:
    return any("sleep" in p.info["cmdline"] for p in processes_below(tmp_path))


def _wait_until(holds) -> None:
    end_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.1)
