"""
GE's packed protocol and user data, unpacked and written anew (GEMS_SERS_01, _PARM_01).

The protocol (0025,xx1b) is a gzip stream after its length, of ``set KEY "value"``
lines; it names the site's protocol and its author beside the order of slices.
"""

from __future__ import annotations

import re
import struct
import zlib

from imaging_platform.deid.values import Identity
from imaging_platform.deid.vocabulary import is_technical

MAX_PROTOCOL_BYTES = 1 << 22
MAX_LINES = 16
_LINE = re.compile(r'[ \t]*(?:set[ \t]+)?([A-Z][A-Z0-9_]*)[ \t]+"([^"\n]*)"[ \t\r]*')
_DELAY = r"\d{1,7}(?:\.\d{0,6})?"
_KEYS = {
    "SLICEORDER": r"\d{0,2}",
    "VIEWORDER": r"\d{0,2}",
    "MBACCEL": r"\d{0,2}",
    "NOSLC": r"\d{0,4}",
    "DELACQ": rf"Minimum|{_DELAY}|",
    "DELACQNOAV": rf"{_DELAY}|",
    "IOPT": r"[A-Za-z0-9]{1,10}(?:, ?[A-Za-z0-9]{1,10}){0,20}|",
    "PSEQ": r"[A-Za-z0-9_/\-]{0,20}",
    "PHASEDELAYS1": rf"{_DELAY}(?:[,; ]+{_DELAY}){{0,400}}[,; ]{{0,2}}|",
}
_WORDS = frozenset(["IOPT", "PSEQ"])


def rewrite_protocol(data: bytes, identifiers: Identity) -> bytes | None:
    """
    Return the packed protocol with the lines that conversion reads.

    Parameters
    ----------
    data
        Value of (0025,xx1b): four bytes of length, little endian, and gzip.
    identifiers
        Of the session.

    Returns
    -------
    bytes or None
        None when it cannot be unpacked within `MAX_PROTOCOL_BYTES`, or is XML.
    """
    text = unpack_protocol(data)
    if text is None:
        return None
    kept = []
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if not match or match.group(1) not in _KEYS:
            continue
        key, value = match.groups()
        if not re.fullmatch(_KEYS[key], value) or identifiers.echoes_in(value):
            continue
        if key not in _WORDS or is_technical(value):
            kept.append(f'{key} "{value}"')
    lines = ("\n".join(kept[:MAX_LINES]) + "\n").encode("ascii")
    packed = _gzip(lines)
    result = struct.pack("<I", len(packed)) + packed
    return result + b"\0" * (len(result) % 2)


def rewrite_user_data(data: bytes) -> bytes | None:
    """
    Return (0043,xx2a) with the numbers that tell phase encoding, the rest zero.

    Parameters
    ----------
    data
        The element's value: at byte 24 where the header starts; there its version
        and, behind it, flags of the pulse sequence.

    Returns
    -------
    bytes or None
        The same length; None when the layout is not known.
    """
    if len(data) < 916:
        return None
    (start,) = struct.unpack_from("<H", data, 24)
    if start < 26 or len(data) < start + 916:
        return None
    (version,) = struct.unpack_from("<f", data, start)
    if not 5.0 <= version <= 40.0:
        return None
    is_new = version >= 25.002
    flags = start + (0x4C if is_new else 0)
    kept = [(24, 2), (start, 4), (flags + 0x30, 2), (flags + 0x3A, 2)]
    kept.append((flags + (0x394 - 0x8C if is_new else 0x394), 2))
    result = bytearray(len(data))
    for position, size in kept:
        result[position : position + size] = data[position : position + size]
    return bytes(result)


def unpack_protocol(data: bytes) -> str | None:
    """Return the text of a packed protocol, None if it is not one."""
    if data[4:7] != b"\x1f\x8b\x08":
        return None
    engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = engine.decompress(data[4:], MAX_PROTOCOL_BYTES)
    except zlib.error:
        return None
    if not engine.eof or text.startswith(b"<?"):
        return None
    return text.decode("latin-1")


def _gzip(text: bytes) -> bytes:
    """
    Return a gzip stream without name and time, and not compressed (RFC 1951, 3.2.4).

    So it is the same bytes whatever compressor a machine has.
    """
    size = len(text)
    body = struct.pack("<BHH", 1, size, size ^ 0xFFFF) + text
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return head + body + struct.pack("<II", zlib.crc32(text), size)
