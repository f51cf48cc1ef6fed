"""How far two maps of a tissue cover each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def fuzzy_jaccard(one: NDArray[Any], other: NDArray[Any]) -> float:
    """
    Return the sum of minima over the sum of maxima of two maps, 0 to 1.

    Crum et al. 2006, IEEE TMI 25:1451; 1 when alike, NaN when both are 0.

    Parameters
    ----------
    one, other
        Probabilities on one grid, 0 to 1.
    """
    most = float(np.maximum(one, other).sum(dtype=np.float64))
    least = float(np.minimum(one, other).sum(dtype=np.float64))
    return least / most if most > 0 else float("nan")
