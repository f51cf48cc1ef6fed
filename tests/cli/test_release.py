"""Letting a series through, taking it back, and who sees that it was done."""

from __future__ import annotations

import json
import sys

import pytest

from imaging_platform.cli.main import FAILED, WRONG_USE, main
from imaging_platform.cli.studies import create_study
from imaging_platform.deid.release_list import read_steps, released_series
from imaging_platform.files.audit import read_audit
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.provenance.record import Record
from imaging_platform.storage.local import LocalStore
from tests.deid.originals import write_originals

KEY = SessionKey("01", "1")
SERIES, SECOND, CLOSED = "0003-aaaaaaaa", "0004-bbbbbbbb", "0009-cccccccc"


def _row(series: str, reason: str, *, can_be_released: bool) -> dict[str, object]:
    return {
        "series": series,
        "reason": reason,
        "sop_class": "Secondary Capture Image Storage",
        "n_files": 2,
        "series_number": 3,
        "can_be_released": can_be_released,
    }


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("IMAGING_HOME", str(home.root))
    create_study(home, "memory")
    rows = [
        _row(SERIES, "secondary capture is not released", can_be_released=True),
        _row(SECOND, "a screen (ImageType)", can_be_released=True),
        _row(CLOSED, "raw data is not released", can_be_released=False),
        _row("", "not DICOM", can_be_released=False),
    ]
    store, key = LocalStore(home.root), layout.anonymized_dicom("memory", KEY)
    with store.stage(key) as tree:
        report = {"proved": True, "files_written": 0, "quarantined": rows}
        store.publish(
            tree, key, Record("anonymized_dicom", str(KEY), "1", report=report)
        )
    return home


@pytest.fixture
def run(home, monkeypatch, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imaging-platform", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def _released(home: Home) -> frozenset[str]:
    return released_series(read_steps(home.released_file("memory")), KEY)


def test_without_a_series_it_lists_what_was_kept_back(run, home):
    code, out, _ = run("release", "memory", str(KEY), "--json")

    listed = {row["series"]: row for row in json.loads(out)}
    assert code == 0
    assert set(listed) == {SERIES, SECOND, CLOSED, ""}
    assert listed[SERIES]["can_be_released"] is True
    assert listed[CLOSED]["reasons"] == ["raw data is not released"]
    assert _released(home) == frozenset()


def test_the_list_says_how_to_release(run):
    _, out, _ = run("release", "memory", str(KEY))

    assert SERIES in out
    assert f"release memory {KEY} --series" in out


@pytest.mark.parametrize("name", ["3", SERIES])
def test_a_series_is_released_by_number_or_name(run, home, name):
    code, out, _ = run(
        "release", "memory", str(KEY), "--series", name, "--reason", "a map"
    )

    assert code == 0
    assert _released(home) == {SERIES}
    assert "process --study memory" in out


def test_author_and_reason_stand_in_the_audit_trail(run, home):
    options = ("--reason", "a map", "--author", "Ann")
    run("release", "memory", str(KEY), "--series", "3", *options)

    (entry,) = read_audit(home.zone("identified", "memory"))
    assert (entry.action, entry.author, entry.reason) == ("release", "Ann", "a map")
    assert entry.subject == f"{KEY} {SERIES}"


def test_the_user_of_the_computer_is_the_author_when_none_is_given(
    run, home, monkeypatch
):
    monkeypatch.setenv("LOGNAME", "kim")

    run("release", "memory", str(KEY), "--series", "3", "--reason", "a map")

    assert [e.author for e in read_audit(home.zone("identified", "memory"))] == ["kim"]


def test_all_releases_what_can_be(run, home):
    run("release", "memory", str(KEY), "--all", "--reason", "looked at both")

    assert _released(home) == {SERIES, SECOND}


def test_what_was_released_can_be_taken_back(run, home):
    run("release", "memory", str(KEY), "--all", "--reason", "looked at both")

    code, _, _ = run(
        "unrelease", "memory", str(KEY), "--series", "4", "--reason", "a name is on it"
    )

    assert code == 0
    assert _released(home) == {SERIES}
    actions = [e.action for e in read_audit(home.zone("identified", "memory"))]
    assert actions == ["release", "release", "unrelease"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("release", "memory", str(KEY), "--series", "3"), "needs a reason"),
        (("release", "memory", str(KEY), "--series", "9", "--reason", "x"), "never"),
        (("release", "memory", str(KEY), "--series", "7", "--reason", "x"), "0 series"),
        (
            ("release", "memory", str(KEY), "--series", "00", "--reason", "x"),
            "0 series",
        ),
        (("unrelease", "memory", str(KEY)), "released are: none"),
        (("unrelease", "memory", str(KEY), "--all", "--reason", "x"), "No series"),
    ],
)
def test_a_wrong_call_changes_nothing_and_says_what_to_do(run, home, arguments, words):
    code, _, err = run(*arguments)

    assert code == WRONG_USE
    assert words in err
    assert "What to do" in err
    assert _released(home) == frozenset()
    assert read_audit(home.zone("identified", "memory")) == ()


def test_a_session_that_was_never_de_identified_has_nothing_to_release(run):
    code, _, err = run("release", "memory", "sub-02_ses-1")

    assert code == FAILED
    assert "process --study memory" in err


def test_nothing_of_it_leaves_the_identified_zone(run, home):
    options = ("--reason", "seen by KESTREL", "--author", "KESTREL")
    run("release", "memory", str(KEY), "--all", *options)

    files = [
        path
        for path in home.root.rglob("*")
        if path.is_file() and "identified" not in path.parts
    ]
    assert files
    assert not [path for path in files if b"KESTREL" in path.read_bytes()]


def test_anonymize_writes_its_report_beside_the_output(run, home, tmp_path):
    write_originals(tmp_path / "in", 2)
    study = str(home.study_file("memory"))

    code, _, err = run(
        "anonymize", str(tmp_path / "in"), str(tmp_path / "out"), "--study", study
    )

    (session,) = (tmp_path / "out").iterdir()
    told = tmp_path / "out.deid"
    assert code == 0, err
    assert json.loads((told / f"{session.name}.json").read_text())["files_written"] == 2
    assert "written\t0003-" in (told / f"{session.name}.tsv").read_text()
    suffixes = [path.suffix for path in (tmp_path / "out").rglob("*.*")]
    assert sorted(suffixes) == [".dcm", ".dcm", ".json"]


def test_anonymize_replaces_no_report(run, home, tmp_path):
    write_originals(tmp_path / "in", 1)
    (tmp_path / "out.deid").mkdir()
    study = str(home.study_file("memory"))

    code, _, err = run(
        "anonymize", str(tmp_path / "in"), str(tmp_path / "out"), "--study", study
    )

    assert code == WRONG_USE
    assert "exists already" in err
    assert not (tmp_path / "out").exists()
