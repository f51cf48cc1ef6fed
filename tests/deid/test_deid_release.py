"""A person lets a series through the pixel gate, and only what that can be."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from imaging_platform.deid.deid_report import COLUMNS, write_deid_report
from imaging_platform.deid.guard_store import load_identifiers
from imaging_platform.deid.release_list import (
    ReleaseStep,
    append_steps,
    digest_released,
    read_steps,
    released_series,
    released_versions,
)
from imaging_platform.deid.session import DeidReport, anonymize_session
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.files.digests import HEADERS_NAME
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey
from tests.deid.conftest import KEY
from tests.deid.originals import NAME, SECRET, make_original, save

STORAGE = "1.2.840.10008.5.1.4.1.1"
OTHER = SessionKey("AB12", "2")


def _step(series: str, step: str = "release", key: SessionKey = KEY) -> ReleaseStep:
    return ReleaseStep(
        step,  # type: ignore[arg-type]  # a wrong one is refused
        str(key),
        series,
        "ann",
        "a map of the scanner",
        "2026-01-02T03:04:05+00:00",
    )


def _put(folder: Path, **changes: object) -> Path:
    original: FileDataset = make_original()
    for keyword, value in changes.items():
        setattr(original, keyword, value)
    original.file_meta.MediaStorageSOPClassUID = original.SOPClassUID
    folder.mkdir(exist_ok=True)
    save(original, folder / "a")
    return folder


def _run(
    tmp_path: Path, folder: Path, released: frozenset[str] = frozenset()
) -> DeidReport:
    target = tmp_path / f"out{len(released)}"
    target.mkdir()
    return anonymize_session(
        folder,
        target,
        key=KEY,
        settings=DeidSettings(),
        secret=SECRET,
        released=released,
        guard_file=tmp_path / "guard.json",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"SOPClassUID": f"{STORAGE}.7"},
        {"SOPClassUID": f"{STORAGE}.6.1", "Modality": "US"},
        {"BurnedInAnnotation": "YES"},
        {"ConversionType": "WSD"},
        {"Modality": "OT"},
    ],
)
def test_a_released_series_is_written_under_the_name_that_was_reported(
    tmp_path, changes
):
    folder = _put(tmp_path / "in", **changes)
    (row,) = _run(tmp_path, folder).quarantined

    report = _run(tmp_path, folder, frozenset({row.series}))

    assert row.can_be_released
    assert report.quarantined == ()
    assert [(w.series, w.is_released) for w in report.written] == [(row.series, True)]
    assert {f.name for f in (tmp_path / "out1").iterdir()} == {
        row.series,
        HEADERS_NAME,
    }


@pytest.mark.parametrize("suffix", ["104.1", "66", "88.11", "11.1", "9.1.1", "481.2"])
def test_what_is_no_image_is_not_released_by_anyone(tmp_path, suffix):
    folder = _put(tmp_path / "in", SOPClassUID=f"{STORAGE}.{suffix}")
    (row,) = _run(tmp_path, folder).quarantined

    report = _run(tmp_path, folder, frozenset({row.series}))

    assert not row.can_be_released
    assert report.files_written == 0


def test_a_released_image_is_de_identified_like_any_other(tmp_path):
    folder = _put(tmp_path / "in", BurnedInAnnotation="YES")
    (row,) = _run(tmp_path, folder).quarantined

    _run(tmp_path, folder, frozenset({row.series}))

    (file,) = (tmp_path / "out1").rglob("*.dcm")
    assert NAME.split("^")[0].encode() not in file.read_bytes()


def test_a_release_of_one_series_is_not_one_of_another(tmp_path):
    folder = _put(tmp_path / "in", BurnedInAnnotation="YES")

    report = _run(tmp_path, folder, frozenset({"0003-00000000"}))

    assert report.files_written == 0


def test_the_guard_of_a_session_knows_its_subject(tmp_path):
    _run(tmp_path, _put(tmp_path / "in"))

    kept = load_identifiers(tmp_path / "guard.json")
    assert {"zuckerschwerdt", "px4711888"} <= kept.words
    assert "20200229" in kept.dates


def test_the_last_step_of_a_series_counts(tmp_path):
    file = tmp_path / "zone" / "released.jsonl"

    append_steps(file, [_step("0003-aaaaaaaa"), _step("0004-bbbbbbbb")])
    append_steps(file, [_step("0003-aaaaaaaa", "unrelease")])
    append_steps(file, [_step("0005-cccccccc", key=OTHER)])

    steps = read_steps(file)
    assert len(steps) == 4
    assert released_series(steps, KEY) == {"0004-bbbbbbbb"}
    assert released_versions(steps) == {
        str(KEY): digest_released(frozenset({"0004-bbbbbbbb"})),
        str(OTHER): digest_released(frozenset({"0005-cccccccc"})),
    }
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_session_of_which_all_was_taken_back_is_as_before():
    steps = [_step("0003-aaaaaaaa"), _step("0003-aaaaaaaa", "unrelease")]

    assert released_versions(steps) == {}


def test_no_list_releases_nothing(tmp_path):
    assert released_series(read_steps(tmp_path / "none"), KEY) == frozenset()


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", '{"step": "release", "session": "sub-1_ses-1"}']
)
def test_a_damaged_list_releases_nothing_by_a_guess(tmp_path, line):
    (tmp_path / "list").write_text(line + "\n")

    with pytest.raises(BadInput) as refused:
        read_steps(tmp_path / "list")

    assert "backup" in refused.value.fix


@pytest.mark.parametrize(
    ("step", "series"),
    [("keep", "0003-aaaaaaaa"), ("release", "KESTREL"), ("release", "../x")],
)
def test_a_line_names_a_step_and_a_pseudonym(step, series):
    with pytest.raises(BadInput):
        _step(series, step)


def test_a_report_as_files_tells_each_series_and_no_original_value(tmp_path):
    folder = _put(tmp_path / "in", SeriesInstanceUID="1.2.3.9", SOPInstanceUID="1.2.9")
    save(make_original(2, series=4), folder / "b")
    original = make_original(3, series=5)
    original.BurnedInAnnotation = "YES"
    save(original, folder / "c")
    (folder / "d").write_bytes(b"no DICOM")
    report = _run(tmp_path, folder)

    write_deid_report(report, tmp_path / "told", "sub-AB12_ses-1")

    told = json.loads((tmp_path / "told" / "sub-AB12_ses-1.json").read_text())
    table = (tmp_path / "told" / "sub-AB12_ses-1.tsv").read_text()
    rows = list(csv.DictReader(table.splitlines(), delimiter="\t"))
    assert list(rows[0]) == list(COLUMNS)
    assert [(r["verdict"], r["series"][:4], r["reason"]) for r in rows] == [
        ("written", "0003", "n/a"),
        ("written", "0004", "n/a"),
        ("quarantined", "n/a", "not DICOM"),
        ("quarantined", "0005", "text is burned into the pixels"),
    ]
    assert sum(int(r["files"]) for r in rows) == told["files_read"] == 4
    assert told["proved"] is True
    everything = (json.dumps(told) + table).lower()
    for part in (
        "zucker",
        "quirina",
        "px4711888",
        "2020",
        "station77",
        "66887",
        "1.2.3",
    ):
        assert part not in everything


def test_the_same_session_gives_the_same_report(tmp_path):
    folder = _put(tmp_path / "in")
    for number, released in enumerate((frozenset(), frozenset({"0009-00000000"}))):
        report = _run(tmp_path, folder, released)
        write_deid_report(report, tmp_path / str(number), "report")

    first, second = ((tmp_path / n / "report.json").read_bytes() for n in "01")
    assert first == second
