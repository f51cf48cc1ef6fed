"""
Signal, noise and contrast of an image.

Definitions follow what the code of MRIQC 24.0 computes (Esteban et al. 2017, PLoS
ONE 12:e0184661); where it differs from its documentation, the code counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging_platform.qc.ranks import percentile, values_at
from imaging_platform.qc.summary import DECIMALS, Summary, dot

DIETRICH = 0.6551364
"""sqrt((4 - pi) / 2): standard deviation of Rayleigh noise over sigma
(Dietrich et al. 2007, J Magn Reson Imaging 26:375, eq. A.12)."""

_CHUNK = 1 << 17
_LEAST = 1e-300
"""Stands for 0 in a logarithm that is multiplied by 0."""


def snr(tissue: Summary) -> float:
    """
    Return median / (stdv sqrt(n / (n - 1))) of one tissue.

    Parameters
    ----------
    tissue
        As `summarize` returns it. NaN for fewer than two voxels or no spread.
    """
    if not tissue.n > 1 or not tissue.stdv > 0:
        return float("nan")
    return tissue.median / (tissue.stdv * float(np.sqrt(tissue.n / (tissue.n - 1))))


def snr_dietrich(tissue: Summary, air: Summary) -> float:
    """
    Return signal against the noise of air, whose magnitude is Rayleigh distributed.

    0.6551 median / MAD of air (Dietrich et al. 2007); with a MAD of at most 1 its
    standard deviation, and -1 when that is at most 1e-3 (air that was set to zero).

    Parameters
    ----------
    tissue, air
        As `summarize` returns them; air without artefacts.
    """
    if air.n == 0 or tissue.n == 0:
        return float("nan")
    noise = air.mad if air.mad > 1.0 else air.stdv
    if noise <= 1e-3:
        return -1.0
    return DIETRICH * tissue.median / noise


def cnr(wm: Summary, gm: Summary, air: Summary) -> float:
    """
    Return |median WM - median GM| / sqrt(sum of the variances of air, GM and WM).

    Magnotta and Friedman 2006, J Digit Imaging 19:140. NaN without any noise.

    Parameters
    ----------
    wm, gm, air
        As `summarize` returns them.
    """
    noise = float(np.sqrt(air.stdv**2 + gm.stdv**2 + wm.stdv**2))
    return abs(wm.median - gm.median) / noise if noise > 0 else float("nan")


def cjv(wm: Summary, gm: Summary) -> float:
    """
    Return (MAD WM + MAD GM) / |median WM - median GM|.

    Coefficient of joint variation, Ganzetti et al. 2016, Front Neuroinform 10:10.
    NaN without contrast.

    Parameters
    ----------
    wm, gm
        As `summarize` returns them.
    """
    gap = abs(wm.median - gm.median)
    return (wm.mad + gm.mad) / gap if gap > 0 else float("nan")


def wm2max(data: NDArray[Any], wm: Summary) -> float:
    """
    Return the median of white matter over the 99.95 percentile of the image.

    Parameters
    ----------
    data
        Any shape; the percentile is interpolated linearly. NaN when it is not
        positive.
    wm
        As `summarize` returns it.
    """
    top = percentile(data, 99.95)
    return wm.median / top if top > 0 else float("nan")


def fber(
    data: NDArray[Any], head: NDArray[Any], excluded: NDArray[Any] | None = None
) -> float:
    """
    Return the median energy of the foreground over that of the background.

    Foreground-background energy ratio (Shehzad et al. 2015); as MRIQC's code takes
    medians. -1 when the background is empty of signal (energy below 1e-3).

    Parameters
    ----------
    data
        Shape (x, y, z) or (x, y, z, t).
    head
        Foreground where above 0, shape (x, y, z).
    excluded
        Voxels of the background that hold nothing, of the same shape; none when
        left out.

    Returns
    -------
    float
        Rounded to 4 decimals; NaN without foreground or background.
    """
    inside = head > 0
    outside = ~inside if excluded is None else ~(inside | (excluded > 0))
    front, back = np.ravel(data[inside]), np.ravel(data[outside])
    if not front.size or not back.size:
        return float("nan")
    behind = _median_energy(back)
    if behind < 1e-3:
        return -1.0
    return round(_median_energy(front) / behind, DECIMALS)


def efc(data: NDArray[Any], excluded: NDArray[Any] | None = None) -> float:
    """
    Return the entropy focus criterion, 0 (one bright voxel) to 1 (all alike).

    E / E_max with E = sum of x / b ln((x + 1e-16) / b) and b = sqrt(sum of x^2)
    (Atkinson et al. 1997, IEEE TMI 16:903).

    Parameters
    ----------
    data
        Any shape; values below 0 count as 0.
    excluded
        Voxels that hold nothing, of the same shape; none when left out.

    Returns
    -------
    float
        Rounded to 4 decimals; NaN for an image of zeros.
    """
    values = np.ravel(data) if excluded is None else data[excluded == 0]
    count = values.size
    energy = logs = total = 0.0
    for start in range(0, count, _CHUNK):
        part = values[start : start + _CHUNK]
        part = np.maximum(part, 0).astype(np.float64)
        energy += dot(part, part)
        total += float(part.sum())
        logs += dot(part, np.log(np.maximum(part, _LEAST)))
    if energy <= 0 or count < 2:
        return float("nan")
    norm = np.sqrt(energy)
    entropy = (logs - np.log(norm) * total) / norm
    return round(float(entropy / (np.sqrt(count) * np.log(1 / np.sqrt(count)))), 4)


def _median_energy(values: NDArray[Any]) -> float:
    """Return the median of |x|^2, by ordering |x| only."""
    low, high = values_at(np.abs(values), (values.size - 1) / 2)
    if values.size % 2:
        high = low
    return (low**2 + high**2) / 2
