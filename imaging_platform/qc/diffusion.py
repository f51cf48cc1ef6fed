"""
All image quality metrics of a diffusion-weighted series.

Names and definitions are those of MRIQC 24.0, as its code has them, its slips too:
``ndc`` compares two voxels where Yeh 2019 compares two images, which is
``ndc_images`` here. Shell 1 of ``snr_cc_*`` is the first one above b = 0, as the
function's documentation has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging_platform.qc.bold import measure_displacement
from imaging_platform.qc.contrast import efc, fber
from imaging_platform.qc.diffusion_noise import pca_sigma, piesno_sigma
from imaging_platform.qc.summary import dot, mad, name_summaries, summarize
from imaging_platform.qc.weighting import B0_LIMIT, find_shells
from imaging_platform.voxels.masks import Mask

MOST_SHELLS = 11
"""With more b-values (rounded to 100) the series is diffusion spectrum imaging."""

SPIKE_Z = 3.0
"""Standard deviations above the mean of its shell that make a voxel a spike."""

SPIKY_SHARE = 0.05
"""Share of spikes in a line of voxels that makes it count in ``spikes_slice_*``."""

LEAST_CALLOSUM = 5


@dataclass(frozen=True, eq=False)
class Shell:
    """
    Volumes of one b-value.

    Parameters
    ----------
    b_value
        s/mm2, rounded to 100; 0 for b = 0.
    volumes
        Their indices, ascending.
    """

    b_value: float
    volumes: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class DiffusionScan:
    """
    A diffusion-weighted series with what was found in it, all on one grid.

    Parameters
    ----------
    series
        As acquired, (x, y, z, t).
    b_values, vectors
        Shapes (t,) in s/mm2 and (t, 3), unit length or zero, in voxel axes.
    brain
        Mask or probability of the brain, (x, y, z).
    wm, callosum
        Masks of white matter and corpus callosum (`segment_callosum`).
    fa
        Fractional anisotropy as fitted, NaN where the fit failed.
    realigned
        The series after realignment; `series` when left out.
    fd_mm
        Framewise displacement; without it there is no ``fd_*``.
    turns_rad
        Angle by which realignment turned each vector; without it no ``bdiffs_*``.
    """

    series: NDArray[Any]
    b_values: NDArray[np.float64]
    vectors: NDArray[np.float64]
    brain: NDArray[Any]
    wm: Mask
    callosum: Mask
    fa: NDArray[Any]
    realigned: NDArray[Any] | None = None
    fd_mm: NDArray[np.float64] | None = None
    turns_rad: NDArray[np.float64] | None = None


def measure_dwi(scan: DiffusionScan) -> dict[str, float]:
    """
    Return all metrics of a diffusion-weighted series by MRIQC's names.

    Parameters
    ----------
    scan
        The series, its table of gradients and its masks.

    Returns
    -------
    dict
        NaN where a metric cannot be told. ``efc_shell01`` and ``fber_shell01`` are
        those of b = 0, as in MRIQC.
    """
    series = scan.series.astype(np.float32, copy=False)
    realigned = series if scan.realigned is None else scan.realigned
    brain = np.round(scan.brain.astype(np.float64), 3)
    inside = np.asarray(brain > 0.5)
    shells = group_shells(scan.b_values)
    b0 = average_b0(realigned, shells[0].volumes)
    signal = series[inside]
    neighbours = find_neighbours(scan.b_values, scan.vectors)
    summaries = summarize(b0, {"bg": 1 - brain, "fg": brain, "wm": scan.wm})
    parts = [_take(realigned, shell.volumes) for shell in shells]
    measured = {
        **callosum_snr(
            b0, parts[1:], [scan.vectors[s.volumes] for s in shells[1:]], scan.callosum
        ),
        "fa_degenerate": fa_degenerate_ppm(scan.fa, inside),
        "fa_nans": fa_nan_ppm(scan.fa, inside),
        "ndc": voxel_correlation(signal, neighbours),
        "ndc_images": neighbour_correlation(signal, neighbours),
        "sigma_cc": round(sigma_callosum(b0, scan.callosum), 4),
        "sigma_pca": pca_sigma(realigned, inside),
        "sigma_piesno": piesno_sigma(series),
        **spikes_ppm(mask_spikes(series, brain >= 0.5, shells)),
        **name_summaries(summaries),
    }
    for number, part in enumerate(parts, start=1):
        measured[f"efc_shell{number:02d}"] = efc(part)
        measured[f"fber_shell{number:02d}"] = fber(part, brain >= 1)
    if scan.fd_mm is not None:
        measured.update(measure_displacement(scan.fd_mm))
    if scan.turns_rad is not None:
        measured.update(measure_turns(scan.turns_rad))
    return measured


def group_shells(b_values: NDArray[np.float64]) -> list[Shell]:
    """
    Return the shells of a series; b = 0 (up to 50 s/mm2) comes first, even if empty.

    b-values are rounded to 100; more than `MOST_SHELLS` are joined where they lie
    closer than the gap of `find_shells` (MRIQC clusters them at random).

    Parameters
    ----------
    b_values
        Shape (t,), s/mm2.
    """
    rounded = np.round(b_values, -2)
    weighted = b_values > B0_LIMIT
    levels = np.unique(rounded[weighted])
    if levels.size > MOST_SHELLS:
        levels = np.array([level for level, _ in find_shells(b_values)])
        nearest = np.argmin(np.abs(b_values[:, None] - levels), axis=1)
        rounded = levels[nearest]
    found = [Shell(0.0, np.flatnonzero(~weighted))]
    for level in levels:
        volumes = np.flatnonzero(weighted & (rounded == level))
        found.append(Shell(float(level), volumes))
    return found


def average_b0(series: NDArray[Any], volumes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the mean of the volumes without weighting; below 0 counts as 0."""
    if not volumes.size:
        return np.zeros(series.shape[:3])
    mean = _take(series, volumes).mean(axis=3, dtype=np.float64)
    return np.maximum(np.round(np.nan_to_num(mean), 3), 0)


def callosum_snr(
    b0: NDArray[Any],
    shells: Sequence[NDArray[Any]],
    vectors: Sequence[NDArray[np.float64]],
    callosum: Mask,
) -> dict[str, float]:
    """
    Return the signal-to-noise ratios of the corpus callosum.

    Noise is the MAD of b = 0 there. The worst case is the volume whose vector is
    closest to +x (along the fibres), the best the mean of those closest to +y and +z
    (Descoteaux et al. 2011, Med Image Anal 15:603; MRIQC's ``cc_snr``).

    Parameters
    ----------
    b0
        Mean of b = 0, (x, y, z).
    shells
        Volumes of each shell above b = 0, (x, y, z, n).
    vectors
        Theirs, (n, 3).
    callosum
        Mask, (x, y, z).

    Returns
    -------
    dict
        ``snr_cc_shell0``, ``snr_cc_shell1_worst``, ``snr_cc_shell1_best`` and so on,
        rounded to 2 decimals; 0 for a mask of less than 5 voxels.
    """
    names = [f"snr_cc_shell{number}" for number in range(1, len(shells) + 1)]
    noise = sigma_callosum(b0, callosum)
    if not noise > 0:
        empty = ["snr_cc_shell0"]
        empty += [f"{name}_{case}" for name in names for case in ("best", "worst")]
        return dict.fromkeys(empty, 0.0)
    found = {"snr_cc_shell0": round(float(b0[callosum].mean()) / noise, 2)}
    for name, shell, directions in zip(names, shells, vectors, strict=True):
        along, across, up = (
            float(shell[..., _closest(directions, axis)][callosum].mean())
            for axis in np.eye(3)
        )
        found[f"{name}_worst"] = round(along / noise, 2)
        found[f"{name}_best"] = round((across + up) / 2 / noise, 2)
    return found


def sigma_callosum(b0: NDArray[Any], callosum: Mask) -> float:
    """Return the MAD of b = 0 in the corpus callosum; 0 for less than 5 voxels."""
    values = b0[callosum]
    return mad(values) if values.size >= LEAST_CALLOSUM else 0.0


def fa_nan_ppm(fa: NDArray[Any], brain: Mask) -> float:
    """Return how many voxels of the brain in a million have no FA."""
    inside = fa[brain]
    return round(1e6 * float(np.isnan(inside).mean()), 2) if inside.size else np.nan


def fa_degenerate_ppm(fa: NDArray[Any], brain: Mask) -> float:
    """Return how many voxels of the brain in a million have an FA beyond 0 to 1."""
    inside = np.round(np.nan_to_num(fa[brain], nan=0.0), 3)
    if not inside.size:
        return float("nan")
    return round(1e6 * float(((inside < 0) | (inside > 1)).mean()), 2)


def find_neighbours(
    b_values: NDArray[np.float64], vectors: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """
    Return each weighted volume with its nearest other one in q-space.

    Parameters
    ----------
    b_values, vectors
        Shapes (t,) in s/mm2 and (t, 3); opposite directions are alike.

    Returns
    -------
    list
        Pairs of indices; empty for fewer than two weighted volumes.
    """
    volumes = np.flatnonzero(b_values > B0_LIMIT)
    if volumes.size < 2:
        return []
    place = vectors[volumes] * np.sqrt(b_values[volumes])[:, None]
    squares = np.sum(place**2, axis=1)
    apart = squares[:, None] + squares - 2 * np.abs(place @ place.T)
    np.fill_diagonal(apart, np.inf)
    nearest = volumes[np.argmin(np.round(apart, 9), axis=1)]
    return [(int(a), int(b)) for a, b in zip(volumes, nearest, strict=True)]


def voxel_correlation(
    signal: NDArray[Any], neighbours: Sequence[tuple[int, int]]
) -> float:
    """
    Return the mean correlation of pairs of voxels whose places are those of volumes.

    ``ndc`` as `neighboring_dwi_correlation` of MRIQC 24.0.2 computes it: it takes
    rows of the masked series, which are voxels, for volumes. So it says little of
    the images, and is here to compare with MRIQC's tables. See
    `neighbour_correlation` for what it means to be.

    Parameters
    ----------
    signal
        Voxels of the brain in the order of the mask, shape (voxels, t).
    neighbours
        As `find_neighbours` returns them.

    Returns
    -------
    float
        -1 to 1, rounded to 4 decimals; NaN without pairs, with fewer voxels than
        volumes, or when one of these voxels never changes.
    """
    if not neighbours or len(signal) <= max(max(pair) for pair in neighbours):
        return float("nan")
    pairs = np.array(neighbours)
    rows = np.round(signal[: pairs.max() + 1].astype(np.float64), 3)
    rows -= rows.mean(axis=1, keepdims=True)
    sizes = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if not sizes[pairs].all():
        return float("nan")
    rows /= np.maximum(sizes, 1e-300)[:, None]
    found = np.einsum("ij,ij->i", rows[pairs[:, 0]], rows[pairs[:, 1]])
    return round(float(found.mean()), 4)


def neighbour_correlation(
    signal: NDArray[Any], neighbours: Sequence[tuple[int, int]]
) -> float:
    """
    Return the mean correlation of each weighted volume with its nearest in q-space.

    Neighbouring DWI correlation (Yeh et al. 2019, NeuroImage 202:116131), as in dipy.

    Parameters
    ----------
    signal
        Voxels of the brain, shape (voxels, t).
    neighbours
        As `find_neighbours` returns them.

    Returns
    -------
    float
        -1 to 1, rounded to 4 decimals; NaN for fewer than two weighted volumes. A
        volume without contrast correlates 0.
    """
    if not neighbours or not signal.size:
        return float("nan")
    centred = signal.astype(np.float64).T
    centred -= centred.mean(axis=1, keepdims=True)
    sizes = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    found = [
        dot(centred[a], centred[b]) / max(sizes[a] * sizes[b], 1e-300)
        for a, b in neighbours
    ]
    return round(float(np.mean(found)), 4)


def mask_spikes(series: NDArray[Any], brain: Mask, shells: Sequence[Shell]) -> Mask:
    """
    Return which voxels are far brighter than their shell's brain.

    Above mean + `SPIKE_Z` standard deviations of the brain over the shell.

    Parameters
    ----------
    series
        As acquired, (x, y, z, t).
    brain
        (x, y, z).
    shells
        As `group_shells` returns them.

    Returns
    -------
    numpy.ndarray
        Shape (x, y, z, t).
    """
    signal = series[brain]
    limits = np.full(series.shape[3], np.inf, dtype=np.result_type(series, np.float32))
    for shell in shells:
        values = _take(signal, shell.volumes).astype(np.float64)
        if values.size:
            limits[shell.volumes] = SPIKE_Z * values.std() + values.mean()
    return np.asarray(series > limits)


def spikes_ppm(spikes: Mask) -> dict[str, float]:
    """
    Return how many voxels, and lines of voxels along each axis, in a million spike.

    A line counts when more than `SPIKY_SHARE` of it spikes.

    Parameters
    ----------
    spikes
        Shape (x, y, z, t), as `mask_spikes` returns it.

    Returns
    -------
    dict
        ``spikes_global`` and ``spikes_slice_i``, ``_j``, ``_k``, in ppm, rounded to
        2 decimals.
    """
    places = np.unravel_index(np.flatnonzero(spikes), spikes.shape)
    found = {"spikes_global": round(1e6 * places[0].size / spikes.size, 2)}
    for axis, name in enumerate("ijk"):
        others = [other for other in range(spikes.ndim) if other != axis]
        shape = [spikes.shape[other] for other in others]
        lines = np.ravel_multi_index([places[other] for other in others], shape)
        spiky = np.bincount(lines) / spikes.shape[axis] > SPIKY_SHARE
        share = np.count_nonzero(spiky) / np.prod(shape)
        found[f"spikes_slice_{name}"] = round(1e6 * float(share), 2)
    return found


def measure_turns(turns_rad: NDArray[np.float64]) -> dict[str, float]:
    """
    Return by how much realignment turned the vectors, in radians.

    Parameters
    ----------
    turns_rad
        One a volume, radians; up to 1e-4 (b = 0 and the reference) is left out.

    Returns
    -------
    dict
        ``bdiffs_mean``, ``_median``, ``_max``, ``_min``, rounded to 4 decimals; NaN
        when nothing turned.
    """
    turned = turns_rad[turns_rad > 1e-4]
    names = ("mean", "median", "max", "min")
    if not turned.size:
        return {f"bdiffs_{name}": float("nan") for name in names}
    values = (turned.mean(), np.median(turned), turned.max(), turned.min())
    return {
        f"bdiffs_{name}": round(float(value), 4)
        for name, value in zip(names, values, strict=True)
    }


def _take(data: NDArray[Any], volumes: NDArray[np.intp]) -> NDArray[Any]:
    """Return some volumes (last axis), ten times as fast as by an index in brackets."""
    return np.take(data, volumes, axis=-1)


def _closest(vectors: NDArray[np.float64], axis: NDArray[np.float64]) -> int:
    return int(np.argmin(np.sum((vectors - axis) ** 2, axis=1)))
