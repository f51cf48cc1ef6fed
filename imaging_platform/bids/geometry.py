"""Grid and orientation of a NIfTI-1 image, read from its first 348 bytes."""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.model.errors import InvalidOutput

_HEADER_BYTES = 348
_AXIS_CODES = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True)
class Geometry:
    """
    Grid of an image.

    Parameters
    ----------
    shape
        Voxels along i, j, k and, for series, volumes.
    zooms
        Voxel sizes in mm and, for series, the repetition time in s.
    affine
        Voxel indices to world coordinates in mm (RAS+), shape (4, 4).
    """

    shape: tuple[int, ...]
    zooms: tuple[float, ...]
    affine: NDArray[np.float64]

    @property
    def axis_codes(self) -> tuple[str, ...]:
        """Anatomical directions to which i, j, k grow, such as ``("L", "A", "S")``."""
        left = np.array(self.affine[:3, :3])
        codes = []
        for column in range(3):
            row = int(np.argmax(np.abs(left[:, column])))
            codes.append(_AXIS_CODES[row][int(left[row, column] > 0)])
            left[row, :] = 0
        return tuple(codes)

    @property
    def center_mm(self) -> tuple[float, ...]:
        """World coordinates of the middle of the grid, in mm."""
        middle = [(n - 1) / 2 for n in self.shape[:3]]
        place = self.affine @ [*middle, *[0.0] * (3 - len(middle)), 1.0]
        return tuple(float(x) for x in place[:3])


def read_geometry(image: Path) -> Geometry:
    """
    Read the grid of a NIfTI-1 image (nifti1.h of the NIfTI standard).

    The affine is the sform, else the qform, else the voxel sizes alone around the
    middle of the grid, as nibabel takes them.

    Raises
    ------
    InvalidOutput
        The file is cut off, or holds no NIfTI-1 header.
    """
    try:
        with image.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            n_bytes = file.seek(0, os.SEEK_END)
    except OSError:
        header, n_bytes = b"", 0
    order = next(
        (o for o in "<>" if header[:4] == struct.pack(o + "i", _HEADER_BYTES)), ""
    )
    if len(header) < _HEADER_BYTES or not order:
        raise InvalidOutput(
            "A converted image has no NIfTI-1 header.",
            fix="Convert the session again; see the report for the series.",
        )
    dims = struct.unpack_from(order + "8h", header, 40)
    pixdim = struct.unpack_from(order + "8f", header, 76)
    rank = min(max(dims[0], 0), 7)
    shape = tuple(int(n) for n in dims[1 : rank + 1])
    (n_bits,) = struct.unpack_from(order + "h", header, 72)
    (start,) = struct.unpack_from(order + "f", header, 108)
    if n_bytes < start + math.prod(shape) * n_bits // 8:
        raise InvalidOutput(
            "A converted image ends before its last voxel.",
            fix="Look at the space on the disk, and convert the session again.",
        )
    zooms = tuple(round(float(z), 6) for z in pixdim[1 : rank + 1])
    return Geometry(shape, zooms, _read_affine(header, order, shape, pixdim))


def _read_affine(
    header: bytes, order: str, shape: tuple[int, ...], pixdim: tuple[float, ...]
) -> NDArray[np.float64]:
    qform_code, sform_code = struct.unpack_from(order + "2h", header, 252)
    affine = np.eye(4)
    if sform_code > 0:
        rows = struct.unpack_from(order + "12f", header, 280)
        affine[:3] = np.array(rows).reshape(3, 4)
    elif qform_code > 0:
        b, c, d, *offset = struct.unpack_from(order + "6f", header, 256)
        scales = np.array(pixdim[1:4]) * [1, 1, -1 if pixdim[0] < 0 else 1]
        affine[:3, :3] = _rotation(b, c, d) * scales
        affine[:3, 3] = offset
    else:
        sizes = np.array(pixdim[1:4]) * [-1, 1, 1]
        middle = [(n - 1) / 2 for n in (*shape, 1, 1, 1)[:3]]
        affine[:3, :3] = np.diag(sizes)
        affine[:3, 3] = -sizes * middle
    return affine


def _rotation(b: float, c: float, d: float) -> NDArray[np.float64]:
    """Return the rotation of a unit quaternion without its first part."""
    a = max(1.0 - b * b - c * c - d * d, 0.0) ** 0.5
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
