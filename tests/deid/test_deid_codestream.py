"""Compressed frames keep their image and nothing beside it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from imaging_platform.deid.codestream import (
    SEARCHED_SYNTAXES,
    BadStream,
    find_surplus,
)
from tests.deid.conftest import Anonymize
from tests.deid.originals import make_original, save

JPEG, JPEG_2000, RLE = (f"1.2.840.10008.1.2.{n}" for n in ("4.70", "4.90", "5"))
NAME = b"Zuckerschwerdt^Oldewelt "


def _segment(code: int, value: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(value) + 2) + value


def _jpeg(*, comment: bytes = b"", rest: bytes = b"") -> bytes:
    said = _segment(0xFE, comment) + _segment(0xE1, comment) if comment else b""
    frame = _segment(0xC3, bytes(9)) + said + _segment(0xDA, bytes(6))
    return b"\xff\xd8" + frame + b"\x12\xff\0\x34\xff\xd0\x56\xff\xd9" + rest


def _jpeg_2000(*, comment: bytes = b"", rest: bytes = b"") -> bytes:
    said = _segment(0x64, b"\0\1" + comment) if comment else b""
    data = b"\xff\x93" + bytes(range(1, 40))
    size = 12 + len(said) + len(data)
    tile = struct.pack(">HHHIBB", 0xFF90, 10, 0, size, 0, 1) + said + data
    return b"\xff\x4f" + _segment(0x51, bytes(39)) + said + tile + b"\xff\xd9" + rest


def _rle(*, comment: bytes = b"", rest: bytes = b"") -> bytes:
    head = struct.pack("<2I", 1, 64) + comment
    return head.ljust(64, b"\0") + b"\x17" + bytes(range(24)) + rest


FRAMES = {JPEG: _jpeg, JPEG_2000: _jpeg_2000, RLE: _rle}


def _cleaned(frame: bytes, syntax: str) -> bytes:
    clean = bytearray(frame)
    for start, stop in find_surplus(frame, syntax, 24):
        clean[start:stop] = bytes(stop - start)
    return bytes(clean)


@pytest.mark.parametrize("syntax", FRAMES)
def test_comments_and_what_stands_behind_a_frame_are_found(syntax):
    frame = FRAMES[syntax](comment=NAME, rest=NAME)

    clean = _cleaned(frame, syntax)

    assert NAME in frame
    assert NAME[:5] not in clean
    assert len(clean) == len(frame)


@pytest.mark.parametrize("syntax", FRAMES)
def test_a_frame_with_nothing_beside_its_image_is_unchanged(syntax):
    frame = FRAMES[syntax]()

    assert _cleaned(frame, syntax) == frame


@given(frame=st.binary(max_size=200), cut=st.integers(0, 90))
@pytest.mark.parametrize("syntax", sorted(SEARCHED_SYNTAXES))
def test_any_bytes_are_followed_to_their_end_or_refused(syntax, frame, cut):
    for data in (frame, *(make()[:cut] + frame for make in FRAMES.values())):
        try:
            found = find_surplus(data, syntax, 24)
        except BadStream:
            continue

        assert all(start >= 0 and stop <= len(data) for start, stop in found)


def _compressed(folder: Path, syntax: str, value: bytes) -> Path:
    folder.mkdir()
    original = make_original(1)
    original.file_meta.TransferSyntaxUID = UID(syntax)
    original.PixelData = value
    original["PixelData"].VR = "OB"
    original["PixelData"].is_undefined_length = True
    save(original, folder / "1")
    return folder


@pytest.mark.parametrize("syntax", FRAMES)
def test_nothing_beside_a_compressed_image_is_written(
    tmp_path, anonymize: Anonymize, syntax
):
    dirty = FRAMES[syntax](comment=NAME, rest=NAME)
    more = struct.pack("<HHI", 0xFFFE, 0xE000, len(NAME)) + NAME
    value = encapsulate([dirty], has_bot=False)
    if syntax != RLE:
        # One more fragment belongs to the frame before it.
        value += more
    table = struct.pack("<HHI", 0xFFFE, 0xE000, len(NAME)) + NAME + value[8:]

    result = anonymize(_compressed(tmp_path / "in", syntax, table))

    (path,) = result.target.rglob("*.dcm")
    written = path.read_bytes()
    assert result.report.files_written == 1
    assert NAME[:8] not in written
    assert _cleaned(dirty, syntax) in written


@pytest.mark.parametrize("syntax", FRAMES)
def test_a_frame_that_cannot_be_followed_is_kept_back(
    tmp_path, anonymize: Anonymize, syntax
):
    value = encapsulate([NAME * 4])

    report = anonymize(_compressed(tmp_path / "in", syntax, value)).report

    (kept_back,) = report.quarantined
    assert kept_back.reason == "pixel data are not compressed as declared"


def test_a_compression_that_nobody_searches_is_kept_back(
    tmp_path, anonymize: Anonymize
):
    mpeg = "1.2.840.10008.1.2.4.102"

    report = anonymize(_compressed(tmp_path / "in", mpeg, encapsulate([NAME]))).report

    (kept_back,) = report.quarantined
    assert kept_back.reason == "a compression whose comments cannot be searched"


@pytest.mark.filterwarnings("ignore")
def test_real_frames_decode_to_the_same_voxels_without_what_they_said(shared_data):
    n_compared = 0
    for path in sorted((shared_data / "dicom/misc").rglob("*.dcm")):
        original = dcmread(path, force=True)
        syntax = original.file_meta.get("TransferSyntaxUID", "")
        if syntax not in (*FRAMES, "1.2.840.10008.1.2.4.50"):
            continue
        if int(original.get("NumberOfFrames", 1)) > 1 or "PixelData" not in original:
            continue
        items = original.PixelData
        start = 16 + struct.unpack_from("<I", items, 4)[0]
        stop = start + struct.unpack_from("<I", items, start - 4)[0]
        frame = items[start:stop]
        n_bytes = original.Rows * original.Columns
        try:
            voxels = original.pixel_array.copy()
            spans = find_surplus(frame, syntax, n_bytes)
        except (BadStream, RuntimeError, NotImplementedError):
            continue
        clean = bytearray(frame)
        for first, last in spans:
            clean[first:last] = bytes(last - first)
        original.PixelData = items[:start] + bytes(clean) + items[stop:]

        assert np.array_equal(original.pixel_array, voxels)
        n_compared += 1
    assert n_compared > 5
