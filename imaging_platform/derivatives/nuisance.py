"""What is not brain activity in a BOLD run: signals, components, drift."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging_platform.voxels.masks import Mask

COMPONENTS = 5
"""Principal components of each tissue (Behzadi et al. 2007, NeuroImage 37:90)."""

DRIFT_PERIOD_S = 128.0
"""Shortest period of the drift (SPM, fMRIPrep)."""

MOST_NON_STEADY = 5
"""Looked for among the first volumes only: T1 reaches its steady state in 10 s."""

Course = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Components:
    """
    Principal components of the voxels of a mask.

    Parameters
    ----------
    courses
        Shape (t, n), unit length, zero mean; n is `COMPONENTS` at most.
    singular_values
        Shape (n,).
    explained
        Shape (n,), share of the mask's variance, 0 to 1.
    """

    courses: Course
    singular_values: NDArray[np.float64]
    explained: NDArray[np.float64]


def mean_course(series: NDArray[np.float32], mask: Mask) -> Course:
    """Return the mean signal of a mask over time, shape (t,); NaN for an empty one."""
    if not mask.any():
        return np.full(series.shape[3], np.nan)
    return series[mask].mean(axis=0, dtype=np.float64)


def find_components(
    series: NDArray[np.float32], mask: Mask, drift: Course
) -> Components:
    """
    Return the principal components of a mask's voxels, as aCompCor has them.

    Parameters
    ----------
    series
        Shape (x, y, z, t).
    mask
        Voxels to use; those that never change are left out.
    drift
        Shape (t, n): removed from each voxel first, with its mean.
    """
    count = series.shape[3]
    voxels = series[mask].astype(np.float64).T
    basis = np.column_stack([np.ones(count), drift])
    voxels = voxels - basis @ (np.linalg.pinv(basis) @ voxels)
    spread = voxels.std(axis=0)
    voxels = voxels[:, spread > 1e-6] / spread[spread > 1e-6]
    if not voxels.shape[1]:
        return Components(np.zeros((count, 0)), np.zeros(0), np.zeros(0))
    # The small side: t x t instead of voxels x voxels.
    values, vectors = np.linalg.eigh(voxels @ voxels.T)
    order = np.argsort(values)[::-1][: min(COMPONENTS, count - 1, voxels.shape[1])]
    kept = np.maximum(values[order], 0)
    courses = vectors[:, order]
    # The sign of an eigenvector is free: let its largest element be positive.
    peaks = courses[np.abs(courses).argmax(axis=0), np.arange(len(order))]
    courses = courses * np.where(peaks < 0, -1.0, 1.0)
    return Components(courses, np.sqrt(kept), kept / max(float(values.sum()), 1e-12))


def cosine_drift(count: int, repetition_time_s: float) -> Course:
    """
    Return the discrete cosines slower than `DRIFT_PERIOD_S`, shape (t, n), unit length.

    No columns when the repetition time is unknown (0) or the run is short.
    """
    duration_s = count * repetition_time_s
    n = math.floor(2 * duration_s / DRIFT_PERIOD_S)
    frame = np.arange(count) + 0.5
    columns = [
        math.sqrt(2 / count) * np.cos(math.pi / count * frame * order)
        for order in range(1, n + 1)
    ]
    return np.column_stack(columns) if columns else np.zeros((count, 0))


def dvars(series: NDArray[np.float32], mask: Mask) -> tuple[Course, Course]:
    """
    Return DVARS and its standardized form (Power et al. 2012; Nichols 2013).

    The signal is scaled so that the mask's median is 1000. The standard is what
    temporally correlated noise of each voxel's robust spread (interquartile range by
    1.349) and lag-1 autocorrelation gives.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Shape (t,) each, the first value NaN. All NaN for an empty mask.
    """
    count = series.shape[3]
    nothing = np.full(count, np.nan)
    voxels = series[mask].astype(np.float64)
    middle = float(np.median(voxels)) if voxels.size else 0.0
    if middle <= 0:
        return nothing, nothing
    voxels *= 1000 / middle
    plain = np.sqrt((np.diff(voxels, axis=1) ** 2).mean(axis=0))
    low, high = np.percentile(voxels, [25, 75], axis=1, method="lower")
    spread = (high - low) / 1.349
    centred = voxels - voxels.mean(axis=1, keepdims=True)
    power = np.maximum((centred**2).sum(axis=1), 1e-12)
    lag = (centred[:, 1:] * centred[:, :-1]).sum(axis=1) / power
    expected = float(np.sqrt((2 * (1 - lag) * spread**2).mean()))
    standard = plain / expected if expected > 0 else np.full(count - 1, np.nan)
    return np.concatenate([[np.nan], plain]), np.concatenate([[np.nan], standard])


def count_non_steady(course: Course) -> int:
    """
    Return how many leading volumes are brighter than the steady state allows.

    The leading run of values more than 6 median absolute deviations (by 0.6745) above
    the median of the course, at most `MOST_NON_STEADY`.
    """
    middle = float(np.median(course))
    spread = float(np.median(np.abs(course - middle))) / 0.6745
    bright = course[:MOST_NON_STEADY] > middle + 6 * max(spread, 1e-9 * abs(middle))
    return int(np.argmin(np.append(bright, False)))


def expand(course: Course) -> dict[str, Course]:
    """
    Return a course, its derivative and their squares by suffix (Satterthwaite 2013).

    Derivatives are backward differences with NaN first, as in fMRIPrep's tables.
    """
    change = np.concatenate([[np.nan], np.diff(course)])
    return {
        "": course,
        "_derivative1": change,
        "_power2": course**2,
        "_derivative1_power2": change**2,
    }
