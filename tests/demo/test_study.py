from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pydicom
import pytest

from imaging_platform.demo.session import write_sessions
from imaging_platform.demo.study import (
    DemoStudy,
    demo_study_truth,
    truth_as_json,
    write_demo_study,
)
from imaging_platform.model.errors import BadInput


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(folder)
    }


def test_the_target_holds_the_drops_and_nothing_else(study: DemoStudy) -> None:
    target = study.drops[0].path.parent

    assert {path.name for path in target.iterdir()} == {d.name for d in study.drops}
    assert [d.path.suffix for d in study.drops].count(".zip") == 1


def test_five_sessions_of_four_people_come_from_three_vendors(study: DemoStudy) -> None:
    assert len(study.sessions) == 5
    assert len({s.patient_id for s in study.sessions}) == 4
    assert {s.vendor for s in study.sessions} == {"Siemens", "GE", "Philips"}
    assert sorted(s.quality for s in study.sessions) == [
        "good",
        "good",
        "good",
        "low_snr",
        "motion",
    ]


def test_one_session_is_split_and_one_drop_holds_two_patients(study: DemoStudy) -> None:
    held = [drop.sessions for drop in study.drops]

    assert any(len(sessions) == 2 for sessions in held)
    assert sum("kestrel-1" in sessions for sessions in held) == 2


def test_a_session_has_the_same_bytes_in_any_process(
    study: DemoStudy, tmp_path: Path
) -> None:
    late = tmp_path / "late"

    order = {
        "name": "kestrel-1",
        "target": str(tmp_path / "here"),
        "late": str(late),
        "kinds_late": "magnitude,phasediff",
    }
    write_sessions([order], small=True, seed=2026)

    assert _digests(tmp_path / "here") == _digests(study.drops[0].path)
    assert _digests(late) == _digests(study.drops[1].path)


def test_another_seed_gives_another_head(study: DemoStudy) -> None:
    other = demo_study_truth(study.drops[0].path.parent, small=True, seed=7)

    assert other.sessions[0].motion != study.sessions[0].motion
    assert other.sessions[0].marker_ras_mm != study.sessions[0].marker_ras_mm


def test_the_truth_can_be_told_without_writing(study: DemoStudy) -> None:
    again = demo_study_truth(study.drops[0].path.parent, small=True)

    assert again == study


def test_the_truth_is_plain_json_without_paths(study: DemoStudy) -> None:
    text = json.dumps(truth_as_json(study))

    assert str(study.drops[0].path.parent) not in text
    assert json.loads(text)["sessions"][0]["vendor"] == "Siemens"


def test_the_study_is_frozen(study: DemoStudy) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        study.drops = ()  # type: ignore[misc]


def test_a_target_that_holds_a_drop_is_refused(study: DemoStudy) -> None:
    with pytest.raises(BadInput) as caught:
        write_demo_study(study.drops[0].path.parent, small=True)

    assert "empty folder" in caught.value.fix


def test_every_file_is_a_valid_mr_image(folders: dict[str, Path]) -> None:
    needed = (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "ScanningSequence",
        "SequenceVariant",
        "RepetitionTime",
        "EchoTime",
        "FlipAngle",
        "MagneticFieldStrength",
        "PixelBandwidth",
        "InPlanePhaseEncodingDirection",
        "AcquisitionTime",
    )
    seen: set[str] = set()
    for folder in folders.values():
        for path in _files(folder):
            dataset = pydicom.dcmread(path)
            assert not [keyword for keyword in needed if keyword not in dataset]
            assert (
                dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
            )
            assert dataset.SOPInstanceUID not in seen
            assert pydicom.uid.UID(dataset.SOPInstanceUID).is_valid
            assert dataset.pixel_array.shape == (dataset.Rows, dataset.Columns)
            seen.add(dataset.SOPInstanceUID)
    assert 900 < len(seen) <= 1500


def test_values_keep_to_their_representation(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        for path in _files(folder)[::37]:
            with pydicom.config.disable_value_validation():
                dataset = pydicom.dcmread(path)
            for element in dataset.iterall():
                if element.VR in {"DS", "IS", "SH", "LO", "CS", "UI", "TM", "DA", "AE"}:
                    _assert_fits(element)


def _assert_fits(element: pydicom.DataElement) -> None:
    limit = {"DS": 16, "IS": 12, "SH": 16, "LO": 64, "CS": 16, "UI": 64, "AE": 16}
    values = element.value if element.VM > 1 else [element.value]
    for value in values:
        text = str(getattr(value, "original_string", value))
        assert len(text) <= limit.get(element.VR, 16), element.tag


def test_files_are_named_as_each_scanner_names_them(folders: dict[str, Path]) -> None:
    names = [path.name for folder in folders.values() for path in _files(folder)]

    assert any(name.endswith(".IMA") for name in names)
    assert any(".MRDCM." in name and name.startswith("i") for name in names)
    assert "IM_0001" in names


def test_times_run_forward_through_a_session(folders: dict[str, Path]) -> None:
    starts: dict[tuple[str, int], str] = {}
    for folder in folders.values():
        for path in _files(folder):
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            key = (dataset.StudyInstanceUID, int(dataset.SeriesNumber))
            starts[key] = dataset.SeriesTime
            assert dataset.StudyTime < dataset.SeriesTime <= dataset.AcquisitionTime

    for study_uid in {key[0] for key in starts}:
        times = [time for key, time in sorted(starts.items()) if key[0] == study_uid]
        assert times == sorted(times)
