"""Each option of the profile, seen in the files that are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from imaging_platform.deid.settings import DeidSettings
from imaging_platform.files.digests import sorted_files
from tests.deid.conftest import Anonymize
from tests.deid.originals import ROOT, make_original, save


def _write(
    anonymize: Anonymize, folder: Path, change: object = None, **options: Any
) -> FileDataset:
    original = make_original()
    if callable(change):
        change(original)
    folder.mkdir()
    save(original, folder / "a")
    (written,) = anonymize(folder, settings=DeidSettings(**options)).files
    return written


def _codes(written: FileDataset) -> set[str]:
    return {item.CodeValue for item in written.DeidentificationMethodCodeSequence}


def test_full_dates_stay_and_the_birth_date_goes(tmp_path, anonymize: Anonymize):
    written = _write(anonymize, tmp_path / "in", dates="full")

    assert written.StudyDate == "20200229"
    assert written.AcquisitionDateTime == "20200229131415.250000"
    assert written.PatientBirthDate == ""
    assert written.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert "113106" in _codes(written)
    assert "113107" not in _codes(written)


def test_what_is_no_date_does_not_stay_with_full_dates(tmp_path, anonymize: Anonymize):
    def misuse(original: FileDataset) -> None:
        original.add_new(0x00080022, "LO", "x")
        original[0x00080022].VR = "DA"
        original[0x00080022]._value = "at noon"

    written = _write(anonymize, tmp_path / "in", misuse, dates="full")

    assert not written.AcquisitionDate


def test_no_date_and_no_time_stays_when_dates_are_removed(
    tmp_path, anonymize: Anonymize
):
    written = _write(anonymize, tmp_path / "in", dates="remove")

    left = {
        str(element.value)
        for element in written.iterall()
        if element.VR in ("DA", "DT", "TM") and element.value
    }
    assert left <= {"19000101", "19000101000000", "000000"}
    assert written.LongitudinalTemporalInformationModified == "REMOVED"
    assert not {"113106", "113107"} & _codes(written)


def test_device_and_institution_stay_each_by_its_option(tmp_path, anonymize: Anonymize):
    device = _write(anonymize, tmp_path / "a", device="retain")
    institution = _write(anonymize, tmp_path / "b", institution="retain")

    assert (device.DeviceSerialNumber, device.StationName) == ("66887", "STATION77")
    assert not device.InstitutionName
    assert institution.InstitutionName == "Hospital of Nowhere"
    assert not institution.StationName
    assert "113109" in _codes(device)
    assert "113112" in _codes(institution)


def test_retained_text_becomes_ascii(tmp_path, anonymize: Anonymize):
    def rename(original: FileDataset) -> None:
        original.InstitutionName = "Zürich Süd"

    written = _write(anonymize, tmp_path / "in", rename, institution="retain")

    assert written.InstitutionName == "Zurich Sud"


def test_uids_stay_and_files_are_still_named_by_pseudonyms(
    tmp_path, anonymize: Anonymize
):
    original = make_original()
    (tmp_path / "in").mkdir()
    save(original, tmp_path / "in" / "a")

    result = anonymize(
        tmp_path / "in", settings=DeidSettings(uids="retain", dates="full")
    )

    (written,) = result.files
    assert written.SOPInstanceUID == original.SOPInstanceUID
    assert written.file_meta.MediaStorageSOPInstanceUID == original.SOPInstanceUID
    assert written.FrameOfReferenceUID == f"{ROOT}.7"
    assert "113110" in _codes(written)
    assert not [p for p in sorted_files(result.target) if ROOT in str(p)]


def test_an_option_lets_no_other_identifier_pass(tmp_path, anonymize: Anonymize):
    written = _write(
        anonymize,
        tmp_path / "in",
        dates="full",
        device="retain",
        institution="retain",
        uids="retain",
        graphics="clean",
        structured_content="clean",
    )

    text = str(written).lower()
    for word in ("zuckerschwerdt", "quirina", "px4711888", "19280412", "acc445566"):
        assert word not in text


@pytest.mark.parametrize(
    ("name", "keyword", "value", "kept"),
    [
        ("pregnancy", "PregnancyStatus", 4, 4),
        ("sex_neutered", "PatientSexNeutered", "ALTERED", "ALTERED"),
        ("allergies", "Allergies", "nuts, Quirina", "nuts"),
        ("patient_state", "PatientState", "sedated", "sedated"),
        ("special_needs", "SpecialNeeds", "wheelchair", "wheelchair"),
        ("pre_medication", "PreMedication", "aspirin", "aspirin"),
        ("ethnic_group", "EthnicGroup", "A1", "A1"),
        ("smoking", "SmokingStatus", "NO", "NO"),
    ],
)
def test_a_characteristic_stays_by_its_own_field(
    name, keyword, value, kept, tmp_path, anonymize: Anonymize
):
    def add(original: FileDataset) -> None:
        setattr(original, keyword, value)

    without = _write(anonymize, tmp_path / "a", add)
    written = _write(anonymize, tmp_path / "b", add, characteristics=(name,))

    assert not without.get(keyword)
    assert written.get(keyword) == kept


def test_structured_content_keeps_numbers_and_loses_names(
    tmp_path, anonymize: Anonymize
):
    def add(original: FileDataset) -> None:
        item = Dataset()
        item.NumericValue = "37.5"
        item.TextValue = "Quirina was here"
        item.PersonName = "Zuckerschwerdt^Quirina"
        original.AcquisitionContextSequence = Sequence([item])

    without = _write(anonymize, tmp_path / "a", add)
    cleaned = _write(anonymize, tmp_path / "b", add, structured_content="clean")

    assert len(without.AcquisitionContextSequence) == 0
    (item,) = cleaned.AcquisitionContextSequence
    assert item.NumericValue == 37.5
    assert "Quirina" not in str(item)
    assert "113104" in _codes(cleaned)


def test_graphics_keep_shapes_and_lose_texts(tmp_path, anonymize: Anonymize):
    def add(original: FileDataset) -> None:
        shape, text, layer = Dataset(), Dataset(), Dataset()
        shape.GraphicData = [1.0, 2.0]
        text.UnformattedTextValue = "Quirina"
        layer.GraphicObjectSequence = Sequence([shape])
        layer.TextObjectSequence = Sequence([text])
        original.GraphicAnnotationSequence = Sequence([layer])
        original.add_new(0x60003000, "OW", b"\1\0")

    cleaned = _write(anonymize, tmp_path / "in", add, graphics="clean")

    (layer,) = cleaned.GraphicAnnotationSequence
    assert list(layer.GraphicObjectSequence[0].GraphicData) == [1.0, 2.0]
    assert "Quirina" not in str(layer)
    assert 0x60003000 not in cleaned
    assert "113103" in _codes(cleaned)


def test_a_policy_that_does_not_concern_a_file_leaves_its_bytes(
    tmp_path, anonymize: Anonymize
):
    (tmp_path / "in").mkdir()
    save(make_original(), tmp_path / "in" / "a")

    first = anonymize(tmp_path / "in")
    other = anonymize(tmp_path / "in", settings=DeidSettings(remove=("RescaleType",)))

    assert [p.read_bytes() for p in sorted_files(first.target)] == [
        p.read_bytes() for p in sorted_files(other.target)
    ]
