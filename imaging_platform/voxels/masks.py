"""Masks: boolean volumes, grown, shrunk, filled and cut out of images."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

_ndimage: Any = scipy.ndimage  # its inferred return types are unions with scalars

Mask = NDArray[np.bool_]
"""A volume of (x, y, z) booleans."""


def dilate(mask: Mask, steps: int = 1) -> Mask:
    """Return the mask grown over its faces by so many voxels."""
    return np.asarray(_ndimage.binary_dilation(mask, iterations=steps), dtype=bool)


def erode(mask: Mask, steps: int = 1) -> Mask:
    """Return the mask shrunk over its faces by so many voxels."""
    return np.asarray(_ndimage.binary_erosion(mask, iterations=steps), dtype=bool)


def open_mask(mask: Mask, steps: int = 1) -> Mask:
    """Return the mask without parts thinner than twice so many voxels."""
    return np.asarray(_ndimage.binary_opening(mask, iterations=steps), dtype=bool)


def fill(mask: Mask) -> Mask:
    """Return the mask with its enclosed holes filled."""
    return np.asarray(_ndimage.binary_fill_holes(mask), dtype=bool)


def largest_part(mask: Mask) -> Mask:
    """Return the largest face-connected part; an empty mask stays empty."""
    labels, count = _ndimage.label(mask)
    if count == 0:
        return mask
    return np.asarray(labels == int(np.argmax(np.bincount(labels.ravel())[1:])) + 1)


def otsu_threshold(values: NDArray[Any], bins: int = 256) -> float:
    """
    Return the value that splits `values` into two classes of least spread.

    Otsu 1979, IEEE Trans SMC 9:62. All-equal values return that value.
    """
    counts, edges = np.histogram(values, bins=bins)
    middles = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts).astype(float)
    total = np.cumsum(counts * middles)
    rest = weight[-1] - weight
    valid = (weight > 0) & (rest > 0)
    if not valid.any():
        return float(edges[0])
    below = total[valid] / weight[valid]
    above = (total[-1] - total[valid]) / rest[valid]
    between = weight[valid] * rest[valid] * (below - above) ** 2
    return float(middles[valid][np.argmax(between)])
