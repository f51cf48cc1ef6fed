"""How often each slice position occurs among the frames of an enhanced file."""

from __future__ import annotations

import mmap
import re
from collections import Counter
from pathlib import Path

# Image Position (Patient), three numbers as text, once a frame (PS3.3 section
# C.7.6.16.2.3); four bytes of length, or two of representation and two of length.
_NUMBER = rb"[-+.eE0-9 ]+"
_POSITION = re.compile(
    rb"\x20\x00\x32\x00.{4}(" + rb"\\".join([_NUMBER] * 3) + rb")", re.DOTALL
)
_PER_FRAME = b"\x00\x52\x30\x92"
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_DECIMALS = 2


def count_positions(path: Path, n_frames: int) -> Counter[tuple[float, ...]]:
    """
    Return slice position (mm, LPS) -> how often the frames of a file name it.

    Parameters
    ----------
    path
        A whole file with several frames.
    n_frames
        How many.

    Returns
    -------
    collections.Counter
        Empty when not each frame names one position, equally often, in little
        endian: then nothing is known.
    """
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        start, stop = content.find(_PER_FRAME), content.rfind(_PIXEL_DATA)
        if start < 0 or stop < start:
            return Counter()
        found = _POSITION.findall(content, start, stop)
    # Philips repeats it in a private copy of the frame's classic header.
    if len(found) % n_frames:
        return Counter()
    return Counter(
        tuple(round(float(part), _DECIMALS) for part in text.split(b"\\"))
        for text in found
    )
