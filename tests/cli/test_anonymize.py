"""De-identifying a folder on the command line: counts, exit codes, jobs, progress."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from imaging_platform.cli import progress
from imaging_platform.cli.main import FAILED, HELD, WRONG_USE, main
from imaging_platform.cli.progress import Shares, shown_progress
from imaging_platform.cli.studies import create_study
from imaging_platform.deid import session
from imaging_platform.deid.release_list import ReleaseStep, append_steps
from imaging_platform.model.layout import Home
from tests.deid.originals import make_original, save

STUDY = "memory"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("IMAGING_HOME", str(home.root))
    create_study(home, STUDY)
    return home


@pytest.fixture
def run(home, tmp_path, monkeypatch, capsys):
    def run(*options: str, source: str = "in", target: str = "out"):
        study = str(home.study_file(STUDY))
        arguments = ("anonymize", str(tmp_path / source), str(tmp_path / target))
        argv = ["imaging-platform", *arguments, "--study", study, *options]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def _write(folder: Path, patient: str, n_files: int = 2, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, n_files + 1):
        original = make_original(number)
        original.PatientID = patient
        original.StudyInstanceUID = f"1.2.3.{sum(patient.encode())}"
        original.SOPInstanceUID += f".{sum(patient.encode())}"
        for keyword, value in changes.items():
            setattr(original, keyword, value)
        save(original, folder / f"{number} of {patient}")
    return folder


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _summary(tmp_path: Path) -> dict[str, dict[str, int]]:
    return json.loads((tmp_path / "out.deid" / "summary.json").read_text())


def test_every_file_is_counted_once(run, tmp_path):
    _write(tmp_path / "in" / "a", "ANNA1", 3)
    _write(tmp_path / "in" / "b", "BERT2", 2, Modality="US")
    (tmp_path / "in" / "again").write_bytes(
        (tmp_path / "in" / "a" / "1 of ANNA1").read_bytes()
    )
    whole = (tmp_path / "in" / "a" / "2 of ANNA1").read_bytes()
    (tmp_path / "in" / "cut off").write_bytes(whole[:-4])
    (tmp_path / "in" / "letter.txt").write_text("Dear doctor")
    (tmp_path / "in" / ".DS_Store").write_bytes(b"x")

    code, _, _ = run()

    assert code == HELD
    assert _summary(tmp_path)["files"] == {
        "read": 8,
        "written": 3,
        "duplicate": 1,
        "quarantined": 2,
        "unreadable": 2,
        "held": 0,
        "ignored": 1,
    }
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3


def test_all_that_was_read_is_accounted_for_as_json_too(run, tmp_path):
    _write(tmp_path / "in", "ANNA1", 2)
    _write(tmp_path / "in", "BERT2", 2, BurnedInAnnotation="YES")
    (tmp_path / "in" / "empty").touch()

    code, out, _ = run("--json")

    files = json.loads(out)["files"]
    read, _ = files.pop("read"), files.pop("ignored")
    assert code == HELD
    assert read == sum(files.values()) == 5


def test_nothing_kept_back_leaves_with_0(run, tmp_path):
    _write(tmp_path / "in", "ANNA1")

    code, out, err = run()

    assert code == 0, err
    assert "2 read, 2 written" in out


def test_a_held_session_stops_no_other_and_is_told_with_its_fix(run, tmp_path):
    _write(tmp_path / "in", "ANNA1")
    _write(tmp_path / "in", "BERT2")
    other = make_original(1)
    other.PatientID, other.StudyInstanceUID = "BERT2", f"1.2.3.{sum(b'BERT2')}"
    other.SOPInstanceUID += f".{sum(b'BERT2')}"
    other.EchoTime = "31"
    save(other, tmp_path / "in" / "another content")

    code, out, err = run("--json")

    (held,) = _summary(tmp_path)["held"].items()
    assert code == HELD
    assert "SOPInstanceUID" in held[1]["why"]
    assert held[1]["fix"]
    assert held[1]["files"] == 3
    assert json.loads(out)["files"]["held"] == 3
    written = {path.parts[0] for path in map(Path, _tree(tmp_path / "out"))}
    assert len(written) == 1
    assert held[0] not in written
    assert "BERT2" not in out + err


def test_where_nothing_is_written_there_is_a_summary_and_no_output(run, tmp_path):
    _write(tmp_path / "in", "ANNA1", Modality="US")

    code, _, _ = run()

    assert code == HELD
    assert not (tmp_path / "out").exists()
    assert _summary(tmp_path)["files"]["quarantined"] == 2


def test_a_session_without_a_written_file_has_no_folder(run, tmp_path):
    _write(tmp_path / "in", "ANNA1")
    _write(tmp_path / "in", "BERT2", Modality="US")

    run()

    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize("name", ["nothing", ".DS_Store"])
def test_a_source_without_images_fails(run, tmp_path, name):
    (tmp_path / "in").mkdir()
    if name != "nothing":
        (tmp_path / "in" / name).touch()

    code, _, err = run()

    assert code == FAILED
    assert "What to do" in err
    assert not (tmp_path / "out.deid").exists()


def test_a_single_file_is_a_source(run, tmp_path):
    _write(tmp_path / "in", "ANNA1", 1)

    code, _, err = run(source="in/1 of ANNA1")

    assert code == 0, err
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1


def test_a_file_that_cannot_be_opened_is_counted_and_not_named(
    run, tmp_path, monkeypatch
):
    _write(tmp_path / "in", "ANNA1", 2)

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("imaging_platform.cli.sorting.read_owner", refuse)

    code, out, err = run()

    assert code == HELD
    assert _summary(tmp_path)["unreadable"] == {"cannot be opened": 2}
    assert "ANNA1" not in out + err


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_a_number_of_jobs_that_makes_no_sense_is_wrong_use(run, tmp_path, jobs):
    _write(tmp_path / "in", "ANNA1")

    code, _, _ = run("--jobs", jobs)

    assert code == WRONG_USE
    assert not (tmp_path / "out").exists()


def test_any_number_of_jobs_gives_the_same_bytes(run, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "BATCH_FILES", 4)
    _write(tmp_path / "in" / "a", "ANNA1", 11)
    _write(tmp_path / "in" / "b", "BERT2", 3)
    _write(tmp_path / "in" / "b", "BERT2", 1, BurnedInAnnotation="YES")
    (tmp_path / "in" / "letter.txt").write_text("Dear doctor")

    code, _, _ = run(target="out")
    code_of_three, _, err = run("--jobs", "3", target="three")

    assert code == code_of_three == HELD, err
    assert _tree(tmp_path / "out")
    assert _tree(tmp_path / "three") == _tree(tmp_path / "out")
    assert _tree(tmp_path / "three.deid") == _tree(tmp_path / "out.deid")


def test_a_process_that_dies_fails_and_publishes_nothing(run, tmp_path, monkeypatch):
    _write(tmp_path / "in", "ANNA1", 3)
    # Found by its name in the new process, which ends at once.
    monkeypatch.setattr(
        "imaging_platform.cli.sorting._owner_or_reason", _end_this_process
    )

    code, _, err = run("--jobs", "2")

    assert code == FAILED
    assert "fewer --jobs" in err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.deid").exists()


def _end_this_process(_: Path) -> None:
    import os

    os._exit(9)


def test_what_a_person_released_on_the_platform_passes_here_too(run, home, tmp_path):
    _write(tmp_path / "in", "ANNA1", BurnedInAnnotation="YES")
    _, out, _ = run("--json", target="first")
    ((key, report),) = json.loads(out)["sessions"].items()
    (series,) = {row["series"] for row in report["quarantined"]}
    step = ReleaseStep("release", key, series, "Ann", "looked at", "2026-01-01")
    append_steps(home.released_file(STUDY), [step])

    code, _, err = run(target="second")

    assert code == 0, err
    assert len(list((tmp_path / "second").rglob("*.dcm"))) == 2


def test_no_bar_is_drawn_where_the_output_is_no_terminal(run, tmp_path):
    _write(tmp_path / "in", "ANNA1")

    _, out, err = run()

    assert "Reading headers" not in out + err


@pytest.mark.parametrize("is_wanted", [True, False])
def test_bars_are_drawn_on_a_terminal_unless_a_program_reads(
    monkeypatch, capsys, is_wanted
):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)

    with shown_progress(is_wanted=is_wanted) as bars:
        bars.add("De-identifying")(3, 7)

    assert ("3/7" in _plain(capsys.readouterr().err)) is is_wanted


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_shares_add_up_and_go_back_when_a_part_begins_anew():
    told = []
    shares = Shares(lambda done, total: told.append((done, total)), 9)

    one, other = shares.of("one"), shares.of("other")
    one(4, 4)
    other(5, 5)
    one(2, 4)

    assert told == [(0, 9), (4, 9), (9, 9), (7, 9)]
