"""Pixel data on their way from original to output: cut to the image, never decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imaging_platform.deid.codestream import (
    SEARCHED_SYNTAXES,
    BadStream,
    Span,
    begins_frame,
    find_surplus,
)
from imaging_platform.deid.encoding import ITEM, SEQUENCE_END
from imaging_platform.deid.header import Header

_ITEM_HEAD = struct.Struct("<HHI")


@dataclass(frozen=True)
class PixelCopy:
    """
    What is written of the pixel data.

    Parameters
    ----------
    head
        Head of the element.
    start, stop
        Bytes of the original that are copied.
    tail
        Padding, or the delimiter of encapsulated data.
    blanks
        Bytes between `start` and `stop` that are written as zeros, in order: what
        compressed frames hold beside the image.
    """

    head: bytes
    start: int
    stop: int
    tail: bytes
    blanks: tuple[Span, ...] = ()


def plan_pixels(header: Header, data: bytes) -> PixelCopy | str:
    """
    Return what is written of the pixel data, or why nothing can be.

    What stands behind the last pixel is not part of the image and may hold anything.

    Parameters
    ----------
    header
        Of the original.
    data
        All of the original.
    """
    place = header.pixels
    if place is None or place.start == place.stop:
        return "no pixel data"
    encoding = header.encoding
    vr = place.vr or "OW"
    if header.is_encapsulated:
        if not place.is_open:
            return "pixel data are not encapsulated as declared"
        return _plan_fragments(header, data)
    if place.is_open:
        return "encapsulated pixel data in a native transfer syntax"
    needed = pixel_bytes_needed(header)
    if needed is None or not 0 < needed <= place.stop - place.start:
        return "pixel data shorter than the image"
    padding = b"\0" * (needed % 2)
    head = encoding.element_head(place.tag, vr, needed + len(padding))
    return PixelCopy(head, place.start, place.start + needed, padding)


def pixel_bytes_needed(header: Header) -> int | None:
    """
    Return how many bytes native pixel data must have, None if it cannot be told.

    Rows x columns x frames x samples x bits (PS3.3 section C.7.6.3).
    """
    rows, columns = header.number(0x00280010), header.number(0x00280011)
    bits = header.number(0x00280100)
    if not rows or not columns or not bits:
        return None
    samples = header.number(0x00280002) or 1
    frames = header.number(0x00280008) or 1
    if "_422" in header.text(0x00280004):
        samples = 2
    return (rows * columns * samples * frames * bits + 7) // 8


def _plan_fragments(header: Header, data: bytes) -> PixelCopy | str:
    place, encoding = header.pixels, header.encoding
    assert place is not None
    if header.syntax not in SEARCHED_SYNTAXES:
        return "a compression whose comments cannot be searched"
    offsets, *fragments = _spans_of_items(data, place.start, place.stop)
    head = encoding.open_head(place.tag, place.vr or "OW")
    start = place.start
    if not _are_offsets(data[slice(*offsets)], fragments):
        # A table that nobody needs (PS3.5 section A.4) is left out.
        head += encoding.mark(ITEM, 0)
        start = offsets[1]
    try:
        blanks = tuple(_blanks(header, data, fragments))
    except BadStream:
        return "pixel data are not compressed as declared"
    tail = encoding.mark(SEQUENCE_END, 0)
    return PixelCopy(head, start, place.stop, tail, blanks)


def _spans_of_items(data: bytes, position: int, stop: int) -> list[Span]:
    """Return where the value of each item lies; the engine has walked them before."""
    spans: list[Span] = []
    while position < stop:
        length = _ITEM_HEAD.unpack_from(data, position)[2]
        spans.append((position + _ITEM_HEAD.size, position + _ITEM_HEAD.size + length))
        position = spans[-1][1]
    return spans


def _are_offsets(table: bytes, fragments: Sequence[Span]) -> bool:
    """Return whether each number of a table tells where a fragment begins."""
    if not fragments or len(table) % 4:
        return not table
    first = fragments[0][0]
    known = {start - first for start, _ in fragments}
    numbers = [number for (number,) in struct.iter_unpack("<I", table)]
    return numbers == sorted(set(numbers)) and known.issuperset(numbers)


def _blanks(header: Header, data: bytes, fragments: Sequence[Span]) -> Iterator[Span]:
    rows, columns = header.number(0x00280010), header.number(0x00280011)
    n_bytes = (rows or 0) * (columns or 0)
    for frame in _frames(header, data, fragments):
        joined = b"".join(data[start:stop] for start, stop in frame)
        for surplus in find_surplus(joined, header.syntax, n_bytes):
            yield from _places_of(surplus, frame)


def _frames(
    header: Header, data: bytes, fragments: Sequence[Span]
) -> Iterator[list[Span]]:
    """Yield the fragments of each frame (PS3.5 section A.4)."""
    frame: list[Span] = []
    for start, stop in fragments:
        if frame and begins_frame(data[start : start + 4], header.syntax):
            yield frame
            frame = []
        frame.append((start, stop))
    if frame:
        if not begins_frame(data[frame[0][0] : frame[0][0] + 4], header.syntax):
            raise BadStream
        yield frame


def _places_of(surplus: Span, fragments: Sequence[Span]) -> Iterator[Span]:
    """Yield where the bytes of a joined frame stand in the file."""
    before = 0
    for start, stop in fragments:
        first = max(surplus[0] - before, 0)
        last = min(surplus[1] - before, stop - start)
        if first < last:
            yield start + first, start + last
        before += stop - start
