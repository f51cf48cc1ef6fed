"""Typed doors to array functions whose own types say too little."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from imaging_platform.voxels.masks import Mask

_ndimage: Any = scipy.ndimage  # its inferred return types are unions with scalars

Volume = NDArray[np.float32]
Affine = NDArray[np.float64]


def distance_mm(mask: Mask, voxel_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each voxel lies from the mask, in mm; 0 inside."""
    return np.asarray(_ndimage.distance_transform_edt(~mask, sampling=voxel_mm))


def centre_of(mask: Mask) -> NDArray[np.float64]:
    """Return the mean index (x, y, z) of a mask that is not empty."""
    return np.asarray(_ndimage.center_of_mass(mask), dtype=np.float64)


def smooth(data: Volume, sigma_voxels: float | NDArray[np.float64]) -> Volume:
    """Return the data smoothed by a Gaussian, one width or one an axis."""
    return np.asarray(_ndimage.gaussian_filter(data, sigma_voxels, mode="nearest"))


def median_filter(data: Volume, size: int) -> Volume:
    """Return the median over a cube of `size` voxels around each voxel."""
    return np.asarray(_ndimage.median_filter(data, size=size))


def crop_to(mask: Mask, affine: Affine) -> tuple[tuple[slice, ...], Affine]:
    """Return the box of a mask with a rim of two voxels, and the affine of that box."""
    box = tuple(
        slice(max(0, int(index.min()) - 2), int(index.max()) + 3)
        for index in np.nonzero(mask)
    )
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return box, moved


def resample(
    data: NDArray[Any],
    pull: Affine,
    shape: tuple[int, ...],
    *,
    order: int,
    mode: str = "constant",
) -> NDArray[Any]:
    """
    Return the data on another grid by splines.

    Parameters
    ----------
    data
        Three dimensions.
    pull
        Shape (4, 4): index of the new grid to index of `data`.
    shape
        Shape of the new grid.
    order
        Degree of the spline: 0 nearest, 1 linear, 3 cubic.
    mode
        What lies outside: ``constant`` (0) or ``nearest``.
    """
    return np.asarray(
        _ndimage.affine_transform(
            data, pull[:3, :3], pull[:3, 3], output_shape=shape, order=order, mode=mode
        )
    )


def prepare_spline(data: Volume) -> NDArray[np.float64]:
    """Return the coefficients of the cubic spline through the voxels."""
    return np.asarray(_ndimage.spline_filter(data, order=3, mode="nearest"))


def sample_spline(
    spline: NDArray[np.float64], index: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the values of `prepare_spline`'s result at indices of shape (3, n)."""
    return np.asarray(
        _ndimage.map_coordinates(
            spline, index, order=3, mode="nearest", prefilter=False
        )
    )
