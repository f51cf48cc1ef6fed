"""White matter and corpus callosum in the maps of a diffusion tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from imaging_platform.voxels.masks import Mask

_ndimage: Any = scipy.ndimage  # its inferred return types are unions with scalars

WM_FA = 0.35
"""Fractional anisotropy above which a voxel is white matter (MRIQC)."""

_RED, _OTHER = (0.4, 1.1), (0.008, 0.25)
"""Range of the colour along x and of the two others in the corpus callosum (MRIQC)."""


def segment_white_matter(fa: NDArray[Any]) -> Mask:
    """
    Return the largest part of closed and opened FA above `WM_FA`.

    Parameters
    ----------
    fa
        Fractional anisotropy, 0 to 1, (x, y, z).
    """
    smooth = np.round(_close_and_open(np.round(fa.astype(np.float32), 4)), 4)
    labels, count = _ndimage.label(smooth > WM_FA, np.ones((3, 3, 3)))
    if not count:
        return np.zeros(fa.shape, dtype=bool)
    return np.asarray(labels == int(np.argmax(np.bincount(labels.ravel())[1:])) + 1)


def segment_callosum(color_fa: NDArray[Any], wm: Mask) -> Mask:
    """
    Return the corpus callosum: white matter along x in the middle of the brain.

    The middle three fifths of the box around white matter, where the closed and
    opened colours lie in the ranges of MRIQC (after dipy's ``segment_from_cfa``);
    closed and opened.

    Parameters
    ----------
    color_fa
        FA times |principal direction|, (x, y, z, 3).
    wm
        White matter, (x, y, z).
    """
    if not wm.any():
        return np.zeros(wm.shape, dtype=bool)
    colors = np.round(color_fa.astype(np.float32), 4)
    red, green, blue = (_close_and_open(colors[..., axis]) for axis in range(3))
    found = wm & _middle_of(wm)
    found &= (red >= _RED[0]) & (red <= _RED[1])
    for other in (green, blue):
        found &= (other >= _OTHER[0]) & (other <= _OTHER[1])
    structure = _ndimage.generate_binary_structure(3, 2)
    closed = _ndimage.binary_closing(found, structure)
    return np.asarray(_ndimage.binary_opening(closed, structure), dtype=bool)


def _middle_of(mask: Mask) -> Mask:
    box = []
    for axis in range(3):
        others = tuple(each for each in range(3) if each != axis)
        found = np.flatnonzero(mask.any(axis=others))
        first, end = int(found[0]), int(found[-1]) + 1
        margin = (end - first) // 5
        box.append(slice(first + margin, end - margin))
    middle = np.zeros(mask.shape, dtype=bool)
    middle[tuple(box)] = True
    return middle


def _close_and_open(data: NDArray[Any]) -> NDArray[Any]:
    structure = _ndimage.generate_binary_structure(3, 2)
    closed = _ndimage.grey_closing(data, structure=structure)
    return np.asarray(_ndimage.grey_opening(closed, structure=structure))
