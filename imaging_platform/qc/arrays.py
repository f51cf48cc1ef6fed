"""Typed doors to array functions whose own types say too little."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from imaging_platform.voxels.masks import Mask

_ndimage: Any = scipy.ndimage  # its inferred return types are unions with scalars

Volume = NDArray[np.float32]


def distance_inside(mask: Mask) -> NDArray[np.float64]:
    """Return the distance in voxels of each voxel of a mask to the mask's outside."""
    return np.asarray(_ndimage.distance_transform_edt(mask))


def smooth(data: NDArray[Any], sigma: Any) -> NDArray[Any]:
    """Return the data smoothed by a Gaussian of `sigma` voxels (one or one an axis)."""
    return np.asarray(_ndimage.gaussian_filter(data, sigma))


def zoom_to(data: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the data stretched to another shape, linear, ends on ends."""
    factors = [new / old for new, old in zip(shape, data.shape, strict=True)]
    return np.asarray(
        _ndimage.zoom(data, factors, order=1, grid_mode=True, mode="nearest")
    )
