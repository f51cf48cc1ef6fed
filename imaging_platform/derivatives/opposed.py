"""The displacement between two echo planar images of opposed phase encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from imaging_platform.derivatives.volumes import Volume, smooth

_ndimage: Any = scipy.ndimage  # its inferred return types are unions with scalars

SCALES = ((3.0, 4.0), (2.0, 3.0), (1.0, 2.0), (0.7, 1.5))
"""Blur of the images and width of the window in voxels, coarse to fine."""

DARK = np.float32(0.02)
"""Share of the bright signal below which there is only noise."""

ROUNDS = 12
"""Steps at each scale."""


def find_displacement(positive: Volume, negative: Volume, axis: int) -> Volume:
    """
    Return how far signal lies from its true place along the phase-encoding axis.

    One image has it displaced forwards, the other as far backwards (Chang and
    Fitzpatrick 1992, IEEE TMI 11:319). Least squares in a moving window (Lucas and
    Kanade 1981), coarse to fine. A simple estimate: where signal is drawn together
    by more than two voxels it falls short by a third.

    Parameters
    ----------
    positive, negative
        Images of one shape whose phase encoding runs along and against the axis.
    axis
        Axis of phase encoding, 0 to 2.

    Returns
    -------
    numpy.ndarray
        Shape of the images, voxels; positive where `positive` is displaced forwards.
    """
    one, other = (np.moveaxis(image, axis, 0) for image in (positive, negative))
    level = max(float(np.percentile(one, 98)), 1e-6)
    scale = level / max(float(np.percentile(other, 98)), 1e-6)
    one, other = one / level, other * (scale / level)
    shift = np.zeros(one.shape, dtype=np.float32)
    for blur, window in SCALES:
        ahead, behind = (smooth(image, _widths(image, blur)) for image in (one, other))
        for _ in range(ROUNDS):
            shift = _improve(ahead, behind, shift, window)
    return np.ascontiguousarray(np.moveaxis(shift, 0, axis))


def _improve(ahead: Volume, behind: Volume, shift: Volume, window: float) -> Volume:
    widths = _widths(shift, window)
    there, back = _pull(ahead, shift), _pull(behind, -shift)
    # Both get the mean of the window they share: what is drawn together is brighter,
    # and telling that from the shift itself does not converge.
    ratio = np.sqrt((smooth(back, widths) + DARK) / (smooth(there, widths) + DARK))
    there, back = there * ratio, back / ratio
    slope = np.gradient(there, axis=0) + np.gradient(back, axis=0)
    slope = np.asarray(slope, dtype=np.float32)
    weight = smooth(slope * slope, widths) + np.float32(1e-3)
    gap = (slope * (there - back)).astype(np.float32)
    step = np.clip(smooth(gap, widths) / weight, -1, 1).astype(np.float32)
    return smooth(shift - step, _widths(shift, 0.5 * window))


def _pull(image: Volume, shift: Volume) -> Volume:
    place = np.indices(image.shape, dtype=np.float32)
    place[0] += shift
    return np.asarray(_ndimage.map_coordinates(image, place, order=1, mode="nearest"))


def _widths(image: Volume, width: float) -> NDArray[np.float64]:
    # Few thick slices must not be smoothed across as if they were many.
    return np.array([width if size >= 12 else 0.0 for size in image.shape])
