"""Summary statistics of an image under a weight: the ground of most quality metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging_platform.qc.ranks import median

GAUSSIAN_MAD = 0.6744897501960817
"""Median absolute deviation of a Gaussian of standard deviation 1."""

DECIMALS = 4
"""MRIQC publishes most metrics with so many decimals; so do we, to agree with it."""

_MOST_LEVELS = 1 << 22
"""Histograms with more integer levels than this are counted by sorting instead."""


@dataclass(frozen=True)
class Summary:
    """
    Statistics of one tissue (MRIQC, ``summary_*``).

    Parameters
    ----------
    mean, median, p05, p95
        Weighted mean and quantiles, in the image's unit.
    stdv
        Weighted standard deviation of the population.
    mad
        Median absolute deviation about the weighted median, over 0.6745, so that it
        is the standard deviation of a Gaussian.
    k
        Excess kurtosis, 0 for a Gaussian.
    n
        Sum of the weights: the number of voxels.
    """

    mean: float
    median: float
    p05: float
    p95: float
    k: float
    stdv: float
    mad: float
    n: float


@dataclass(frozen=True, eq=False)
class _Levels:
    """An image in integer levels: `values` at the `places` of its voxels."""

    places: NDArray[np.integer]
    values: NDArray[np.float64]

    def next_value(self, place: int) -> float:
        """Return the next value that the image has, or this one when it is the last."""
        higher = self.places[self.places > place]
        return float(self.values[int(higher.min()) if higher.size else place])


UNKNOWN = Summary(*(float("nan"),) * 7, n=0.0)
"""The summary of a tissue without voxels."""


def summarize(
    data: NDArray[Any], weights: Mapping[str, NDArray[Any]]
) -> dict[str, Summary]:
    """
    Return the statistics of each tissue of an image, as MRIQC 24 computes them.

    Mean, standard deviation and quantiles are weighted, of data rounded to integers
    and weights rounded to 3 decimals; kurtosis and MAD are those of the unrounded
    voxels whose weight exceeds half of the greatest weight. A quantile is the first
    value whose cumulated weight reaches its share of all; on an exact hit it is the
    middle of this value and the next one in the image (SAS, PROC UNIVARIATE).

    Parameters
    ----------
    data
        Any shape; finite.
    weights
        Probability (0 to 1) or mask of each tissue, of the same shape.

    Returns
    -------
    dict
        A `Summary`, rounded to 4 decimals, by tissue; `UNKNOWN` without weight.
    """
    flat = np.ravel(data)
    image = _find_levels(flat)
    return {
        name: _summarize_one(flat, image, np.ravel(each))
        for name, each in weights.items()
    }


def name_summaries(summaries: Mapping[str, Summary]) -> dict[str, float]:
    """Return summaries as ``summary_<tissue>_<statistic>``, MRIQC's names."""
    return {
        f"summary_{tissue}_{field.name}": getattr(summary, field.name)
        for tissue, summary in summaries.items()
        for field in fields(summary)
    }


def dot(first: NDArray[Any], second: NDArray[Any]) -> float:
    """
    Return the sum of products of two vectors, in one thread.

    The threads of a BLAS cost more than they gain beside other work on the machine.
    """
    return float(np.einsum("i,i->", first, second))


def mad(values: NDArray[Any], center: float | None = None) -> float:
    """
    Return the median absolute deviation / 0.6745: the deviation of a Gaussian.

    Parameters
    ----------
    values
        Any shape; NaN for none.
    center
        What to deviate from; the median when left out.
    """
    if not values.size:
        return float("nan")
    middle = median(values) if center is None else center
    distance = np.abs(values.astype(np.float64, copy=False) - middle)
    return median(distance) / GAUSSIAN_MAD


def _summarize_one(
    data: NDArray[Any], image: _Levels, weights: NDArray[Any]
) -> Summary:
    used = np.flatnonzero(weights)
    weight = weights[used].astype(np.float32)
    top = float(weight.max(initial=0.0))
    count = float(weight.sum(dtype=np.float64))
    sure = weight > 0.5 * top
    kernel = data[used if sure.all() else used[sure]].astype(np.float64)
    mass = np.bincount(
        image.places[used],
        weights=None if top == weight.min(initial=top) == 1 else np.round(weight, 3),
        minlength=image.values.size,
    ).astype(np.float64)
    total = float(mass.sum())
    if total <= 0:
        return UNKNOWN
    mean = dot(mass, image.values) / total
    spread = float(np.sqrt(dot(mass, (image.values - mean) ** 2) / total))
    p05, middle, p95 = _quantiles(image, mass, (0.05, 0.5, 0.95))
    rounded = [
        round(each, DECIMALS)
        for each in (mean, middle, p05, p95, kurtosis(kernel), spread)
    ]
    return Summary(*rounded, mad=round(mad(kernel, middle), DECIMALS), n=count)


def kurtosis(values: NDArray[np.float64]) -> float:
    """Return the excess kurtosis of a population; NaN without spread."""
    if not values.size:
        return float("nan")
    squares = values - values.mean()
    squares *= squares
    variance = float(squares.mean())
    if variance == 0:
        return float("nan")
    return dot(squares, squares) / values.size / variance**2 - 3.0


def _find_levels(data: NDArray[Any]) -> _Levels:
    low, high = (float(data.min()), float(data.max())) if data.size else (0.0, 0.0)
    if high - low >= _MOST_LEVELS:
        values, places = np.unique(np.rint(data), return_inverse=True)
        return _Levels(places, values.astype(np.float64))
    first = round(low)
    steps = np.rint(data)
    steps -= first
    values = np.arange(first, round(high) + 1, dtype=np.float64)
    return _Levels(steps.astype(np.int32), values)


def _quantiles(
    image: _Levels, mass: NDArray[np.float64], shares: tuple[float, ...]
) -> list[float]:
    reached = np.cumsum(mass)
    found = []
    for share in shares:
        wanted = share * reached[-1]
        place = int(np.searchsorted(reached, wanted))
        value = float(image.values[place])
        if abs(wanted - reached[place]) < 1e-10:
            value = (value + image.next_value(place)) / 2
        found.append(value)
    return found
