"""Single elements by keyword, from classic and enhanced objects."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from imaging_platform.dicom.fields import is_keyword, read_fields
from imaging_platform.dicom.structure import BadDicom


def save(path: Path, **elements: object) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, "1"
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def test_numbers_are_numbers_and_several_values_a_list(tmp_path):
    file = save(
        tmp_path / "a",
        EchoTime="30.5",
        EchoNumbers=2,
        ImageType=["ORIGINAL", "M"],
        PatientPosition="HFS",
    )

    found = read_fields(
        file, ["EchoTime", "EchoNumbers", "ImageType", "PatientPosition"]
    )

    assert found == {
        "EchoTime": 30.5,
        "EchoNumbers": 2,
        "ImageType": ["ORIGINAL", "M"],
        "PatientPosition": "HFS",
    }
    assert [type(found[name]) for name in ("EchoTime", "EchoNumbers")] == [float, int]


def test_what_is_absent_empty_or_binary_is_left_out(tmp_path):
    file = save(
        tmp_path / "a", PatientPosition="", RedPaletteColorLookupTableData=b"12"
    )

    wanted = ["PatientPosition", "RedPaletteColorLookupTableData", "EchoTime"]
    assert read_fields(file, wanted) == {}


@pytest.mark.parametrize(
    "group", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
)
def test_an_element_of_an_enhanced_object_is_found_in_its_groups(tmp_path, group):
    echo, item = Dataset(), Dataset()
    echo.EffectiveEchoTime = 30.5
    item.MREchoSequence = Sequence([echo])
    file = save(tmp_path / "a", **{group: Sequence([item])})

    assert read_fields(file, ["EffectiveEchoTime"]) == {"EffectiveEchoTime": 30.5}


def test_a_file_that_is_no_dicom_is_refused(tmp_path):
    (tmp_path / "a").write_text("no DICOM at all")

    with pytest.raises(BadDicom):
        read_fields(tmp_path / "a", ["EchoTime"])


def test_a_keyword_is_one_of_the_dictionary():
    assert is_keyword("ContentQualification")
    assert not is_keyword("ContentQualifikation")


def test_real_files_of_an_enhanced_and_a_classic_scanner_tell_their_position(
    shared_data,
):
    for folder in ("dcm_qa_xa30/In", "dcm_qa_nih/In/20180918GE"):
        file = min((shared_data / "dicom" / folder).rglob("*.dcm"))

        found = read_fields(file, ["PatientPosition", "Manufacturer"])

        assert found["PatientPosition"] == "HFS"
