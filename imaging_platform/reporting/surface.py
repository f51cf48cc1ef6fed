"""A head as it looks from outside: what a person checks after defacing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting.bold import head_level
from imaging_platform.reporting.slices import Volume

PIXEL_MM = 2.0
_LIGHT = np.array([0.35, 0.45, 0.82])
"""From the upper right, towards the viewer; length 1."""


def shade_head(volume: Volume) -> list[NDArray[np.float32]]:
    """
    Return the surface of a head from the front, both sides and obliquely, shaded.

    The surface is where a ray first meets more than the level that parts head from
    air; there is no skin where a volume was cut, so a cut face is a flat plane.

    Parameters
    ----------
    volume
        A defaced head.

    Returns
    -------
    list
        Pictures, first row on top, 0 (no head) to 1, of 2 mm pixels.
    """
    from scipy.ndimage import gaussian_filter, rotate, zoom

    factors = [size / PIXEL_MM for size in volume.spacing_mm]
    small = np.asarray(zoom(volume.data, factors, order=1), np.float32)
    head = gaussian_filter(small, 0.8) > 0.5 * head_level(small)
    solid = head.astype(np.float32)
    oblique = [rotate(solid, angle, axes=(0, 1), order=1) > 0.5 for angle in (-45, 45)]
    quarters = [np.rot90(head, turns, axes=(0, 1)) for turns in (-1, 1)]
    left, right = quarters
    return [_shade(each) for each in (left, oblique[0], head, oblique[1], right)]


def _shade(head: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the front (largest y) of a head, seen along the y axis."""
    from scipy.ndimage import gaussian_filter

    from_front = head[:, ::-1, :]
    hit = from_front.any(axis=1)
    depth = np.where(hit, from_front.argmax(axis=1), head.shape[1]).astype(np.float32)
    depth = np.minimum(depth, depth[hit].max() if hit.any() else 0)
    right, up = np.gradient(gaussian_filter(depth, 0.9))
    length = np.sqrt(right**2 + up**2 + 1)
    light = (_LIGHT[0] * right + _LIGHT[1] * up + _LIGHT[2]) / length
    # Facing the viewer, x grows to the left of the picture.
    picture = np.where(hit, np.clip(light, 0.08, 1), 0)[::-1]
    return np.ascontiguousarray(picture.T[::-1], dtype=np.float32)
