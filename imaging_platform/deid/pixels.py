"""Pixel data on their way from original to output: cut to the image, never decoded."""

from __future__ import annotations

from dataclasses import dataclass

from imaging_platform.deid.encoding import SEQUENCE_END
from imaging_platform.deid.header import Header


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
    """

    head: bytes
    start: int
    stop: int
    tail: bytes


def plan_pixels(header: Header) -> PixelCopy | str:
    """
    Return what is written of the pixel data, or why nothing can be.

    What stands behind the last pixel is not part of the image and may hold anything.
    """
    place = header.pixels
    if place is None or place.start == place.stop:
        return "no pixel data"
    encoding = header.encoding
    vr = place.vr or "OW"
    if header.is_encapsulated:
        if not place.is_open:
            return "pixel data are not encapsulated as declared"
        head = encoding.open_head(place.tag, vr)
        return PixelCopy(head, place.start, place.stop, encoding.mark(SEQUENCE_END, 0))
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
