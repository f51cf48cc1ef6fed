from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pytest

from imaging_platform.dicom.headers import read_header, read_owner
from imaging_platform.dicom.structure import BadDicom, Reason
from imaging_platform.intake.placing import LABEL_FIELDS
from tests.dicom.dicom_bytes import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    dicom_file,
    element,
    item,
    mr_elements,
    mr_file,
    sequence,
)


def refused(path: Path) -> Reason:
    with pytest.raises(BadDicom) as caught:
        read_header(path)
    return caught.value.reason


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_a_header_reads_the_same_in_every_encoding(tmp_path: Path, syntax: str):
    path = tmp_path / "file"
    path.write_bytes(mr_file(syntax=syntax))

    header = read_header(path)

    assert (header.sop_uid, header.study_uid, header.series_uid) == (
        "1.2.3.4",
        "1.2.3",
        "1.2.3.1",
    )
    assert (header.patient_id, header.modality) == ("P1", "MR")
    assert (header.rows, header.columns, header.instance_number) == (2, 2, 7)
    assert (header.n_frames, header.series_number) == (1, None)


def test_a_missing_instance_uid_is_refused(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(mr_file(sop_uid=""))

    assert refused(path) is Reason.NO_SOP_UID


@pytest.mark.parametrize("n_elements", [3, 7, 9, 11])
def test_an_image_cut_between_two_elements_is_found(tmp_path: Path, n_elements: int):
    path = tmp_path / "file"
    path.write_bytes(dicom_file(b"".join(mr_elements()[:n_elements])))

    assert refused(path) is Reason.TRUNCATED


def test_fewer_pixels_than_rows_and_columns_ask_for_are_found(tmp_path: Path):
    body = b"".join(mr_elements()[:-1]) + element(0x7FE00010, "OW", bytes(6))
    path = tmp_path / "file"
    path.write_bytes(dicom_file(body))

    assert refused(path) is Reason.SHORT_PIXELS


def test_an_image_of_absurd_size_is_refused_without_memory(tmp_path: Path):
    elements = mr_elements()
    elements[7:11] = [
        element(0x00280002, "US", struct.pack("<H", 1)),
        element(0x00280008, "IS", b"10000"),
        element(0x00280010, "US", struct.pack("<H", 65535)),
        element(0x00280011, "US", struct.pack("<H", 65535)),
        element(0x00280100, "US", struct.pack("<H", 16)),
    ]
    path = tmp_path / "file"
    path.write_bytes(dicom_file(b"".join(elements)))

    assert refused(path) is Reason.SHORT_PIXELS


@pytest.mark.parametrize(
    ("character_set", "raw"),
    [
        (b"ISO_IR 192", "Müller-Ωß".encode()),
        (b"ISO_IR 100", "Müller".encode("latin-1")),
        (b"", "Müller".encode("latin-1")),
        (b"no such set", "Müller".encode("latin-1")),
        (b"\\ISO 2022 IR 87", "ID \x1b$B;3ED\x1b(B".encode("latin-1")),
    ],
)
def test_foreign_text_is_decoded_as_pydicom_decodes_it(
    tmp_path: Path, character_set: bytes, raw: bytes
):
    import pydicom

    elements = mr_elements(patient_id=raw)
    body = element(0x00080005, "CS", character_set) + b"".join(elements)
    path = tmp_path / "file"
    path.write_bytes(dicom_file(body))

    header = read_header(path)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert header.patient_id == pydicom.dcmread(path).PatientID


@pytest.mark.parametrize("term", [b"zip", b"a\0b", b"idna", b"iso9999", b"\\\\"])
def test_a_character_set_that_is_none_reads_as_latin_1(tmp_path: Path, term: bytes):
    body = element(0x00080005, "CS", term)
    body += b"".join(mr_elements(patient_id=b"M\xfcller"))
    path = tmp_path / "file"
    path.write_bytes(dicom_file(body))

    assert read_header(path).patient_id == "Müller"


@pytest.mark.parametrize("text", [b"abc", b"1.5", b"", b"\xb2", b"9" * 5000])
def test_a_number_that_is_none_reads_as_absent(tmp_path: Path, text: bytes):
    elements = mr_elements()
    elements[6] = element(0x00200013, "IS", text)
    path = tmp_path / "file"
    path.write_bytes(dicom_file(b"".join(elements)))

    assert read_header(path).instance_number is None


def test_real_headers_read_as_pydicom_reads_them(shared_data: Path):
    import pydicom

    names = {
        "sop_uid": "SOPInstanceUID",
        "study_uid": "StudyInstanceUID",
        "series_uid": "SeriesInstanceUID",
        "patient_id": "PatientID",
        "series_description": "SeriesDescription",
        "modality": "Modality",
        "series_number": "SeriesNumber",
        "instance_number": "InstanceNumber",
        "rows": "Rows",
        "columns": "Columns",
        "station_name": "StationName",
        "study_date": "StudyDate",
        "manufacturer": "Manufacturer",
    }
    n_read = 0
    for path in sorted((shared_data / "dicom" / "misc").rglob("*")):
        if not path.is_file():
            continue
        try:
            header = read_header(path)
        except BadDicom:
            continue
        n_read += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = pydicom.dcmread(path, force=True, stop_before_pixels=True)
            for ours, theirs in names.items():
                value = other.get(theirs)
                expected = "" if value is None else str(value).strip()
                found = getattr(header, ours)
                assert ("" if found is None else str(found)) == expected

    assert n_read > 200


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_an_owner_is_what_the_whole_header_says(tmp_path: Path, syntax: str):
    path = tmp_path / "file"
    path.write_bytes(mr_file(syntax=syntax))

    owner, header = read_owner(path), read_header(path)

    for name in (*LABEL_FIELDS, "sop_uid", "study_time", "has_patient"):
        assert getattr(owner, name) == getattr(header, name), name
    assert owner.study_uid
    assert owner.rows is None


def test_an_owner_is_read_of_a_file_that_is_cut_off_behind_it(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(mr_file()[:-3])

    assert read_owner(path).patient_id == "P1"
    assert refused(path) is not None


def test_a_higher_tag_inside_a_sequence_does_not_end_the_reading(tmp_path: Path):
    inner = element(0x00400275, "LO", b"x")
    path = tmp_path / "file"
    elements = mr_elements()
    elements.insert(2, sequence(0x00081140, item(inner)))
    path.write_bytes(dicom_file(b"".join(elements)))

    assert read_owner(path).study_uid == read_header(path).study_uid != ""


def test_an_owner_in_real_files_is_what_the_whole_header_says(shared_data: Path):
    n_read = 0
    for path in sorted((shared_data / "dicom" / "misc").rglob("*.dcm")):
        try:
            header = read_header(path)
        except BadDicom:
            continue
        owner = read_owner(path)
        assert all(getattr(owner, n) == getattr(header, n) for n in LABEL_FIELDS)
        n_read += 1

    assert n_read > 50
