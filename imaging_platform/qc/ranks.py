"""Exact order statistics of large arrays, without ordering all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 4096
_FEW = 8 * _SAMPLE
"""Fewer values than this are ordered at once."""


def values_at(values: NDArray[Any], rank: float) -> tuple[float, float]:
    """
    Return the two ordered values around a rank, the same one twice at the last.

    A sample tells between which values the rank lies; all are compared with these,
    and only what lies between is ordered (Floyd and Rivest 1975, Commun ACM 18:165).
    The result is exact, whatever the sample is.

    Parameters
    ----------
    values
        Any shape, not empty, without NaN.
    rank
        0 (least) to values.size - 1 (greatest).

    Examples
    --------
    >>> import numpy as np
    >>> values_at(np.array([4.0, 1.0, 3.0]), 0.5)
    (1.0, 3.0)
    """
    flat = np.ravel(values)
    first = int(rank)
    last = min(first + 1, flat.size - 1)
    if flat.size >= _FEW:
        low, high = _bracket(flat, first)
        inside = np.compress((flat >= low) & (flat <= high), flat)
        below = int(np.count_nonzero(flat < low))
        if below <= first and last < below + inside.size:
            flat, first, last = inside, first - below, last - below
    ordered = np.partition(flat, (first, last))
    return float(ordered[first]), float(ordered[last])


def percentile(values: NDArray[Any], percent: float) -> float:
    """
    Return a percentile, linear between ranks, as `numpy.percentile` does.

    Parameters
    ----------
    values
        Any shape, without NaN; NaN for no values.
    percent
        0 to 100.
    """
    if not values.size:
        return float("nan")
    rank = (values.size - 1) * percent / 100
    low, high = values_at(values, rank)
    return low + (rank - int(rank)) * (high - low)


def median(values: NDArray[Any]) -> float:
    """Return the median of all values, NaN for none."""
    return percentile(values, 50)


def _bracket(flat: NDArray[Any], rank: int) -> tuple[Any, Any]:
    """Return two values between which the one at the rank almost surely lies."""
    # Even steps could meet the same volume or column again and again.
    places = np.random.default_rng(0).integers(0, flat.size, _SAMPLE)
    sample = np.sort(flat[places])
    share = rank / flat.size
    reach = 4 * np.sqrt(_SAMPLE * share * (1 - share)) + 4
    ends = np.array([share * _SAMPLE - reach, share * _SAMPLE + reach]).astype(int)
    low, high = np.clip(ends, 0, _SAMPLE - 1)
    return (
        sample[low] if ends[0] >= 0 else flat.min(),
        sample[high] if ends[1] < _SAMPLE else flat.max(),
    )
