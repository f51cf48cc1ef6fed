from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.dicom.structure import (
    BadDicom,
    Reason,
    StructureLimits,
    scan_structure,
)
from tests.dicom.dicom_bytes import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_LS,
    UNDEFINED,
    dicom_file,
    element,
    item,
    mr_elements,
    mr_file,
    nested,
    sequence,
)

Save = Callable[[bytes], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save_bytes(data: bytes) -> Path:
        path = tmp_path / "file"
        path.write_bytes(data)
        return path

    return save_bytes


def reason_of(path: Path, limits: StructureLimits | None = None) -> Reason:
    with pytest.raises(BadDicom) as caught:
        scan_structure(path, limits=limits or StructureLimits())
    assert caught.value.fix
    assert caught.value.permanent
    return caught.value.reason


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_a_whole_file_passes_in_every_native_encoding(save: Save, syntax: str):
    structure = scan_structure(
        save(mr_file(syntax=syntax)), wanted=frozenset({0x00100020})
    )

    assert structure.transfer_syntax == syntax
    assert structure.n_elements == 12
    assert structure.pixel_bytes == 8
    assert structure.values[0x00100020] == b"P1"


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize("open_end", [False, True])
def test_nested_sequences_are_walked_to_their_depth(
    save: Save, syntax: str, open_end: bool
):
    extra = nested(5, syntax=syntax, open_end=open_end)

    structure = scan_structure(save(mr_file(syntax=syntax, extra=extra)))

    assert structure.depth == 5


@given(cut=st.integers(1, len(mr_file(extra=nested(2))) - 1))
def test_a_file_cut_inside_an_element_is_found(cut: int, tmp_path_factory):
    data = mr_file(extra=nested(2, open_end=True))
    path = tmp_path_factory.mktemp("cut") / "file"
    path.write_bytes(data[:cut])
    starts = element_starts(data)

    if cut in starts:
        assert scan_structure(path).n_elements < 14
    else:
        assert reason_of(path) in (Reason.TRUNCATED, Reason.NOT_DICOM)


def element_starts(data: bytes) -> set[int]:
    """Places between two elements at the top, where only the header tells a cut."""
    elements = mr_elements()
    body = [*elements[:-1], nested(2, open_end=True), elements[-1]]
    position = len(data) - sum(map(len, body))
    # Inside the file meta group, too, a cut between elements leaves a whole file.
    starts = {132, 144, 144 + 8 + 26, position}
    for part in body:
        position += len(part)
        starts.add(position)
    return starts


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"%PDF-1.7 and more", Reason.NOT_DICOM),
        (b"\xff\xd8\xff\xe0" + bytes(400), Reason.NOT_DICOM),
        (b"MZ" + bytes(400), Reason.NOT_DICOM),
        (bytes(400), Reason.NOT_DICOM),
        (b"\x08\x00", Reason.NOT_DICOM),
        (mr_file() + b"garbage after the end", Reason.TRAILING),
        (mr_file() + bytes(64), Reason.TRAILING),
        (mr_file(extra=nested(17)), Reason.DEEP),
        (mr_file(extra=nested(900, open_end=True)), Reason.DEEP),
        (
            mr_file(extra=element(0x00204000, "UT", b"x", length=0xFFFFFFFE)),
            Reason.TRUNCATED,
        ),
        (
            mr_file(extra=element(0x00204000, "LT", b"", length=0xFFFF)),
            Reason.TRUNCATED,
        ),
        (mr_file(extra=element(0x00204000, "??", b"x")), Reason.BROKEN),
        (
            mr_file(extra=element(0x00204000, "UT", b"x", length=UNDEFINED)),
            Reason.BROKEN,
        ),
        (mr_file(extra=element(0x00081140, "SQ", b"no item here")), Reason.BROKEN),
        (
            mr_file(
                extra=sequence(0x00081140, item(element(0x00100020, "LO", b"P")[:-1]))
            ),
            Reason.BROKEN,
        ),
        (dicom_file(b"", sop_class="1.2.840.10008.1.3.10"), Reason.DIRECTORY),
    ],
)
def test_what_is_not_a_whole_dicom_file_is_refused_with_its_reason(
    save: Save, data: bytes, reason: Reason
):
    assert reason_of(save(data)) is reason


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_a_file_without_preamble_and_meta_passes(save: Save, syntax: str):
    structure = scan_structure(save(b"".join(mr_elements(syntax=syntax))))

    assert not structure.has_preamble
    assert structure.transfer_syntax == syntax
    assert structure.is_big_endian == (syntax == BIG)


def test_a_file_with_meta_but_no_preamble_passes(save: Save):
    structure = scan_structure(save(mr_file()[132:]))

    assert not structure.has_preamble
    assert structure.n_elements == 12


def test_a_file_that_declares_another_encoding_is_read_as_it_is(save: Save):
    body = b"".join(mr_elements(syntax=IMPLICIT))

    structure = scan_structure(save(dicom_file(body, syntax=EXPLICIT)))

    assert structure.n_elements == 12


def test_an_executable_in_the_preamble_does_not_hide_the_dicom_file(save: Save):
    body = b"".join(mr_elements())

    structure = scan_structure(save(dicom_file(body, preamble=b"MZ".ljust(128))))

    assert structure.has_preamble


def test_encapsulated_pixel_data_are_walked_fragment_by_fragment(save: Save):
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    fragments = item(b"") + item(bytes(10)) + end
    pixels = element(0x7FE00010, "OB", fragments, length=UNDEFINED)
    body = b"".join(mr_elements()[:-1]) + pixels

    structure = scan_structure(save(dicom_file(body, syntax=JPEG_LS)))

    assert structure.has_pixels
    assert structure.pixel_bytes is None
    for cut in (2, 8, 9, 20):
        cut_file = save(dicom_file(body[:-cut], syntax=JPEG_LS))
        assert reason_of(cut_file) is Reason.TRUNCATED


def test_an_unknown_sequence_of_undefined_length_is_implicit_inside(save: Save):
    inner = element(0x00100020, "LO", b"P1", syntax=IMPLICIT)
    content = item(inner, open_end=True) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    extra = element(0x00291020, "UN", content, length=UNDEFINED)

    structure = scan_structure(save(mr_file(extra=extra)))

    assert structure.depth == 1


def test_a_deflate_bomb_is_not_inflated_beyond_the_limit(save: Save):
    extra = element(0x00204000, "UT", bytes(40 << 20))

    path = save(mr_file(syntax=DEFLATED, extra=extra))

    assert path.stat().st_size < 100_000
    assert scan_structure(path).n_elements == 13
    assert (
        reason_of(path, StructureLimits(max_inflated_bytes=1 << 20)) is Reason.INFLATED
    )


@pytest.mark.parametrize("n_cut", [1, 5, 40])
def test_a_truncated_deflated_file_is_found(save: Save, n_cut: int):
    path = save(mr_file(syntax=DEFLATED)[:-n_cut])

    assert reason_of(path) is Reason.TRUNCATED


def test_more_elements_than_the_limit_are_refused(save: Save):
    path = save(mr_file())

    assert reason_of(path, StructureLimits(max_elements=11)) is Reason.MANY_ELEMENTS
    assert (
        scan_structure(path, limits=StructureLimits(max_elements=12)).n_elements == 12
    )


@given(data=st.binary(max_size=300))
def test_any_bytes_after_a_preamble_pass_or_are_refused_in_our_words(
    data: bytes, tmp_path_factory
):
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(bytes(128) + b"DICM" + data)

    try:
        scan_structure(path)
    except BadDicom as error:
        assert error.reason in Reason


@given(
    position=st.integers(132, len(mr_file(extra=nested(3))) - 1),
    value=st.integers(0, 255),
)
def test_one_changed_byte_passes_or_is_refused_in_our_words(
    position: int, value: int, tmp_path_factory
):
    data = bytearray(mr_file(extra=nested(3)))
    data[position] = value
    path = tmp_path_factory.mktemp("flip") / "file"
    path.write_bytes(data)

    try:
        scan_structure(path)
    except BadDicom as error:
        assert error.reason in Reason


def test_every_real_file_is_whole_but_those_known_to_be_broken(shared_data: Path):
    broken = {}
    for path in sorted((shared_data / "dicom").rglob("*")):
        if path.is_file():
            try:
                scan_structure(path)
            except BadDicom as error:
                if error.reason not in (Reason.NOT_DICOM, Reason.DIRECTORY):
                    broken[path.name] = str(error.reason)

    assert broken == {
        "MR_truncated.dcm": "truncated",
        "rtplan_truncated.dcm": "truncated",
    }
