"""
Image quality metrics of a BOLD run.

Definitions follow what the code of MRIQC 24 computes (Esteban et al. 2017); the
global correlation is that of Saad et al. 2013, Brain Connect 3:339.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from imaging_platform.qc.anatomy import efc
from imaging_platform.qc.arrays import Volume
from imaging_platform.qc.metric import Measure
from imaging_platform.voxels.masks import Mask, dilate

FD_LIMIT_MM = 0.2
"""Volumes that moved further count in ``fd_percent`` (Power et al. 2012)."""

MAX_VOXELS = 20_000
"""Voxels that enter rank correlations; evenly chosen from the mask."""


def measure_motion(fd_mm: NDArray[np.float64]) -> tuple[Measure, ...]:
    """Return mean, maximum and frequency of framewise displacement (NaN left out)."""
    known = fd_mm[~np.isnan(fd_mm)]
    if not known.size:
        return (Measure("fd_mean", float("nan"), "mm"),)
    return (
        Measure("fd_mean", float(known.mean()), "mm"),
        Measure("fd_max", float(known.max()), "mm"),
        Measure("fd_count", float((known > FD_LIMIT_MM).sum())),
        Measure("fd_percent", float(100 * (known > FD_LIMIT_MM).mean()), "%"),
    )


def measure_raw_bold(
    series: NDArray[np.float32], mask: Mask, phase_axis: int
) -> tuple[Measure, ...]:
    """
    Return the metrics that need the run as it was acquired.

    Parameters
    ----------
    series
        Shape (x, y, z, t), t >= 2.
    mask
        Brain, shape (x, y, z), not empty.
    phase_axis
        Axis of phase encoding, 0 to 2; ghosts appear along it.
    """
    signal = series[mask]
    mean = series.mean(axis=3)
    return (
        Measure("gsr", ghost_ratio(mean, mask, phase_axis)),
        Measure("efc", efc(mean)),
        Measure("dummy_scans", float(count_dummy_scans(signal.mean(axis=0)))),
        Measure("aqi", quality_index(signal)),
        Measure("aor", outlier_ratio(signal)),
    )


def measure_realigned_bold(
    series: NDArray[np.float32], mask: Mask, temporal_snr: Volume
) -> tuple[Measure, ...]:
    """
    Return the metrics of a realigned run.

    Parameters
    ----------
    series
        Shape (x, y, z, t), t >= 2.
    mask
        Brain, shape (x, y, z), not empty.
    temporal_snr
        Mean over standard deviation over time, shape (x, y, z).
    """
    signal = series[mask].astype(np.float64)
    standardized, plain, voxelwise = dvars(signal)
    return (
        Measure("tsnr", float(np.median(temporal_snr[mask]))),
        Measure("dvars_nstd", float(np.mean(plain))),
        Measure("dvars_std", float(np.mean(standardized))),
        Measure("dvars_vstd", float(np.mean(voxelwise))),
        Measure("gcor", global_correlation(signal)),
    )


def ghost_ratio(mean: Volume, mask: Mask, phase_axis: int) -> float:
    """
    Return (mean of the N/2 ghost - mean of the other background) / median signal.

    Giannelli et al. 2010, J Appl Clin Med Phys 11:3237. The ghost is the mask
    shifted by half the field of view along phase encoding, without the mask.
    """
    size = mean.shape[phase_axis]
    grown = dilate(mask, 1)
    ghost = np.roll(mask, size // 2, axis=phase_axis) & ~grown
    other = ~np.roll(grown, size // 2, axis=phase_axis) & ~grown
    middle = float(np.median(mean[mask]))
    if not ghost.any() or not other.any() or middle == 0:
        return float("nan")
    return float((mean[ghost].mean() - mean[other].mean()) / middle)


def count_dummy_scans(global_signal: NDArray[np.floating]) -> int:
    """
    Return how many leading volumes lie off the steady state.

    Leading values of the first 50 whose modified z (0.6745 |x - median| / MAD)
    exceeds 3.5 (Iglewicz and Hoaglin 1993).
    """
    first = np.asarray(global_signal[:50], dtype=np.float64)
    distance = np.abs(first - np.median(first))
    spread = float(np.median(distance))
    if spread == 0:
        return 0
    outside = 0.6745 * distance / spread > 3.5
    return int(np.argmin(outside)) if not outside.all() else int(outside.size)


def quality_index(signal: NDArray[np.floating]) -> float:
    """
    Return AFNI's quality index: mean of 1 - Spearman's rank correlation of each
    volume with the median volume; 0 for a still run.

    Parameters
    ----------
    signal
        Shape (voxels, t).
    """
    chosen = _thin(signal)
    middle = stats.rankdata(np.median(chosen, axis=1))
    ranks = stats.rankdata(chosen, axis=0)
    return float(np.mean([1 - _correlation(column, middle) for column in ranks.T]))


def outlier_ratio(signal: NDArray[np.floating]) -> float:
    """
    Return the mean share of outlier voxels in a volume, as AFNI's 3dToutcount.

    An outlier differs from its voxel's median over time by more than
    qginv(0.001 / t) sqrt(pi / 2) MAD.

    Parameters
    ----------
    signal
        Shape (voxels, t).
    """
    count = signal.shape[1]
    distance = np.abs(signal - np.median(signal, axis=1, keepdims=True))
    spread = np.median(distance, axis=1, keepdims=True)
    cut = stats.norm.isf(0.001 / count) * np.sqrt(np.pi / 2)
    return float(np.mean(distance > cut * np.maximum(spread, 1e-9)))


def dvars(
    signal: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """
    Return DVARS standardized, plain and standardized by voxel, each of shape (t - 1,).

    Nichols 2013, "Notes on creating a standardized version of DVARS": robust
    standard deviations and first-order autocorrelation give the expected change.
    Signals are scaled to a median of 1000; constant voxels are left out.

    Parameters
    ----------
    signal
        Shape (voxels, t), t >= 3.
    """
    scaled = signal * (1000 / max(float(np.median(signal)), 1e-9))
    quartiles = np.percentile(scaled, [25, 75], axis=1, method="lower")
    deviation = (quartiles[1] - quartiles[0]) / 1.349
    moving = deviation > 0
    if not moving.any():
        zero = np.zeros(signal.shape[1] - 1)
        return zero, zero, zero
    scaled, deviation = scaled[moving], deviation[moving]
    memory = np.clip(_autocorrelation(scaled), -0.99, 0.99)
    expected = np.sqrt(2 * (1 - memory)) * deviation
    change = np.diff(scaled, axis=1)
    plain = np.sqrt(np.mean(change**2, axis=0))
    voxelwise = np.sqrt(np.mean((change / expected[:, None]) ** 2, axis=0))
    return plain / float(expected.mean()), plain, voxelwise


def global_correlation(signal: NDArray[np.floating]) -> float:
    """
    Return the mean correlation of all pairs of voxels: |mean unit-norm series|^2.

    Parameters
    ----------
    signal
        Shape (voxels, t). Constant voxels count as uncorrelated with all.
    """
    centred = signal - signal.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
    return float(np.sum(unit.mean(axis=0) ** 2))


def _autocorrelation(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lag-1 autocorrelation of each row (Yule-Walker, biased estimate)."""
    centred = signal - signal.mean(axis=1, keepdims=True)
    power = np.sum(centred**2, axis=1)
    return np.sum(centred[:, 1:] * centred[:, :-1], axis=1) / np.maximum(power, 1e-12)


def _thin(signal: NDArray[np.floating]) -> NDArray[np.floating]:
    return signal[:: max(1, -(-len(signal) // MAX_VOXELS))]


def _correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    one, two = first - first.mean(), second - second.mean()
    size = float(np.sqrt((one @ one) * (two @ two)))
    return float(one @ two) / size if size > 0 else 0.0
