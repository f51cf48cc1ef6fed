"""Quality metrics of a diffusion-weighted series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging_platform.qc.arrays import Volume
from imaging_platform.qc.metric import Measure
from imaging_platform.voxels.masks import Mask

B0_LIMIT = 50.0
"""b-values up to this many s/mm2 count as b = 0."""

SHELL_GAP = 100.0
"""b-values (s/mm2) closer than this belong to one shell."""

DROPOUT_SHARE = 0.75
"""A slice below this share of its usual signal in the shell lost signal."""


def measure_gradients(
    b_values: NDArray[np.float64], vectors: NDArray[np.float64]
) -> tuple[Measure, ...]:
    """
    Return counts over the table of gradients.

    Parameters
    ----------
    b_values
        Shape (t,), s/mm2.
    vectors
        Shape (t, 3), unit length or zero.
    """
    weighted = b_values > B0_LIMIT
    reason = "" if weighted.any() else all_zero_reason()
    return (
        Measure("n_b0", float((~weighted).sum())),
        Measure("n_shells", float(len(find_shells(b_values)))),
        Measure("n_directions", float(count_axes(vectors[weighted])), reason=reason),
    )


def all_zero_reason() -> str:
    """Return what it means that no b-value is above 0."""
    return (
        "all b-values are 0: gradients were not recorded, or the private elements "
        "that held them were removed"
    )


def measure_weighted_series(
    series: NDArray[np.float32],
    mask: Mask,
    b_values: NDArray[np.float64],
    vectors: NDArray[np.float64],
) -> tuple[Measure, ...]:
    """
    Return the metrics that compare volumes of a diffusion series.

    Parameters
    ----------
    series
        Shape (x, y, z, t).
    mask
        Brain, shape (x, y, z), not empty.
    b_values, vectors
        As in `measure_gradients`.
    """
    b0 = series[mask][:, b_values <= B0_LIMIT]
    return (
        Measure("snr_b0", repeat_snr(b0)),
        Measure("ndc", neighbour_correlation(series[mask], b_values, vectors)),
        Measure("slice_dropout_percent", dropout_percent(series, mask, b_values), "%"),
        Measure("spikes_ppm", spikes_ppm(series, mask, b_values), "ppm"),
    )


def measure_tensor(fa: Volume, md: Volume, mask: Mask) -> tuple[Measure, ...]:
    """
    Return the metrics of the tensor maps.

    Parameters
    ----------
    fa
        Fractional anisotropy, 0 to 1.
    md
        Mean diffusivity, mm2/s.
    mask
        Brain, not empty; all of one shape.
    """
    inside, diffusivity = fa[mask], md[mask]
    white = inside[(inside > 0.25) & (diffusivity < 1.2e-3)]
    strange = ~np.isfinite(inside) | (inside >= 0.999) | (inside < 0)
    return (
        Measure("fa_median", float(np.median(inside))),
        Measure(
            "fa_wm_median", float(np.median(white)) if white.size else float("nan")
        ),
        Measure("fa_degenerate_ppm", float(1e6 * strange.mean()), "ppm"),
        Measure("md_median", float(np.median(diffusivity)), "mm2/s"),
    )


def find_shells(b_values: NDArray[np.float64]) -> tuple[tuple[float, int], ...]:
    """Return (mean b-value, volumes) of each shell above b = 0, ascending."""
    weighted = np.sort(b_values[b_values > B0_LIMIT])
    if not weighted.size:
        return ()
    groups = np.split(weighted, np.nonzero(np.diff(weighted) > SHELL_GAP)[0] + 1)
    return tuple((float(group.mean()), len(group)) for group in groups)


def count_axes(vectors: NDArray[np.float64]) -> int:
    """Return how many different axes some unit vectors have; opposite ones are one."""
    found: list[NDArray[np.float64]] = []
    for vector in vectors[np.linalg.norm(vectors, axis=1) > 0.5]:
        if all(abs(float(vector @ other)) < 0.9995 for other in found):
            found.append(vector)
    return len(found)


def repeat_snr(b0: NDArray[np.floating]) -> float:
    """
    Return the median over voxels of mean / standard deviation over repeated b = 0.

    Parameters
    ----------
    b0
        Shape (voxels, repeats); NaN for fewer than 3 repeats.
    """
    if b0.shape[1] < 3:
        return float("nan")
    spread = b0.std(axis=1, ddof=1)
    moving = spread > 0
    if not moving.any():
        return float("nan")
    return float(np.median(b0.mean(axis=1)[moving] / spread[moving]))


def neighbour_correlation(
    signal: NDArray[np.floating],
    b_values: NDArray[np.float64],
    vectors: NDArray[np.float64],
) -> float:
    """
    Return the mean correlation of each weighted volume with its nearest in q-space.

    Neighbouring DWI correlation (Yeh et al. 2019, NeuroImage 202:116131).

    Parameters
    ----------
    signal
        Shape (voxels, t).
    b_values, vectors
        Shapes (t,) and (t, 3).

    Returns
    -------
    float
        -1 to 1; NaN for fewer than two weighted volumes.
    """
    chosen = np.nonzero((b_values > B0_LIMIT) & (np.linalg.norm(vectors, axis=1) > 0.5))
    volumes = chosen[0]
    if volumes.size < 2:
        return float("nan")
    place = vectors[volumes] * np.sqrt(b_values[volumes])[:, None]
    apart = np.minimum(
        np.linalg.norm(place[:, None] - place, axis=2),
        np.linalg.norm(place[:, None] + place, axis=2),
    )
    np.fill_diagonal(apart, np.inf)
    alike = np.corrcoef(signal[:, volumes].T)
    nearest = alike[np.arange(volumes.size), np.argmin(apart, axis=1)]
    return float(np.mean(np.nan_to_num(nearest)))


def dropout_percent(
    series: NDArray[np.float32], mask: Mask, b_values: NDArray[np.float64]
) -> float:
    """
    Return the percentage of slices of weighted volumes that lost signal.

    The mean of a slice over that of its volume, against the median of this ratio
    over the shell, below `DROPOUT_SHARE`. Slices with less than 50 brain voxels
    are not counted; a shell needs 4 volumes.
    """
    sizes = mask.sum(axis=(0, 1))
    slices = np.nonzero(sizes >= 50)[0]
    lost = total = 0
    for level, _ in find_shells(b_values):
        volumes = np.nonzero(np.abs(b_values - level) <= SHELL_GAP)[0]
        if volumes.size < 4 or not slices.size:
            continue
        means = np.stack(
            [series[:, :, k][mask[:, :, k]][:, volumes].mean(axis=0) for k in slices]
        )
        share = means / np.maximum(np.median(means, axis=0), 1e-9)
        usual = np.median(share, axis=1, keepdims=True)
        lost += int((share < DROPOUT_SHARE * usual).sum())
        total += share.size
    return 100 * lost / total if total else float("nan")


def spikes_ppm(
    series: NDArray[np.float32], mask: Mask, b_values: NDArray[np.float64]
) -> float:
    """
    Return how many voxels in a million are far brighter than ever in their shell.

    More than 6 robust standard deviations above the voxel's median over a shell of
    at least 6 volumes; NaN without such a shell.
    """
    spikes = total = 0
    for level, count in find_shells(b_values):
        if count < 6:
            continue
        signal = series[mask][:, np.abs(b_values - level) <= SHELL_GAP]
        distance = signal - np.median(signal, axis=1, keepdims=True)
        spread = np.median(np.abs(distance)) / 0.6745
        spikes += int((distance > 6 * max(float(spread), 1e-9)).sum())
        total += signal.size
    return 1e6 * spikes / total if total else float("nan")
