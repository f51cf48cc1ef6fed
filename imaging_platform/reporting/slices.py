"""Volumes as rows of slices: oriented, isotropic, cropped; no drawing."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

_Voxel = TypeVar("_Voxel", bound=np.generic)

_FINE_MM = 1.5
_MANY_VOXELS = 2_000_000
_MOST_UNPACKED_BYTES = 50_000_000

PLANES = ("sagittal", "coronal", "axial")
"""Planes by the axis that they cut: x, y, z."""


@dataclass(frozen=True, eq=False)
class Volume:
    """
    A volume in the axes nearest to RAS+.

    Parameters
    ----------
    data
        Shape (x, y, z) or (x, y, z, 3); x grows to the right, y to the front, z up.
    spacing_mm
        Size of a voxel along x, y, z.
    origin_mm
        World position of the centre of voxel (0, 0, 0), for labels.
    """

    data: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]

    def like(self, data: NDArray[np.float32]) -> Volume:
        """Return another volume on the same grid."""
        return Volume(data, self.spacing_mm, self.origin_mm)


@dataclass(frozen=True, eq=False)
class Tiles:
    """
    Slices laid out on one canvas.

    Parameters
    ----------
    image
        Shape (rows, columns) or (rows, columns, 3), first row on top.
    labels
        Text and the pixel (column, row) of its lower left corner.
    """

    image: NDArray[np.float32]
    labels: tuple[tuple[str, int, int], ...]


@functools.lru_cache(maxsize=6)
def load_image(path: Path) -> Nifti1Image:
    """
    Read a NIfTI file as it is, as float32; of a series, the first volume.

    NaN and infinity become 0. The last few are kept, since several pictures show
    the same volume.
    """
    import nibabel as nib
    from isal import igzip

    if path.suffix != ".gz":
        image = nib.Nifti1Image.from_filename(path)
    elif path.stat().st_size <= _MOST_UNPACKED_BYTES:
        image = nib.Nifti1Image.from_bytes(igzip.decompress(path.read_bytes()))
    else:
        image = nib.Nifti1Image.from_filename(path)
    proxy = image.dataobj
    is_series = len(image.shape) == 4 and image.shape[3] != 3
    data = np.asarray(proxy[..., 0] if is_series else proxy, dtype=np.float32)
    if np.issubdtype(image.get_data_dtype(), np.floating):
        data = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
    return nib.Nifti1Image(data, image.affine)


def read_mask(path: Path | None) -> NDArray[np.bool_] | None:
    """Return where a mask is above one half, nearest to RAS; None without a file."""
    return None if path is None else read_volume(path).data > 0.5


def turn_to_ras(data: NDArray[_Voxel], affine: NDArray[np.float64]) -> NDArray[_Voxel]:
    """Return an array whose first three axes are turned to the nearest of RAS+."""
    from nibabel.orientations import apply_orientation, io_orientation

    return np.asarray(apply_orientation(data, io_orientation(affine)))


def affine_of(image: Nifti1Image) -> NDArray[np.float64]:
    """Return the matrix (4, 4) from voxels to mm of the scanner."""
    return np.asarray(image.affine, dtype=np.float64)


def resample_labels(labels: Nifti1Image, like: Nifti1Image) -> NDArray[np.int16]:
    """Return labels on another grid, by their place in the scanner; 0 outside."""
    from scipy.ndimage import affine_transform

    pull = np.linalg.inv(affine_of(labels)) @ affine_of(like)
    moved = affine_transform(
        np.asarray(labels.dataobj).astype(np.int16),
        pull,
        output_shape=like.shape,
        order=0,
    )
    return np.asarray(moved, dtype=np.int16)


def read_volume(path: Path) -> Volume:
    """
    Read a NIfTI file in RAS+ axes; of a series only the first volume, unless it is RGB.

    NaN and infinity become 0.
    """
    import nibabel as nib

    image = nib.as_closest_canonical(load_image(path))
    data = np.asarray(image.dataobj)
    if data.ndim == 5:
        data = data[:, :, :, 0, :]
    spacing = image.header.get_zooms()[:3]
    origin = image.affine[:3, 3]
    return Volume(
        data,
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        (float(origin[0]), float(origin[1]), float(origin[2])),
    )


def crop_to_brain(
    volume: Volume, mask: NDArray[np.bool_], *, margin_mm: float = 6.0
) -> Volume:
    """
    Return `volume` with everything further than `margin_mm` from the brain set to 0.

    No face, no ear and no neck remain, so that every plane may be shown.

    Parameters
    ----------
    mask
        Brain, on the grid of `volume`. An empty mask leaves an empty volume.
    margin_mm
        How much around the brain stays, in mm, so that the rim can be judged.
    """
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return volume.like(np.zeros_like(volume.data))
    inside = np.zeros_like(mask)
    steps = [int(np.ceil(margin_mm / size)) + 1 for size in volume.spacing_mm]
    box = tuple(
        slice(max(low - step, 0), high + step)
        for (low, high), step in zip(bounds(mask), steps, strict=True)
    )
    # Every second voxel is enough for a margin, and eight times as quick.
    halves = [2 if size < _FINE_MM else 1 for size in volume.spacing_mm]
    coarse = mask[box][tuple(slice(None, None, n) for n in halves)]
    sampling = [n * s for n, s in zip(halves, volume.spacing_mm, strict=True)]
    near = np.asarray(distance_transform_edt(~coarse, sampling=sampling)) <= margin_mm
    for axis, n in enumerate(halves):
        near = near.repeat(n, axis=axis)
    inside[box] = near[tuple(slice(size) for size in inside[box].shape)]
    return volume.like(np.where(inside, volume.data, np.float32(0)))


def bounds(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and one-past-last index of True along x, y, z; all when none is."""
    if not mask.any():
        return [(0, size) for size in mask.shape]
    found = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        hits = np.flatnonzero(mask.any(axis=others))
        found.append((int(hits[0]), int(hits[-1]) + 1))
    return found


def window(
    data: NDArray[np.float32], *, low: float = 1.0, high: float = 99.5
) -> tuple[float, float]:
    """
    Return the grey window: two percentiles of the voxels that are not zero.

    (0, 1) when there is none; the upper end is always above the lower one.
    """
    # A regular sample: a million voxels know the percentiles of ten million.
    step = 2 if data.size > _MANY_VOXELS else 1
    values = data[tuple(slice(None, None, step) for _ in data.shape[:3])]
    values = values[values != 0]
    if values.size == 0:
        return 0.0, 1.0
    bottom, top = (float(v) for v in np.percentile(values, [low, high]))
    return bottom, top if top > bottom else bottom + 1.0


def cut(
    volume: Volume,
    plane: str,
    index: int,
    box: list[tuple[int, int]],
    pixel_mm: float,
) -> NDArray[np.float32]:
    """
    Return one slice as a picture: up is superior or anterior, right is right or front.

    Parameters
    ----------
    plane
        One of `PLANES`.
    index
        Voxel index along the axis that the plane cuts.
    box
        Limits of the two other axes (`bounds`), in voxels.
    pixel_mm
        Size of a pixel of the picture; linear interpolation.
    """
    from scipy.ndimage import zoom

    axis = PLANES.index(plane)
    limits = [slice(*one) for one in box]
    limits[axis] = slice(index, index + 1)
    data = np.squeeze(volume.data[tuple(limits)], axis=axis)
    spacing = [s for n, s in enumerate(volume.spacing_mm) if n != axis]
    factors = [
        max(s / pixel_mm, 1 / n) for s, n in zip(spacing, data.shape, strict=False)
    ]
    if data.ndim == 3:
        channels = [zoom(data[..., c], factors, order=1) for c in range(3)]
        picture = np.stack(channels, axis=-1)
    else:
        picture = zoom(data, factors, order=1)
    return np.ascontiguousarray(np.swapaxes(picture, 0, 1)[::-1], dtype=np.float32)


def spread(low: int, high: int, count: int, *, inset: float = 0.1) -> list[int]:
    """Return `count` indices evenly from `low` to `high` - 1, without the ends."""
    size = high - low
    first, last = low + inset * size, high - 1 - inset * size
    return (
        [round(v) for v in np.linspace(first, last, count)]
        if count > 1
        else [(low + high - 1) // 2]
    )


def lay_out(
    volume: Volume,
    rows: list[tuple[str, list[int]]],
    box: list[tuple[int, int]],
    pixel_mm: float,
    *,
    gap: int = 4,
    together: bool = False,
) -> Tiles:
    """
    Lay slices out, one row for each entry of `rows`, centred in cells of equal width.

    Parameters
    ----------
    rows
        Plane and voxel indices along its axis.
    box
        Limits of what is shown, in voxels.
    pixel_mm
        Size of a pixel.
    gap
        Pixels between tiles.
    together
        All rows behind each other in one row.
    """
    cut_rows = [
        [(plane, i, cut(volume, plane, i, box, pixel_mm)) for i in indices]
        for plane, indices in rows
    ]
    if together:
        cut_rows = [[tile for row in cut_rows for tile in row]]
    width = max(t.shape[1] for row in cut_rows for *_, t in row)
    columns = max(len(row) for row in cut_rows)
    heights = [max(t.shape[0] for *_, t in row) for row in cut_rows]
    if together:
        total = sum(t.shape[1] + gap for *_, t in cut_rows[0]) - gap
    else:
        total = columns * (width + gap) - gap
    shape = (sum(heights) + gap * (len(heights) - 1), total, *volume.data.shape[3:])
    canvas = np.zeros(shape, dtype=np.float32)
    labels = []
    top = 0
    for row, height in zip(cut_rows, heights, strict=True):
        left = 0
        for plane, index, tile in row:
            cell = tile.shape[1] if together else width
            y = top + (height - tile.shape[0]) // 2
            x = left + (cell - tile.shape[1]) // 2
            canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            labels.append((_position(volume, plane, index), left + 3, top + height - 4))
            left += cell + gap
        top += height + gap
    return Tiles(canvas, tuple(labels))


def _position(volume: Volume, plane: str, index: int) -> str:
    axis = PLANES.index(plane)
    position = volume.origin_mm[axis] + index * volume.spacing_mm[axis]
    return f"{'xyz'[axis]} {position:+.0f}"
