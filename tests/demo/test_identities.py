from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pydicom
import pytest

from imaging_platform.demo.identities import (
    UID_ROOT,
    VISITS,
    made_up_uid,
    planted_identities,
)
from imaging_platform.demo.study import DemoStudy


@pytest.fixture(scope="module")
def content(folders: dict[str, Path]) -> bytes:
    """All bytes of all files, so that a search finds what is anywhere in them."""
    paths = [p for folder in folders.values() for p in folder.rglob("*") if p.is_file()]
    return b"\n".join(path.read_bytes() for path in sorted(paths))


def test_every_registered_identity_is_in_the_files(
    study: DemoStudy, content: bytes
) -> None:
    missing = [
        text for text in study.identities if text.encode("latin-1") not in content
    ]

    assert missing == []


def test_every_identity_is_long_enough_to_be_no_coincidence(study: DemoStudy) -> None:
    assert all(len(text) >= 6 for text in study.identities)
    assert len(set(study.identities)) == len(study.identities) > 60


def test_each_drop_name_carries_an_identity(study: DemoStudy) -> None:
    known = [text.lower() for text in study.identities]

    for drop in study.drops:
        assert any(text in drop.name.lower() for text in known)


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.name)
def test_names_hide_in_root_nested_and_private_elements(
    visit, folders: dict[str, Path]
) -> None:
    found = {"root": False, "nested": False, "private": False}
    for folder in folders.values():
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or all(found.values()):
                continue
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            if dataset.StudyInstanceUID != visit.uid("study"):
                continue
            found["root"] |= dataset.PatientName == visit.patient.name
            request = dataset.RequestAttributesSequence[0]
            found["nested"] |= (
                visit.patient.name in request.ReasonForTheRequestedProcedure
            )
            known = (visit.patient.name, visit.patient.patient_id, visit.scanner.serial)
            found["private"] |= any(
                any(text.encode() in _bytes_of(element) for text in known)
                for element in dataset
                if element.tag.is_private
            )
    assert found == {"root": True, "nested": True, "private": True}


def _bytes_of(element: pydicom.DataElement) -> bytes:
    if isinstance(element.value, bytes):
        return element.value
    return str(element.value).encode("latin-1")


def test_the_protocol_block_of_ge_names_the_patient_compressed(
    folders: dict[str, Path],
) -> None:
    path = next(
        p for folder in folders.values() for p in sorted(folder.rglob("*.MRDCM.1"))
    )
    block = pydicom.dcmread(path).private_block(0x0025, "GEMS_SERS_01")[0x1B].value

    text = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(block[4:])

    assert b"QUILLFEATHER^DESMOND" in text
    assert gzip.decompress(block[4 : 4 + int.from_bytes(block[:4], "little")]) == text


def test_every_uid_begins_with_the_root(folders: dict[str, Path]) -> None:
    folder = next(iter(folders.values()))
    dataset = pydicom.dcmread(next(p for p in sorted(folder.rglob("*")) if p.is_file()))

    for element in dataset.iterall():
        if element.VR == "UI" and not str(element.value).startswith("1.2.840.10008"):
            assert str(element.value).startswith(UID_ROOT)


def test_made_up_uids_are_valid_and_distinct() -> None:
    uids = {made_up_uid(str(number)) for number in range(500)}

    assert len(uids) == 500
    assert all(pydicom.uid.UID(uid).is_valid for uid in uids)


def test_the_register_is_the_same_each_time() -> None:
    assert planted_identities() == planted_identities()
