"""How far each value of a study lies from the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SCALE_OF_MEAN = 1.2533
"""Mean absolute deviation times this is the standard deviation of a Gaussian."""

SMALLEST = float(np.finfo(float).tiny)
"""A spread below the smallest normal number is none: a division by it overflows."""

ROUNDING = 1e-10
"""A spread below this share of the median is none: so far sums are rounded apart."""


def robust_z(values: Sequence[float]) -> list[float]:
    """
    Return (value - median) / (1.4826 MAD) of each value.

    When more than half of the values are equal the mean absolute deviation times
    1.2533 takes the place of the MAD (Iglewicz and Hoaglin 1993); when all are equal
    every z is 0. Values that rounding sets apart are equal.

    Examples
    --------
    >>> robust_z([1.0, 2.0, 3.0, 4.0, 100.0])[2:4]
    [0.0, 0.6744907594765952]
    """
    data = np.array(values, dtype=float)
    middle = float(np.median(data))
    away = data - middle
    # The mean of two neighbours is rounded; what it was off is seen only now.
    away -= np.median(away)
    least = max(SMALLEST, ROUNDING * abs(middle))
    scale = 1.4826 * float(np.median(np.abs(away)))
    if scale < least:
        scale = SCALE_OF_MEAN * float(np.mean(np.abs(away)))
    z = away / scale if scale >= least else np.zeros_like(away)
    return [float(each) for each in z]
