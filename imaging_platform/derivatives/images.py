"""NIfTI images: read as numbers, written to the same bytes every time."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from imaging_platform.files.writing import write_bytes
from imaging_platform.model.errors import BadInput

GZIP_LEVEL = 4
"""A third of the time of level 9 for files 4 % larger."""


@dataclass(frozen=True, eq=False)
class Image:
    """
    An image with its place in the scanner.

    Parameters
    ----------
    data
        Shape (x, y, z) or (x, y, z, t); NaN and infinity were read as 0.
    affine
        Shape (4, 4): voxel index to millimetres, axes right, anterior, superior.
    repetition_time_s
        Seconds between volumes; 0 for a single volume or when unknown.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    repetition_time_s: float = 0.0

    @property
    def voxel_mm(self) -> NDArray[np.float64]:
        """Length of the voxel's three edges in millimetres."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


def read_image(path: Path) -> Image:
    """
    Read a NIfTI file into memory as 32-bit floats, scaled by its header.

    Raises
    ------
    BadInput
        The file is damaged, is no NIfTI, has no volume, or its axes span no volume.
    """
    try:
        loaded = nib.load(path)  # type: ignore[attr-defined]
        data = np.asanyarray(loaded.dataobj)  # type: ignore[attr-defined]
        affine = np.asarray(loaded.affine, dtype=np.float64)  # type: ignore[attr-defined]
        zooms = loaded.header.get_zooms()  # type: ignore[attr-defined]
    except (
        nib.filebasedimages.ImageFileError,  # type: ignore[attr-defined]
        OSError,
        EOFError,
        ValueError,
        zlib.error,
    ) as error:
        raise _unreadable(path, "it is no complete NIfTI file") from error
    if data.dtype.names or np.iscomplexobj(data):
        raise _unreadable(path, "its voxels are no real numbers")
    if data.ndim not in (3, 4) or 0 in data.shape:
        raise _unreadable(path, f"its shape is {data.shape}")
    if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise _unreadable(path, "its axes span no volume")
    values = np.nan_to_num(data.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    repetition_s = float(zooms[3]) if data.ndim == 4 else 0.0
    return Image(values, affine, repetition_s)


def write_image(
    path: Path,
    data: NDArray[np.generic],
    affine: NDArray[np.float64],
    *,
    repetition_time_s: float = 0.0,
) -> None:
    """
    Write ``.nii.gz`` without a time or a name in it: same data, same bytes.

    Parameters
    ----------
    path
        Where the file stands afterwards.
    data
        Shape (x, y, z) or (x, y, z, t); the type on disk is the array's.
    affine
        Shape (4, 4), voxel index to scanner millimetres (sform and qform code 1).
    repetition_time_s
        Seconds between volumes, for 4-D data.
    """
    image = nib.Nifti1Image(data, affine)  # type: ignore[attr-defined]
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    if data.ndim == 4:
        image.header["pixdim"][4] = repetition_time_s
    write_bytes(path, gzip.compress(image.to_bytes(), GZIP_LEVEL, mtime=0))


def pack_int16(
    data: NDArray[np.float32],
) -> tuple[NDArray[np.int16], float]:
    """
    Return `data` as 16-bit integers and the factor that gives the values back.

    The step is 1/16000 of the greatest magnitude: far below the noise of any scan.
    """
    peak = float(np.max(np.abs(data))) if data.size else 0.0
    step = peak / 16000 if peak > 0 else 1.0
    return np.round(data / step).astype(np.int16), step


def write_packed(
    path: Path,
    data: NDArray[np.float32],
    affine: NDArray[np.float64],
    *,
    repetition_time_s: float,
) -> None:
    """Write a series as scaled 16-bit integers: half the size of 32-bit floats."""
    packed, step = pack_int16(data)
    image = nib.Nifti1Image(packed, affine)  # type: ignore[attr-defined]
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_slope_inter(step, 0.0)
    image.header["pixdim"][4] = repetition_time_s
    image.header["vox_offset"] = 352
    # nibabel's own writer would choose another scaling: keep ours.
    header = image.header.binaryblock + b"\0" * 4
    write_bytes(
        path,
        gzip.compress(header + packed.tobytes(order="F"), GZIP_LEVEL, mtime=0),
    )


def _unreadable(path: Path, why: str) -> BadInput:
    return BadInput(
        f"{path.name} cannot be used: {why}.",
        fix="Convert the session to BIDS again, or exclude the scan in the rules.",
    )
