"""Smoothness of an image by the differences of neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging_platform.voxels.masks import Mask

FWHM_OF_SIGMA = 2.35482
"""Full width at half maximum of a Gaussian of standard deviation 1."""

LEAST_PAIRS = 36
"""Fewer pairs of neighbours along an axis tell nothing."""


def fwhm(data: NDArray[Any], mask: Mask) -> dict[str, float]:
    """
    Return the smoothness of an image in voxels, by axis.

    sigma^2 = -1 / (4 ln(1 - V / 2)) with V the variance of differences of neighbours
    over that of the image (Forman et al. 1995, Magn Reson Med 33:636), as AFNI's
    ``3dFWHMx`` in its classic form, which MRIQC runs and divides by the voxel size.

    Parameters
    ----------
    data
        Shape (x, y, z).
    mask
        Where it is measured, of the same shape.

    Returns
    -------
    dict
        ``x``, ``y``, ``z`` and their mean ``avg``; NaN where it cannot be told.
    """
    box = _bounding_box(mask)
    values, mask = data[box].astype(np.float64), mask[box]
    inside = values[mask]
    variance = float(inside.var(ddof=1)) if inside.size > 1 else 0.0
    widths = [_width(values, mask, axis, variance) for axis in range(3)]
    return {**dict(zip("xyz", widths, strict=True)), "avg": float(np.mean(widths))}


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box = []
    for axis in range(3):
        others = tuple(each for each in range(3) if each != axis)
        found = np.flatnonzero(mask.any(axis=others))
        box.append(slice(found[0], found[-1] + 1) if found.size else slice(0, 0))
    return tuple(box)


def _width(data: NDArray[np.float64], mask: Mask, axis: int, variance: float) -> float:
    size = data.shape[axis]
    ahead, behind = (
        tuple(part if each == axis else slice(None) for each in range(3))
        for part in (slice(1, size), slice(0, size - 1))
    )
    pairs = mask[ahead] & mask[behind]
    change = data[ahead][pairs] - data[behind][pairs]
    if change.size < LEAST_PAIRS or variance <= 0:
        return float("nan")
    alike = 1 - 0.5 * float(change.var(ddof=1)) / variance
    if not 0 < alike < 1:
        return float("nan")
    return FWHM_OF_SIGMA * float(np.sqrt(-1 / (4 * np.log(alike))))
