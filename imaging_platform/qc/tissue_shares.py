"""
How tissues share the head: volumes, partial volumes, overlap with a template, bias.

Definitions follow what the code of MRIQC 24.0 computes (Esteban et al. 2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging_platform.voxels.overlap import fuzzy_jaccard

TISSUES = ("csf", "gm", "wm")


def icv_fractions(probabilities: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """
    Return the share of each tissue in the volume of all.

    Parameters
    ----------
    probabilities
        Map of each tissue, 0 to 1, all of one shape.

    Returns
    -------
    dict
        0 to 1 by tissue, 1 in sum; NaN when all maps are 0.
    """
    sums = {
        name: float(np.sum(each, dtype=np.float64))
        for name, each in probabilities.items()
    }
    total = sum(sums.values())
    return {name: _ratio(value, total) for name, value in sums.items()}


def rpve(probability: NDArray[Any]) -> float:
    """
    Return the residual partial volume effect of a tissue.

    As MRIQC's code has it: values beyond the percentiles 2 and 98 of what is above 0
    become 0; the sum of p above 0.5 and of 1 - p elsewhere, all zeros included,
    over the number of voxels above 0. It therefore grows with the field of view.

    Parameters
    ----------
    probability
        Map of the tissue; values beyond 0 and 1 are cut.

    Returns
    -------
    float
        At least 0; NaN for an empty map.
    """
    present = probability[probability > 0].astype(np.float64)
    if not present.size:
        return float("nan")
    present = np.minimum(present, 1.0)
    low, high = np.percentile(present, [2, 98])
    kept = present[(present >= low) & (present <= high)]
    zeros = probability.size - kept.size
    sure, doubtful = kept[kept > 0.5], kept[kept <= 0.5]
    spread = float(sure.sum()) + float((1.0 - doubtful).sum()) + zeros
    return spread / present.size


def tpm_overlap(probability: NDArray[Any], template: NDArray[Any]) -> float:
    """
    Return the fuzzy Jaccard index of a tissue map and the template's in its space.

    Sum of minima over sum of maxima (Crum et al. 2006, IEEE TMI 25:1451); 1 when
    alike, NaN when both are 0.

    Parameters
    ----------
    probability, template
        Maps of one tissue on one grid, 0 to 1.
    """
    return fuzzy_jaccard(probability, template)


def inu_range(bias: NDArray[Any]) -> float:
    """
    Return the distance of the percentiles 5 and 95 of the bias field in the brain.

    Parameters
    ----------
    bias
        Multiplicative field at the voxels of tissue, any shape; NaN for none.
    """
    if not bias.size:
        return float("nan")
    low, high = np.percentile(bias, [5.0, 95.0])
    return float(abs(high - low))


def inu_median(bias: NDArray[Any]) -> float:
    """Return the median of the bias field at the voxels of tissue; NaN for none."""
    return float(np.median(bias)) if bias.size else float("nan")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
