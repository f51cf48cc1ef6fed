"""
Image quality metrics of a T1-weighted scan.

Definitions follow what the code of MRIQC 24 computes (Esteban et al. 2017, PLoS
ONE 12:e0184661), with hard tissue masks in place of probability maps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging_platform.qc.arrays import Volume
from imaging_platform.qc.metric import Measure
from imaging_platform.qc.tissues import (
    Tissues,
    mask_air,
    mask_whole_head,
    segment_tissues,
)
from imaging_platform.voxels.masks import Mask, open_mask

Values = NDArray[np.floating]

DIETRICH = 0.6551364
"""sqrt(2 / (4 - pi)) over the MAD's Gaussian factor (Dietrich et al. 2007)."""


def measure_t1w(
    data: Volume, brain: Mask, affine: NDArray[np.float64]
) -> tuple[Measure, ...]:
    """
    Return the metrics of one T1w.

    Parameters
    ----------
    data
        Intensities, three dimensions, arbitrary units.
    brain
        Brain mask of the same shape, not empty.
    affine
        Shape (4, 4), index to scanner mm.
    """
    voxel_mm = np.linalg.norm(affine[:3, :3], axis=0)
    tissues = segment_tissues(data, brain, voxel_mm)
    # The scale of MRIQC: white matter at 1000, so that its rounding means the same.
    scale = 1000 / max(
        float(np.median(data[tissues.wm])) if tissues.wm.any() else 1, 1e-6
    )
    scaled = (data * scale).astype(np.float32)
    head = mask_whole_head(scaled) | brain
    air = mask_air(head, brain, affine)
    even = scaled / tissues.bias
    csf, gm, wm = even[tissues.csf], even[tissues.gm], even[tissues.wm]
    snrs = [snr(values) for values in (csf, gm, wm)]
    volume_ml = float(brain.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)
    return (
        Measure("snr_csf", snrs[0]),
        Measure("snr_gm", snrs[1]),
        Measure("snr_wm", snrs[2]),
        Measure("snr_total", float(np.mean(snrs))),
        Measure("snrd_wm", snr_dietrich(wm, scaled[air])),
        Measure("cnr", cnr(wm, gm, scaled[air])),
        Measure("cjv", cjv(wm, gm)),
        Measure("fber", fber(scaled[head], scaled[air])),
        Measure("efc", efc(scaled)),
        Measure("wm2max", wm2max(scaled, tissues.wm)),
        Measure("inu_range", inu_range(tissues.bias[brain])),
        Measure("qi_1", qi_1(scaled, air)),
        Measure("icv_ml", volume_ml, "ml"),
        *_fractions(tissues, brain),
    )


def snr(values: Values) -> float:
    """Return median / (std sqrt(n / (n - 1))); NaN for one value or no spread."""
    if values.size < 2:
        return float("nan")
    spread = float(np.std(values, dtype=np.float64))
    if spread == 0:
        return float("nan")
    return float(np.median(values)) / (
        spread * np.sqrt(values.size / (values.size - 1))
    )


def snr_dietrich(values: Values, air: Values) -> float:
    """
    Return signal against the noise of air, whose magnitude is Rayleigh distributed.

    0.655 median / MAD of air; with a MAD of at most 1 its standard deviation, and
    -1 when that is below 1e-3 (air that was set to zero).
    """
    if not values.size or not air.size:
        return float("nan")
    noise = mad(air)
    if noise <= 1.0:
        noise = float(np.std(air, dtype=np.float64))
    if noise < 1e-3:
        return -1.0
    return DIETRICH * float(np.median(values)) / noise


def cnr(wm: Values, gm: Values, air: Values) -> float:
    """Return |median WM - median GM| / sqrt(sum of variances) (Magnotta 2006)."""
    if not (wm.size and gm.size):
        return float("nan")
    variances = [np.var(part, dtype=np.float64) for part in (air, gm, wm) if part.size]
    noise = float(np.sqrt(np.sum(variances)))
    gap = abs(float(np.median(wm)) - float(np.median(gm)))
    return gap / noise if noise > 0 else float("nan")


def cjv(wm: Values, gm: Values) -> float:
    """Return (MAD WM + MAD GM) / |median WM - median GM| (Ganzetti et al. 2016)."""
    if not (wm.size and gm.size):
        return float("nan")
    gap = abs(float(np.median(wm)) - float(np.median(gm)))
    return (mad(wm) + mad(gm)) / gap if gap > 0 else float("nan")


def fber(foreground: Values, air: Values) -> float:
    """Return median energy of the head over that of air; -1 when air is exactly 0."""
    if not (foreground.size and air.size):
        return float("nan")
    behind = float(np.median(air.astype(np.float64) ** 2))
    if behind < 1e-6:
        return -1.0
    return float(np.median(foreground.astype(np.float64) ** 2)) / behind


def efc(data: Volume) -> float:
    """
    Return the entropy focus criterion, 0 (one bright voxel) to 1 (all alike).

    Atkinson et al. 1997, IEEE TMI 16:903. NaN for an image of zeros.
    """
    values = np.maximum(data.ravel(), 0).astype(np.float64)
    norm = float(np.sqrt(np.sum(values**2)))
    if norm == 0:
        return float("nan")
    count = values.size
    most = count / np.sqrt(count) * np.log(1 / np.sqrt(count))
    share = values / norm
    return float(np.sum(share * np.log(share + 1e-16)) / most)


def wm2max(data: Volume, wm: Mask) -> float:
    """Return the median of white matter over the 99.95 percentile of the image."""
    if not wm.any():
        return float("nan")
    return float(np.median(data[wm])) / float(np.percentile(data, 99.95))


def inu_range(bias: Values) -> float:
    """Return the distance of the 5 and 95 percentiles of the bias field."""
    low, high = np.percentile(bias, [5, 95])
    return float(abs(high - low))


def qi_1(data: Volume, air: Mask) -> float:
    """
    Return the share of air voxels that hold artefact (Mortamet et al. 2009).

    Brighter than 10 MAD above the median, in parts thicker than one voxel.
    """
    if not air.any():
        return float("nan")
    noise = data[air]
    bright = air & (data > np.median(noise) + 10 * max(mad(noise), 1e-6))
    return float(open_mask(bright).sum() / air.sum())


def mad(values: Values) -> float:
    """Return the median absolute deviation / 0.6745: the std of a Gaussian."""
    if not values.size:
        return float("nan")
    return float(np.median(np.abs(values - np.median(values)))) / 0.6745


def _fractions(tissues: Tissues, brain: Mask) -> tuple[Measure, ...]:
    total = max(int(brain.sum()), 1)
    return tuple(
        Measure(f"{name}_fraction", float(mask.sum() / total))
        for name, mask in (("csf", tissues.csf), ("gm", tissues.gm), ("wm", tissues.wm))
    )
