"""The header of a NIfTI image: time between volumes, and places where text can hide."""

from __future__ import annotations

import gzip
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from imaging_platform.model.errors import BadInput

_Source = IO[bytes] | gzip.GzipFile
_Change = Callable[[bytearray, str, bool], None]

_LEVEL = 3
"""As dcm2niix is asked to compress (`imaging_platform.tools.dcm2niix`)."""

_SMALLEST_START = 352
_MOST_EXTENSION_BYTES = 64 << 20
_SECONDS = 8
_TIME_MASK = 0x38
# Start and length of text that no reader needs for the image.
_TEXTS_1 = ((4, 28), (148, 80), (228, 24), (328, 16))
_TEXTS_2 = ((240, 80), (320, 24), (508, 16))


def set_repetition_time(image: Path, repetition_s: float) -> None:
    """
    Write the time between volumes into the header of an image, in seconds.

    The image is rewritten once, compressed as dcm2niix does; the same input gives
    the same bytes.

    Raises
    ------
    BadInput
        The file is no NIfTI image.
    """

    def change(head: bytearray, order: str, is_second: bool) -> None:
        if is_second:
            struct.pack_into(f"{order}d", head, 104 + 4 * 8, repetition_s)
            (units,) = struct.unpack_from(f"{order}i", head, 500)
            struct.pack_into(f"{order}i", head, 500, units & ~_TIME_MASK | _SECONDS)
        else:
            struct.pack_into(f"{order}f", head, 76 + 4 * 4, repetition_s)
            head[123] = head[123] & ~_TIME_MASK | _SECONDS

    _rewrite(image, image, change)


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
            with gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed:
                packed.write(head)
                shutil.copyfileobj(source, packed, 1 << 20)
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
