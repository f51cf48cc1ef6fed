"""How often each slice position occurs among the frames of an enhanced file."""

from __future__ import annotations

import mmap
import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imaging_platform.dicom.stacks import SourceFile

# Image Position (Patient), three numbers as text, once a frame (PS3.3 section
# C.7.6.16.2.3); four bytes of length, or two of representation and two of length.
_NUMBER = rb"[-+.eE0-9 ]+"
_POSITION = re.compile(
    rb"\x20\x00\x32\x00.{4}(" + rb"\\".join([_NUMBER] * 3) + rb")", re.DOTALL
)
_PER_FRAME = b"\x00\x52\x30\x92"
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_DECIMALS = 2


def count_positions(file: SourceFile) -> Counter[tuple[float, ...]]:
    """
    Return slice position (mm, LPS) -> how often the frames of a file name it.

    Parameters
    ----------
    file
        A whole file with several frames.

    Returns
    -------
    collections.Counter
        Empty when not each frame names one position, equally often, in little
        endian: then nothing is known.
    """
    header = file.header
    n_pixels = header.n_frames * (header.rows or 0) * (header.columns or 0)
    with (
        open(file.path, "rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        start, stop = content.find(_PER_FRAME), _find_pixels(content, n_pixels)
        if start < 0 or stop < start:
            return Counter()
        found = _POSITION.findall(content, start, stop)
    # Philips repeats it in a private copy of the frame's classic header.
    if len(found) % header.n_frames:
        return Counter()
    return Counter(
        tuple(round(float(part), _DECIMALS) for part in text.split(b"\\"))
        for text in found
    )


def _find_pixels(content: mmap.mmap, n_pixels: int) -> int:
    """
    Return where the pixel data begin, -1 when there are none.

    Those that are not compressed end with the file; for others it is searched.
    """
    for n_bytes in (2, 1, 4):
        for n_head in (12, 8):
            place = len(content) - n_pixels * n_bytes - n_head
            if place > 0 and content[place : place + 4] == _PIXEL_DATA:
                return place
    return content.rfind(_PIXEL_DATA)
