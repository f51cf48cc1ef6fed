"""Rigid alignment of two scans of one head, whatever their contrasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.optimize
from numpy.typing import NDArray

from imaging_platform.derivatives.images import Image
from imaging_platform.derivatives.realignment import (
    HEAD_RADIUS_MM,
    about,
    matrix_of,
)
from imaging_platform.derivatives.volumes import (
    Affine,
    Volume,
    centre_of,
    crop_to,
    distance_mm,
    smooth,
)
from imaging_platform.voxels.masks import Mask

_ndimage: Any = scipy.ndimage  # its inferred return types are unions with scalars
_optimize: Any = scipy.optimize

BINS = 32
MARGIN_MM = 6.0
"""The layer around the brain that takes part: its border is the best landmark."""

STEPS_MM = (8.0, 4.0)
"""Distance of the points that are compared, coarse to fine."""

FARTHEST_MM = 40.0
"""Scans of one session do not lie farther apart; beyond it the search went astray."""

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Alignment:
    """
    Where one scan lies in another.

    Parameters
    ----------
    matrix
        Shape (4, 4), millimetres of the fixed scan to millimetres of the moving one.
    moved_mm
        Greatest way of a point on a head's surface: 0 when the scanner's own
        coordinates fit already.
    information
        Normalized mutual information, 1 (nothing in common) to 2.
    """

    matrix: Affine
    moved_mm: float
    information: float


def align_rigid(fixed: Image, moving: Image, mask: Mask) -> Alignment:
    """
    Return the rigid way from one scan to another of the same head.

    Normalized mutual information (Studholme et al. 1999, Pattern Recognition 32:71)
    of points in and around the brain, maximized by Powell's method from where the
    scanner says that the head is (as SPM does; Collignon et al. 1995). Around the
    brain `fixed` counts as black: so an echo planar image, whose scalp is dark, fits
    within 2 mm instead of 10 mm. No chance takes part.

    Parameters
    ----------
    fixed, moving
        Three dimensions, any orientation, voxel size and contrast.
    mask
        Brain of `fixed`; neck and scalp look too different to help.

    Returns
    -------
    Alignment
        The scanner's own coordinates (identity) when no better place was found.
    """
    fixed, mask = _cut_out(fixed, mask)
    centre = _centre_mm(fixed, mask)
    scale = np.array([1.0] * 3 + [1 / HEAD_RADIUS_MM] * 3)
    coarse, fine = (_Cost.prepare(fixed, moving, mask, s) for s in STEPS_MM)
    start = _search(fine, scale, _search(coarse, scale, np.zeros(6)))
    rest, best = fine.information_of(np.zeros(6)), fine.information_of(start * scale)
    if best <= rest:
        start, best = np.zeros(6), rest
    matrix = about(matrix_of(start * scale), centre)
    return Alignment(matrix, round(_way_mm(matrix, centre), 3), round(best, 5))


def _search(
    cost: _Cost, scale: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    found = _optimize.minimize(
        lambda row: -cost.information_of(row * scale),
        start,
        method="Powell",
        bounds=[(-FARTHEST_MM, FARTHEST_MM)] * 6,
        options={"xtol": 0.02, "ftol": 1e-5, "maxiter": 6},
    )
    return np.asarray(found.x, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Cost:
    """What the search asks again and again, prepared once."""

    points_mm: Points
    centre_mm: NDArray[np.float64]
    bins: NDArray[np.intp]
    moving: Volume
    to_voxel: Affine

    @classmethod
    def prepare(cls, fixed: Image, moving: Image, mask: Mask, step_mm: float) -> _Cost:
        """Return what the search needs at one distance of the points."""
        stride = np.maximum(1, np.round(step_mm / fixed.voxel_mm)).astype(int)
        coarse = tuple(slice(None, None, int(s)) for s in stride)
        near = distance_mm(mask, fixed.voxel_mm)[coarse] <= MARGIN_MM
        index = np.array(np.nonzero(near)) * stride[:, None]
        values = _blur(fixed, step_mm)[tuple(index)]
        return cls(
            points_mm=fixed.affine[:3, :3] @ index + fixed.affine[:3, 3:],
            centre_mm=_centre_mm(fixed, mask),
            bins=np.round(_to_bins(values)).astype(np.intp),
            moving=_to_bins(_blur(moving, step_mm)),
            to_voxel=np.linalg.inv(moving.affine).astype(np.float64),
        )

    def information_of(self, row: NDArray[np.float64]) -> float:
        """Return the normalized mutual information after a movement (mm, rad)."""
        pull = self.to_voxel @ about(matrix_of(row), self.centre_mm)
        index = pull[:3, :3] @ self.points_mm + pull[:3, 3:]
        size = np.array(self.moving.shape)[:, None]
        inside = np.all((index >= 0) & (index <= size - 1), axis=0)
        if inside.sum() < 0.1 * inside.size:
            return 1.0
        values = _ndimage.map_coordinates(
            self.moving, index[:, inside], order=1, mode="nearest"
        )
        return _information(self.bins[inside], values)


def _information(bins: NDArray[np.intp], values: NDArray[np.float32]) -> float:
    low = np.minimum(values.astype(np.intp), BINS - 2)
    share = values - low
    flat = bins * BINS + low
    size = BINS * BINS
    joint = np.bincount(flat, weights=1 - share, minlength=size)
    joint = joint + np.bincount(flat + 1, weights=share, minlength=size)
    table = _ndimage.gaussian_filter(joint.reshape(BINS, BINS), 1.0, mode="nearest")
    table = table / table.sum()
    both = _entropy(table)
    return (_entropy(table.sum(axis=0)) + _entropy(table.sum(axis=1))) / both


def _entropy(share: NDArray[np.float64]) -> float:
    filled = share[share > 1e-12]
    return max(float(-(filled * np.log(filled)).sum()), 1e-12)


def _blur(image: Image, step_mm: float) -> Volume:
    ratio = step_mm / image.voxel_mm
    return smooth(image.data, np.where(ratio > 1.2, 0.4 * ratio, 0.0))


def _to_bins(data: Volume) -> Volume:
    low, high = np.percentile(data, [1, 99.5])
    scaled = (data - low) * ((BINS - 1) / max(float(high - low), 1e-6))
    return np.clip(scaled, 0, BINS - 1).astype(np.float32)


def _way_mm(matrix: Affine, centre_mm: NDArray[np.float64]) -> float:
    corners = centre_mm[:, None] + 80 * np.hstack([np.eye(3), -np.eye(3)])
    moved = matrix[:3, :3] @ corners + matrix[:3, 3:]
    return float(np.linalg.norm(moved - corners, axis=0).max())


def _cut_out(fixed: Image, mask: Mask) -> tuple[Image, Mask]:
    """Return the brain alone on black, with a margin around it."""
    margin = np.ceil(MARGIN_MM / fixed.voxel_mm).astype(int) + 1
    rim = [(int(m), int(m)) for m in margin]
    box, affine = crop_to(mask, fixed.affine)
    inside = np.pad(mask[box], rim)
    data = np.pad(np.where(mask[box], fixed.data[box], 0), rim)
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ margin
    return Image(data, moved), inside


def _centre_mm(image: Image, mask: Mask) -> NDArray[np.float64]:
    return image.affine[:3, :3] @ centre_of(mask) + image.affine[:3, 3]
