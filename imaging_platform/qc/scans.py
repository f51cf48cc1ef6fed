"""What quality control reads: scans of a BIDS session and what was derived of them."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from imaging_platform.model.errors import BadInput


@dataclass(frozen=True, eq=False)
class Volumes:
    """
    An image read into memory.

    Parameters
    ----------
    data
        Shape (x, y, z) or (x, y, z, t); NaN and infinity were read as 0.
    affine
        Shape (4, 4), index to scanner mm.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]


def list_scans(session: Path, datatype: str, suffix: str) -> list[Path]:
    """Return the magnitude images of one kind in a session, in order of their names."""
    folder = session / datatype
    found = [*folder.glob(f"*_{suffix}.nii.gz"), *folder.glob(f"*_{suffix}.nii")]
    return sorted(path for path in found if "_part-phase" not in path.name)


def scan_name(path: Path) -> str:
    """Return a file name without ``.nii`` or ``.nii.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def scan_suffix(path: Path) -> str:
    """Return the suffix of a BIDS file, such as ``T1w``."""
    return scan_name(path).rsplit("_", 1)[-1]


def find_derived(
    session: Path | None, scan: Path, desc: str, suffix: str, extension: str = ".nii.gz"
) -> Path | None:
    """
    Return the derivative of a scan, or None when it was not made.

    Parameters
    ----------
    session
        Content of ``derivatives/<pipeline>/sub-X/ses-Y``, or None.
    scan
        The raw scan.
    desc, suffix, extension
        End of the derivative's name.
    """
    if session is None:
        return None
    stem = scan_name(scan).rsplit("_", 1)[0].replace("_part-mag", "")
    path = session / scan.parent.name / f"{stem}_desc-{desc}_{suffix}{extension}"
    return path if path.is_file() else None


def find_labelled(session: Path | None, scan: Path, label: str) -> Path | None:
    """Return the map of one tissue (``GM``, ``WM``, ``CSF``) of a scan, or None."""
    if session is None:
        return None
    stem = scan_name(scan).rsplit("_", 1)[0].replace("_part-mag", "")
    path = session / scan.parent.name / f"{stem}_label-{label}_probseg.nii.gz"
    return path if path.is_file() else None


def read_volumes(path: Path) -> Volumes:
    """
    Read a NIfTI file as 32-bit floats.

    Raises
    ------
    BadInput
        The file is damaged or is no image of three or four dimensions.
    """
    try:
        image = nib.load(path)  # type: ignore[attr-defined]
        data = np.asanyarray(image.dataobj)  # type: ignore[attr-defined]
        affine = np.asarray(image.affine, dtype=np.float64)  # type: ignore[attr-defined]
    except (
        nib.filebasedimages.ImageFileError,  # type: ignore[attr-defined]
        OSError,
        EOFError,
        ValueError,
        zlib.error,
    ) as error:
        raise _unreadable(path) from error
    if data.dtype.names or data.ndim not in (3, 4) or 0 in data.shape:
        raise _unreadable(path)
    values = np.nan_to_num(data.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return Volumes(values, affine)


def voxel_edges_mm(image: Volumes) -> tuple[float, float, float]:
    """Return the edges of a voxel in mm."""
    x, y, z = (float(edge) for edge in np.linalg.norm(image.affine[:3, :3], axis=0))
    return x, y, z


def count_volumes(path: Path) -> int:
    """Return the number of volumes of a NIfTI file from its header."""
    try:
        shape = nib.load(path).shape  # type: ignore[attr-defined]
    except (nib.filebasedimages.ImageFileError, OSError, EOFError) as error:  # type: ignore[attr-defined]
        raise _unreadable(path) from error
    return int(shape[3]) if len(shape) > 3 else 1


def read_sidecar(scan: Path) -> dict[str, object]:
    """Return the JSON object beside a scan; empty when there is none."""
    path = scan.with_name(scan_name(scan) + ".json")
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(
            f"The sidecar of {scan_name(scan)} is no JSON.",
            fix="Convert the session to BIDS again.",
        ) from error
    return value if isinstance(value, dict) else {}


def read_column(table: Path, column: str) -> NDArray[np.float64]:
    """
    Return a column of a BIDS table; ``n/a`` is NaN.

    Raises
    ------
    BadInput
        The table has no such column or holds something else than numbers.
    """
    rows = [line.split("\t") for line in table.read_text().splitlines() if line]
    try:
        index = rows[0].index(column)
        cells = [row[index] for row in rows[1:]]
        values = [float("nan") if cell == "n/a" else float(cell) for cell in cells]
    except (IndexError, ValueError) as error:
        raise BadInput(
            f"{table.name} has no column {column} of numbers.",
            fix="Make the motion of this session again.",
        ) from error
    return np.array(values)


def read_gradients(
    scan: Path,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return b-values (t,) and unit vectors (t, 3) of a DWI; None without a table."""
    bval = scan.with_name(scan_name(scan) + ".bval")
    bvec = scan.with_name(scan_name(scan) + ".bvec")
    if not bval.is_file() or not bvec.is_file():
        return None
    try:
        b_values, rows = np.loadtxt(bval, ndmin=1).ravel(), np.loadtxt(bvec, ndmin=2)
    except ValueError:
        return None
    if rows.shape != (3, b_values.size):
        return None
    lengths = np.linalg.norm(rows, axis=0)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-6)
    return b_values, unit.T


def _unreadable(path: Path) -> BadInput:
    return BadInput(
        f"{path.name} is no complete NIfTI image.",
        fix="Make it again, or exclude the scan in the rules.",
    )
