"""
What compressed pixel data hold beside the image, found without decoding them.

A compressed frame has room for comments, for a maker's own segments and for bytes
behind its end (ITU-T T.81 annex B, T.87 annex C, T.800 annex A; PS3.5 annex G).
They are named by their place, so that whoever copies the frame writes zeros there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

Span = tuple[int, int]
"""Start and stop of some bytes."""

_ROOT = "1.2.840.10008.1.2."
_JPEG = frozenset(f"{_ROOT}4.{n}" for n in (50, 51, 57, 70, 80, 81))
_JPEG_2000 = frozenset(f"{_ROOT}4.{n}" for n in (90, 91, 92, 93, 201, 202, 203))
_RLE = frozenset([f"{_ROOT}5"])
SEARCHED_SYNTAXES = _JPEG | _JPEG_2000 | _RLE
"""Transfer syntaxes whose frames are understood here."""

_SEGMENT = struct.Struct(">BBH")
_TILE = struct.Struct(">HHIBB")
_RLE_HEAD = struct.Struct("<16I")
# Between scan data a marker is 0xFF and none of stuffing, restart and fill.
_NEXT_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_COMMENT, _SCAN, _END = 0xFE, 0xDA, 0xD9
_APPLICATION = range(0xE0, 0xF0)
# Segments that say how the colours are coded, and have no room for more.
_NEEDED = (
    (0xE0, b"JFIF\0", 16),
    (0xE8, b"SPIFF\0", 32),
    (0xE8, b"\0\0\0\1\xff\xd8", 8),
    (0xE8, b"mrfx", 7),
    (0xEE, b"Adobe", 14),
)
_J2K_TILE, _J2K_COMMENT, _J2K_DATA = 0x90, 0x64, 0x93


class BadStream(Exception):
    """A frame is not what its transfer syntax says."""


def begins_frame(fragment: bytes, syntax: str) -> bool:
    """Return whether a fragment begins a frame, and does not go on with one."""
    if syntax in _RLE:
        return True
    return fragment[:2] == (b"\xff\xd8" if syntax in _JPEG else b"\xff\x4f")


def find_surplus(frame: bytes, syntax: str, segment_bytes: int) -> list[Span]:
    """
    Return the bytes of a frame that are not needed to decode it, in order.

    Parameters
    ----------
    frame
        All fragments of one frame, joined.
    syntax
        One of `SEARCHED_SYNTAXES`.
    segment_bytes
        Of an RLE frame: rows x columns, which is what each segment unpacks to.

    Raises
    ------
    BadStream
        The frame cannot be followed to its end.
    """
    try:
        if syntax in _JPEG:
            return list(_surplus_of_jpeg(frame))
        if syntax in _JPEG_2000:
            return list(_surplus_of_jpeg_2000(frame))
        return list(_surplus_of_rle(frame, segment_bytes))
    except (struct.error, IndexError):
        raise BadStream from None


def _surplus_of_jpeg(frame: bytes) -> Iterator[Span]:
    position = 2
    while True:
        while frame[position : position + 2] == b"\xff\xff":
            position += 1
        mark, code = frame[position], frame[position + 1]
        if mark != 0xFF:
            raise BadStream
        if code == _END:
            yield from _rest(frame, position + 2)
            return
        length = _SEGMENT.unpack_from(frame, position)[2]
        start, position = position + 4, position + 2 + length
        if length < 2 or position > len(frame):
            raise BadStream
        if code == _COMMENT or code in _APPLICATION:
            if not _is_needed(code, frame[start:position], length):
                yield start, position
        elif code == _SCAN:
            found = _NEXT_MARKER.search(frame, position)
            if found is None:
                raise BadStream
            position = found.start()


def _is_needed(code: int, value: bytes, length: int) -> bool:
    return any(
        code == one and value.startswith(name) and length == size
        for one, name, size in _NEEDED
    )


def _surplus_of_jpeg_2000(frame: bytes) -> Iterator[Span]:
    position, tile_end = 2, 0
    while True:
        mark, code, length = _head(frame, position)
        if mark != 0xFF:
            raise BadStream
        if code == _END:
            yield from _rest(frame, position + 2)
            return
        if code == _J2K_TILE:
            size = _TILE.unpack_from(frame, position + 2)[2]
            tile_end = position + size if size else frame.rfind(b"\xff\xd9")
        if code == _J2K_DATA:
            if tile_end < position:
                raise BadStream
            position = tile_end
            continue
        if length < 2 or position + 2 + length > len(frame):
            raise BadStream
        if code == _J2K_COMMENT:
            # What kind of comment it is stands before it.
            yield position + 6, position + 2 + length
        position += 2 + length


def _head(frame: bytes, position: int) -> tuple[int, int, int]:
    """Return marker and length of a segment; the last marker has no length."""
    if frame[position : position + 2] == b"\xff\xd9":
        return 0xFF, _END, 0
    return _SEGMENT.unpack_from(frame, position)


def _surplus_of_rle(frame: bytes, segment_bytes: int) -> Iterator[Span]:
    n_segments, *offsets = _RLE_HEAD.unpack_from(frame)
    starts = offsets[:n_segments]
    if not 0 < n_segments < 16 or starts != sorted(starts) or starts[0] < 64:
        raise BadStream
    yield 4 + 4 * n_segments, 64
    yield 64, starts[0]
    for start, stop in zip(starts, [*starts[1:], len(frame)], strict=True):
        yield _end_of_rle(frame, start, stop, segment_bytes), stop


def _end_of_rle(frame: bytes, position: int, stop: int, n_bytes: int) -> int:
    """Return where a segment has given all its bytes (PackBits, PS3.5 G.3.1)."""
    while n_bytes > 0 and position < stop:
        control = frame[position]
        if control < 128:
            n_bytes -= control + 1
            position += control + 2
        else:
            n_bytes -= 257 - control if control > 128 else 0
            position += 2 if control > 128 else 1
    if n_bytes > 0 or position > stop:
        raise BadStream
    return position


def _rest(frame: bytes, start: int) -> Iterator[Span]:
    if frame[start:].strip(b"\0"):
        yield start, len(frame)
