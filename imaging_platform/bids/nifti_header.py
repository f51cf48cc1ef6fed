"""
Writing a NIfTI image compressed, and what changes in its header on the way.

The header has the time between volumes, and places where text can hide.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from isal import isal_zlib

from imaging_platform.model.errors import BadInput

_Source = IO[bytes] | gzip.GzipFile
_Change = Callable[[bytearray, str, bool], None]

_LEVEL = 2
"""Of ISA-L: files as large as by zlib at level 2 to 3, for a seventh of its time."""

_CHUNK_BYTES = 1 << 18

_SMALLEST_START = 352
_MOST_EXTENSION_BYTES = 64 << 20
_SECONDS = 8
_TIME_MASK = 0x38
# Start and length of text that no reader needs for the image.
_TEXTS_1 = ((4, 28), (148, 80), (228, 24), (328, 16))
_TEXTS_2 = ((240, 80), (320, 24), (508, 16))


def pack_image(image: Path, target: Path, *, repetition_s: float | None = None) -> None:
    """
    Write an image as ``.nii.gz``, with another time between volumes if one is given.

    The same input gives the same bytes.

    Parameters
    ----------
    image
        ``.nii`` or ``.nii.gz``.
    target
        The new file, with the ending ``.nii.gz``.
    repetition_s
        Time between volumes in s; None leaves what the header says.

    Raises
    ------
    BadInput
        The file is no NIfTI image.
    """

    def change(head: bytearray, order: str, is_second: bool) -> None:
        if repetition_s is None:
            return
        if is_second:
            struct.pack_into(f"{order}d", head, 104 + 4 * 8, repetition_s)
            (units,) = struct.unpack_from(f"{order}i", head, 500)
            struct.pack_into(f"{order}i", head, 500, units & ~_TIME_MASK | _SECONDS)
        else:
            struct.pack_into(f"{order}f", head, 76 + 4 * 4, repetition_s)
            head[123] = head[123] & ~_TIME_MASK | _SECONDS

    _rewrite(image, target, change)


def copy_without_text(image: Path, target: Path) -> None:
    """
    Copy an image to ``.nii.gz`` with no text in header, extensions or gzip names.

    Voxels, shape, units and orientation stay as they are, bit for bit.

    Parameters
    ----------
    image
        ``.nii`` or ``.nii.gz``.
    target
        The new file, with the ending ``.nii.gz``.

    Raises
    ------
    BadInput
        The file is no NIfTI image.
    """

    def change(head: bytearray, order: str, is_second: bool) -> None:
        for start, length in _TEXTS_2 if is_second else _TEXTS_1:
            head[start : start + length] = bytes(length)
        after = 540 if is_second else 348
        head[after:] = bytes(len(head) - after)

    _rewrite(image, target, change)


def _rewrite(image: Path, target: Path, change: _Change) -> None:
    staged = target.with_name(f".staged-{target.name}")
    try:
        with _open(image) as source, staged.open("wb") as raw:
            head, order, is_second = _read_head(source)
            change(head, order, is_second)
            # wbits 31: gzip with neither name nor time in its header.
            packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, 31)
            raw.write(packer.compress(head))
            while chunk := source.read(_CHUNK_BYTES):
                raw.write(packer.compress(chunk))
            raw.write(packer.flush())
        staged.replace(target)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadInput(
            "An image is no whole NIfTI file.",
            fix="Make the image again, or leave it out.",
        ) from None
    finally:
        staged.unlink(missing_ok=True)


def _open(image: Path) -> _Source:
    return gzip.open(image) if image.name.endswith(".gz") else image.open("rb")


def _read_head(source: _Source) -> tuple[bytearray, str, bool]:
    """Return all before the first voxel, the byte order, and whether it is NIfTI-2."""
    head = bytearray(source.read(_SMALLEST_START))
    for order in ("<", ">"):
        (size,) = struct.unpack_from(f"{order}i", head)
        if size == 348 and head[344:347] == b"n+1":
            (start,) = struct.unpack_from(f"{order}f", head, 108)
        elif size == 540 and head[4:7] == b"n+2":
            (start,) = struct.unpack_from(f"{order}q", head, 168)
        else:
            continue
        if not _SMALLEST_START <= start <= _MOST_EXTENSION_BYTES:
            raise EOFError
        head += source.read(int(start) - len(head))
        return head, order, size == 540
    raise EOFError
