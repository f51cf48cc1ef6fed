"""Slices of a diffusion series that lost their signal: the head moved in a gradient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.gradients import SHELL_GAP, GradientTable, find_shells
from imaging_platform.voxels.masks import Mask

DROPOUT_SHARE = 0.75
"""Of its usual signal in the shell; a slice below has lost signal."""

FEWEST_VOXELS = 50
FEWEST_VOLUMES = 4
"""Smaller slices and shells do not tell what is usual."""


def find_dropouts(
    series: NDArray[np.float32], mask: Mask, table: GradientTable
) -> NDArray[np.bool_]:
    """
    Return which slices of which volumes lost signal.

    The mean of a slice over the median slice of its volume, against the median of
    this ratio over the shell: a direction that dims the whole volume is no dropout.

    Parameters
    ----------
    series
        Shape (x, y, slices, volumes).
    mask
        Brain, shape (x, y, slices).
    table
        Gradients of the volumes.

    Returns
    -------
    numpy.ndarray
        Shape (slices, volumes); False where it cannot be told.
    """
    lost = np.zeros(series.shape[2:], dtype=bool)
    slices = np.nonzero(mask.sum(axis=(0, 1)) >= FEWEST_VOXELS)[0]
    if not slices.size:
        return lost
    means = np.stack([series[:, :, k][mask[:, :, k]].mean(axis=0) for k in slices])
    share = means / np.maximum(np.median(means, axis=0), 1e-9)
    for level, count in find_shells(table.b_values):
        volumes = np.nonzero(np.abs(table.b_values - level) <= SHELL_GAP)[0]
        if count >= FEWEST_VOLUMES:
            part = share[:, volumes]
            usual = np.median(part, axis=1, keepdims=True)
            lost[np.ix_(slices, volumes)] = part < DROPOUT_SHARE * usual
    return lost
