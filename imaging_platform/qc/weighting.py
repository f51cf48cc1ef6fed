"""What MRIQC does not measure of a diffusion series: its table, dropout, tensor."""

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
) -> tuple[Measure, ...]:
    """
    Return the metrics that compare volumes of a diffusion series.

    Parameters
    ----------
    series
        Shape (x, y, z, t).
    mask
        Brain, shape (x, y, z), not empty.
    b_values
        As in `measure_gradients`.
    """
    b0 = series[mask][:, b_values <= B0_LIMIT]
    return (
        Measure("snr_b0", repeat_snr(b0)),
        Measure("slice_dropout_percent", dropout_percent(series, mask, b_values), "%"),
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
    return (
        Measure("fa_median", float(np.median(inside))),
        Measure(
            "fa_wm_median", float(np.median(white)) if white.size else float("nan")
        ),
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
