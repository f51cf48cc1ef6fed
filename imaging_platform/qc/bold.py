"""
All image quality metrics of a BOLD run.

Names and definitions are those of MRIQC 24.0 (Esteban et al. 2017, PLoS ONE
12:e0184661), as its code has them; what it leaves to AFNI follows AFNI's definition
inside the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from imaging_platform.qc.anatomy import describe_grid
from imaging_platform.qc.contrast import efc, fber, snr
from imaging_platform.qc.ranks import median
from imaging_platform.qc.smoothness import fwhm
from imaging_platform.qc.summary import dot, name_summaries, summarize
from imaging_platform.voxels.masks import Mask

FD_LIMIT_MM = 0.2
"""Volumes that moved further count in ``fd_num`` (Power et al. 2012)."""


def measure_bold(
    series: NDArray[Any],
    mask: Mask,
    *,
    fd_mm: NDArray[np.float64],
    voxel_mm: tuple[float, float, float],
    tr_s: float,
    mean: NDArray[Any] | None = None,
    dummy_trs: int = 0,
) -> dict[str, float]:
    """
    Return all metrics of a BOLD run by MRIQC's names.

    Parameters
    ----------
    series
        Realigned, without dummy volumes, (x, y, z, t), t >= 2; below 0 counts as 0.
    mask
        Brain, (x, y, z), not empty.
    fd_mm
        Framewise displacement, shape (t - 1,) or (t,) with NaN first.
    voxel_mm
        Edges of a voxel in mm.
    tr_s
        Repetition time in s.
    mean
        Mean over time, (x, y, z); that of `series` when left out.
    dummy_trs
        Volumes that were cut off (`count_dummy_trs`).

    Returns
    -------
    dict
        NaN where a metric cannot be told.
    """
    signal = np.maximum(np.nan_to_num(series[mask].astype(np.float32)), 0)
    average = series.mean(axis=3, dtype=np.float64) if mean is None else mean
    average = np.maximum(np.nan_to_num(average), 0)
    regions = summarize(average, {"bg": ~mask, "fg": mask})
    standardized, plain, voxelwise = dvars(signal)
    return {
        "aor": outlier_ratio(signal),
        "aqi": quality_index(signal),
        "dummy_trs": float(dummy_trs),
        "dvars_nstd": float(np.mean(plain)),
        "dvars_std": float(np.mean(standardized)),
        "dvars_vstd": float(np.mean(voxelwise)),
        "efc": efc(average),
        "fber": fber(average, mask),
        **measure_displacement(fd_mm),
        **{f"fwhm_{axis}": width for axis, width in fwhm(average, mask).items()},
        "gcor": global_correlation(signal),
        "gsr_x": ghost_ratio(average, mask, 0),
        "gsr_y": ghost_ratio(average, mask, 1),
        "snr": snr(regions["fg"]),
        "tsnr": temporal_snr(signal),
        **describe_grid(series.shape, voxel_mm, tr_s),
        **name_summaries(regions),
    }


def measure_displacement(fd_mm: NDArray[np.float64]) -> dict[str, float]:
    """
    Return mean, number and percentage of framewise displacement above 0.2 mm.

    Power et al. 2012, NeuroImage 59:2142. The percentage is of all volumes, the first
    included, as MRIQC has it.

    Parameters
    ----------
    fd_mm
        mm, one a volume from the second on; NaN (the first volume) is left out.

    Returns
    -------
    dict
        ``fd_mean`` in mm, ``fd_num``, ``fd_perc``; NaN without any value.
    """
    known = fd_mm[~np.isnan(fd_mm)]
    if not known.size:
        return dict.fromkeys(("fd_mean", "fd_num", "fd_perc"), float("nan"))
    number = int(np.count_nonzero(known > FD_LIMIT_MM))
    return {
        "fd_mean": float(known.mean()),
        "fd_num": float(number),
        "fd_perc": 100 * number / (known.size + 1),
    }


def ghost_ratio(mean: NDArray[Any], mask: Mask, axis: int) -> float:
    """
    Return (mean of the N/2 ghost - mean of the other background) / median signal.

    Giannelli et al. 2010, J Appl Clin Med Phys 11:3237. The ghost is the mask rolled
    by half the field of view, without the mask.

    Parameters
    ----------
    mean
        Mean over time, (x, y, z).
    mask
        Brain, of the same shape.
    axis
        That of phase encoding: 0 for ``gsr_x``, 1 for ``gsr_y``.

    Returns
    -------
    float
        NaN without ghost, other background or signal.
    """
    rolled = np.roll(mask, mask.shape[axis] // 2, axis=axis)
    ghost, other, signal = mean[rolled & ~mask], mean[~(rolled | mask)], mean[mask]
    middle = median(signal) if signal.size else 0.0
    if not ghost.size or not other.size or middle == 0:
        return float("nan")
    gap = ghost.mean(dtype=np.float64) - other.mean(dtype=np.float64)
    return float(gap) / middle


def temporal_snr(signal: NDArray[Any]) -> float:
    """
    Return the median over voxels of mean / standard deviation over time.

    Kruger and Glover 2001, Magn Reson Med 46:631. The standard deviation is that of
    the population (the map ``tsnr`` of the derivatives divides by t - 1); below 1e-3
    a voxel counts as 0.

    Parameters
    ----------
    signal
        Shape (voxels, t).
    """
    if not signal.size:
        return float("nan")
    mean, spread = signal.mean(axis=1), signal.std(axis=1)
    moving = spread > 1e-3
    ratio = np.divide(mean, spread, out=np.zeros_like(mean), where=moving)
    return float(np.median(ratio))


def count_dummy_trs(series: NDArray[Any]) -> int:
    """
    Return how many leading volumes lie off the steady state.

    Leading values of the global signal of the first 50 volumes whose modified z
    (0.6745 |x - median| / MAD) exceeds 3.5 (Iglewicz and Hoaglin 1993).

    Parameters
    ----------
    series
        As acquired, (x, y, z, t).
    """
    first = series[..., :50].mean(axis=(0, 1, 2), dtype=np.float64)
    distance = np.abs(first - np.median(first))
    spread = float(np.median(distance))
    if spread == 0:
        return 0
    outside = 0.6745 * distance / spread > 3.5
    return int(np.argmin(outside)) if not outside.all() else int(outside.size)


def quality_index(signal: NDArray[Any]) -> float:
    """
    Return the mean of 1 - rank correlation of each volume with the median volume.

    Spearman's correlation inside the mask, AFNI's ``3dTqual``; 0 for a still run.

    Parameters
    ----------
    signal
        Shape (voxels, t).
    """
    if not signal.size:
        return float("nan")
    middle = _ranks(_medians(signal)[:, 0])
    columns = np.ascontiguousarray(signal.T)
    return float(np.mean([1 - _correlation(_ranks(each), middle) for each in columns]))


def outlier_ratio(signal: NDArray[Any]) -> float:
    """
    Return the mean share of outlier voxels in a volume, AFNI's ``3dToutcount``.

    An outlier differs from its voxel's median over time by more than
    qginv(0.001 / t) sqrt(pi / 2) MAD; voxels whose MAD is 0 have none.

    Parameters
    ----------
    signal
        Shape (voxels, t).

    Returns
    -------
    float
        0 to 1; NaN without voxels.
    """
    if not signal.size:
        return float("nan")
    distance = np.abs(signal - _medians(signal))
    spread = _medians(distance)
    cut = stats.norm.isf(0.001 / signal.shape[1]) * np.sqrt(np.pi / 2)
    return float(np.mean((distance > cut * spread) & (spread > 0)))


def dvars(
    signal: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """
    Return DVARS standardized, plain and standardized by voxel, each of shape (t - 1,).

    Nichols 2013, "Notes on creating a standardized version of DVARS": robust
    standard deviations (lower interquartile range / 1.349) and the first-order
    autocorrelation (Yule-Walker) give the expected change. The signal is scaled to a
    median of 1000; voxels without interquartile range are left out.

    Parameters
    ----------
    signal
        Shape (voxels, t), t >= 2. NaN without signal or moving voxels.
    """
    unknown = np.full(max(signal.shape[1] - 1, 0), np.nan)
    middle = median(signal) if signal.size else 0.0
    if middle == 0:
        return unknown, unknown, unknown
    scaled = signal * np.asarray(1000 / middle, dtype=signal.dtype)
    deviation = _lower_iqr(scaled) / 1.349
    moving = deviation > 1e-7
    if not moving.any():
        return unknown, unknown, unknown
    scaled, deviation = scaled[moving], deviation[moving].astype(np.float64)
    memory = _autocorrelation(scaled)
    expected = np.sqrt(2 * (1 - memory)) * deviation
    change = np.diff(scaled, axis=1)
    squares = np.square(change, out=change)
    plain = np.sqrt(squares.mean(axis=0, dtype=np.float64))
    weights = 1 / np.square(expected)
    voxelwise = np.sqrt(np.einsum("i,ij->j", weights, squares) / len(squares))
    return plain / float(expected.mean()), plain, voxelwise


def global_correlation(signal: NDArray[Any]) -> float:
    """
    Return the mean correlation of all pairs of voxels: |mean unit-norm series|^2.

    Saad et al. 2013, Brain Connect 3:339, AFNI's ``@compute_gcor``.

    Parameters
    ----------
    signal
        Shape (voxels, t). Constant voxels count as uncorrelated with all.
    """
    if not signal.size:
        return float("nan")
    centred = signal - signal.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    weight = np.divide(1.0, norms, out=np.zeros(len(norms)), where=norms > 0)
    unit = np.einsum("i,ij->j", weight, centred) / len(centred)
    return float(unit @ unit)


def _medians(signal: NDArray[Any]) -> NDArray[Any]:
    """Return the median of each row as a column; faster than numpy, without NaN."""
    count = signal.shape[1]
    ranks = [(count - 1) // 2, count // 2]
    # Short rows are sorted by vector instructions, and partitioned without.
    ordered = np.sort(signal, axis=1)
    return ordered[:, ranks].mean(axis=1, keepdims=True)


def _lower_iqr(signal: NDArray[Any]) -> NDArray[Any]:
    """Return the 75 less the 25 percentile of each row, each the lower neighbour."""
    last = signal.shape[1] - 1
    low, high = int(np.floor(0.25 * last)), int(np.floor(0.75 * last))
    ordered = np.sort(signal, axis=1)
    return ordered[:, high] - ordered[:, low]


def _autocorrelation(signal: NDArray[Any]) -> NDArray[np.float64]:
    """Return the lag-1 autocorrelation of each row (Yule-Walker, biased estimate)."""
    centred = signal - signal.mean(axis=1, keepdims=True)
    power = np.einsum("ij,ij->i", centred, centred).astype(np.float64)
    lagged = np.einsum("ij,ij->i", centred[:, 1:], centred[:, :-1]).astype(np.float64)
    return lagged / np.maximum(power, 1e-12)


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return centred ranks; ties share the mean of their ranks."""
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], values.size)
    shared = np.repeat((starts + ends - 1) / 2, ends - starts)
    ranks = np.empty(values.size)
    ranks[order] = shared - (values.size - 1) / 2
    return ranks


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    size = float(np.sqrt(dot(first, first) * dot(second, second)))
    return dot(first, second) / size if size > 0 else 0.0
