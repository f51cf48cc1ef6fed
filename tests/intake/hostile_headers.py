"""Files whose header lies, each with the verdict that it must get."""

from __future__ import annotations

import gzip
import struct

from tests.intake.drops import mr_bytes
from tests.intake.hostile import (
    BODY,
    GOOD,
    META,
    Hostile,
    element,
    meta_for,
    of_files,
    with_tail,
    zip_of,
)

_LONG_VRS = (b"OB", b"OW", b"SQ", b"UN", b"UT")
_JPEG_LOSSLESS = b"1.2.840.10008.1.2.4.70"


def with_element(group: int, number: int, vr: bytes, value: bytes | None) -> bytes:
    """Return an image with one element of the top level in its place; None: without."""
    new = b"" if value is None else element(group, number, vr, value)
    before, after, position = b"", b"", 0
    while position < len(BODY):
        tag = struct.unpack_from("<HH", BODY, position)
        kind = BODY[position + 4 : position + 6]
        if kind in _LONG_VRS:
            end = position + 12 + struct.unpack_from("<I", BODY, position + 8)[0]
        else:
            end = position + 8 + struct.unpack_from("<H", BODY, position + 6)[0]
        if tag < (group, number):
            before += BODY[position:end]
        elif tag > (group, number):
            after += BODY[position:end]
        position = end
    return META + before + new + after


def in_character_set(term: bytes, patient_id: bytes) -> bytes:
    """Return an image of a patient whose identifier is told in a character set."""
    body = with_element(0x10, 0x20, b"LO", patient_id)[len(META) :]
    return META + element(8, 5, b"CS", term) + body


def nested_by_length(depth: int) -> bytes:
    """Return an image behind sequences of known length inside each other."""
    inner = b""
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
        inner = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, len(item)) + item
    return META + inner + BODY


def nested_unknown(depth: int) -> bytes:
    """Return an image behind a private element whose type nobody told."""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    opened = struct.pack("<HH2sHI", 9, 0x1001, b"UN", 0, 0xFFFFFFFF) + item
    inner = struct.pack("<HHI", 8, 0x1140, 0xFFFFFFFF) + item
    return META + opened + inner * depth + BODY


def of_jpeg(fragments: bytes) -> bytes:
    """Return an image that says its pixels are JPEG, with these fragments."""
    pixels = element(0x7FE0, 0x10, b"OB", fragments, length=0xFFFFFFFF)
    return meta_for(_JPEG_LOSSLESS, with_tail(pixels)[len(META) :])


FRAGMENTS_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
NO_UID, BROKEN = "UID that is none", "broken structure"

REFUSED: dict[str, tuple[bytes, str]] = {
    "UID of a path": (with_element(8, 0x18, b"UI", b"../../../tmp/evil "), NO_UID),
    "UID with a NUL": (with_element(8, 0x18, b"UI", b"1.2\0/../3"), NO_UID),
    "UID of two lines": (with_element(8, 0x18, b"UI", b"1.2\n3.4 "), NO_UID),
    "UID of 10,000 characters": (with_element(8, 0x18, b"UI", b"1." * 5000), NO_UID),
    "study UID of words": (with_element(0x20, 0xD, b"UI", b"abc;rm -rf"), NO_UID),
    "no instance UID": (with_element(8, 0x18, b"UI", None), "no SOPInstanceUID"),
    "two patient ids": (
        META
        + BODY.replace(
            element(0x10, 0x20, b"LO", b"Ann^1 "),
            element(0x10, 0x20, b"LO", b"Ann^1 ") + element(0x10, 0x20, b"LO", b"Bob^"),
        ),
        BROKEN,
    ),
    "patient id of spaces": (with_element(0x10, 0x20, b"LO", b"    "), "no patient id"),
    "patient id that is no UTF-8": (
        in_character_set(b"ISO_IR 192", b"\xff\xfe\xc0\x80"), "no patient id"),
    "patient id that is a sequence": (
        with_element(0x10, 0x20, b"SQ", b""), "no patient id"),
    "frames beyond counting": (with_element(0x28, 8, b"IS", b"9" * 20), BROKEN),
    "frames that are no number": (with_element(0x28, 8, b"IS", b"NaN "), BROKEN),
    "fewer than no frames": (with_element(0x28, 8, b"IS", b"-5"), BROKEN),
    "no rows": (with_element(0x28, 0x10, b"US", b"\0\0"), "truncated"),
    "65,535 samples a pixel": (
        with_element(0x28, 2, b"US", b"\xff\xff"),
        "pixel data shorter than the image"),
    "2,000 nested sequences of known length": (
        nested_by_length(2000), "nested too deeply"),
    "5,000 nested elements of unknown type": (
        nested_unknown(5000), "nested too deeply"),
    "fragment longer than the file": (
        of_jpeg(struct.pack("<HHI", 0xFFFE, 0xE000, 0x7FFFFFF0)), "truncated"),
    "command and no data set": (
        struct.pack("<HHI", 0, 0, 4) + bytes(104), "not DICOM"),
    "gzip of an image": (gzip.compress(GOOD), "not DICOM"),
    "image and zip in one": (
        GOOD + zip_of({"a.dcm": GOOD}), "bytes after the last element"),
    "XML with entities": (
        b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aa">]><l>&a;</l>', "not DICOM"),
    "zeros": (bytes(5 << 20), "not DICOM"),
}  # fmt: skip

TAKEN: dict[str, bytes] = {
    "instance number beyond 64 bits": with_element(0x20, 0x13, b"IS", b"9" * 30),
    "series number beyond 64 bits": with_element(0x20, 0x11, b"IS", b"9" * 20),
    "acquisition of 400 digits": with_element(0x20, 0x12, b"IS", b"9" * 400),
    "images beyond counting": with_element(0x20, 0x1002, b"IS", b"9" * 20),
    "instance number that is no number": with_element(0x20, 0x13, b"IS", b"NaN "),
    "position that is no number": with_element(0x20, 0x32, b"DS", b"NaN\\inf\\1e999"),
    "date that no calendar has": with_element(8, 0x20, b"DA", b"20261399"),
    "time beyond the day": with_element(8, 0x32, b"TM", b"999999.99 "),
    "patient id of 60,000 characters": with_element(0x10, 0x20, b"LO", b"A" * 60000),
    "patient id with controls": with_element(0x10, 0x20, b"LO", b"A\n\x1b[31m\0B"),
    "patient id read backwards": in_character_set(
        b"ISO_IR 192", "\u202eevil".encode() + b" "
    ),
    "escapes that lead nowhere": in_character_set(
        b"\\ISO 2022 IR 87", b"A\x1b$B\x1b$B\xff\x1b("
    ),
    "3,000 character sets": META
    + element(8, 5, b"CS", b"\\".join([b"ISO 2022 IR 87"] * 3000))
    + BODY,
    "private element of 60 MB": with_element(9, 0x1001, b"OB", bytes(60 << 20)),
    "meta group that lies about its length": (
        META[:140] + struct.pack("<I", 0xFFFFFF) + META[144:] + BODY
    ),
    "transfer syntax that nobody knows": meta_for(b"1.2.3.4.5", BODY),
    "JPEG without a fragment": of_jpeg(FRAGMENTS_END),
    "padding at the end": GOOD + element(0xFFFC, 0xFFFC, b"OB", bytes(100)),
}


def _beside_a_good_one(data: bytes) -> dict[str, bytes]:
    return {"good.dcm": mr_bytes(instance=2), "odd.dcm": data}


DROPS: dict[str, Hostile] = {
    **{
        name: Hostile(
            of_files(_beside_a_good_one(data)),
            {"accepted": 1, "quarantined": 1},
            {reason: 1},
        )
        for name, (data, reason) in REFUSED.items()
    },
    **{
        name: Hostile(of_files(_beside_a_good_one(data)), {"accepted": 2})
        for name, data in TAKEN.items()
    },
}
