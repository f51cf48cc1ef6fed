"""
All image quality metrics of a T1-weighted or T2-weighted scan.

Names and definitions are those of MRIQC 24.0 (Esteban et al. 2017, PLoS ONE
12:e0184661), as its code has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from imaging_platform.qc.air import qi_1, qi_2
from imaging_platform.qc.contrast import (
    cjv,
    cnr,
    efc,
    fber,
    snr,
    snr_dietrich,
    wm2max,
)
from imaging_platform.qc.smoothness import fwhm
from imaging_platform.qc.summary import Summary, name_summaries, summarize
from imaging_platform.qc.tissue_shares import (
    TISSUES,
    icv_fractions,
    inu_median,
    inu_range,
    rpve,
    tpm_overlap,
)
from imaging_platform.voxels.masks import Mask

_ndimage: Any = scipy.ndimage  # its inferred return types are unions with scalars


@dataclass(frozen=True, eq=False)
class Head:
    """
    A scan of a head with what was found in it; all arrays on one grid, (x, y, z).

    Parameters
    ----------
    raw
        The image as acquired.
    corrected
        The same, corrected for bias and scaled to a white matter of 1000
        (`harmonize`); values below 0 count as 0.
    probabilities
        Map of ``csf``, ``gm`` and ``wm``, 0 to 1.
    brain
        Mask of the brain.
    head
        Mask of the head, skin included.
    air
        The hat without its artefacts: air above the plane through nasion and occiput.
    artifacts
        Artefact in the hat, disjoint from `air`.
    rotation
        Empty corners that a rotation left; none when left out.
    segmentation
        Labels, above 0 where there is tissue; the brain when left out.
    bias
        Multiplicative bias field; without it there is no ``inu_*``.
    template
        The template's tissue maps warped to the scan; without them there is no
        ``tpm_overlap_*``.
    voxel_mm
        Edges of a voxel in mm.
    """

    raw: NDArray[Any]
    corrected: NDArray[Any]
    probabilities: Mapping[str, NDArray[Any]]
    brain: Mask
    head: NDArray[Any]
    air: NDArray[Any]
    artifacts: NDArray[Any]
    voxel_mm: tuple[float, float, float]
    rotation: NDArray[Any] | None = None
    segmentation: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None
    template: Mapping[str, NDArray[Any]] | None = None


def measure_t1w(scan: Head) -> dict[str, float]:
    """
    Return all metrics of a T1w by MRIQC's names.

    Parameters
    ----------
    scan
        The scan and its masks.

    Returns
    -------
    dict
        NaN where a metric cannot be told.
    """
    corrected = np.maximum(np.nan_to_num(scan.corrected), 0)
    tissues = summarize(corrected, {**scan.probabilities, "bg": scan.air})
    return {
        **_measure_tissues(corrected, tissues),
        "fber": fber(corrected, scan.head, scan.rotation),
        "efc": efc(corrected, scan.rotation),
        "qi_1": qi_1(scan.air, scan.artifacts),
        "qi_2": qi_2(scan.raw, (scan.air > 0) | (scan.artifacts > 0)),
        **_named("icvs", icv_fractions(scan.probabilities)),
        **_named("rpve", {name: rpve(scan.probabilities[name]) for name in TISSUES}),
        **_named("fwhm", fwhm(scan.raw, scan.brain)),
        **_measure_bias(scan),
        **_measure_overlap(scan),
        **describe_grid(scan.raw.shape, scan.voxel_mm),
        **name_summaries(tissues),
    }


def measure_t2w(scan: Head) -> dict[str, float]:
    """
    Return all metrics of a T2w (or FLAIR) by MRIQC's names: those of a T1w.

    Parameters
    ----------
    scan
        The scan and its masks.
    """
    return measure_t1w(scan)


def harmonize(
    data: NDArray[Any], wm: NDArray[Any], *, least: float = 0.9
) -> NDArray[Any]:
    """
    Return an image scaled so that the median of inner white matter is 1000.

    Parameters
    ----------
    data
        Corrected for bias, (x, y, z).
    wm
        Probability of white matter; inner is above `least`, eroded over faces and
        edges, or not eroded when nothing is left.
    """
    sure = wm >= least
    inner = np.asarray(
        _ndimage.binary_erosion(sure, _ndimage.generate_binary_structure(3, 2))
    )
    chosen = inner if inner.any() else sure
    middle = float(np.median(data[chosen])) if chosen.any() else 0.0
    return data * (1000.0 / middle) if middle > 0 else data


def describe_grid(
    shape: tuple[int, ...], voxel_mm: tuple[float, ...], tr_s: float | None = None
) -> dict[str, float]:
    """Return ``size_*`` in voxels and ``spacing_*`` in mm (``spacing_tr`` in s)."""
    sizes = dict(zip(("size_x", "size_y", "size_z", "size_t"), shape, strict=False))
    names = ("spacing_x", "spacing_y", "spacing_z")
    spacing: dict[str, float] = dict(zip(names, voxel_mm, strict=False))
    if tr_s is not None:
        spacing["spacing_tr"] = tr_s
    return {name: float(value) for name, value in {**sizes, **spacing}.items()}


def _measure_tissues(
    corrected: NDArray[Any], tissues: Mapping[str, Summary]
) -> dict[str, float]:
    gm, wm, air = (tissues[name] for name in ("gm", "wm", "bg"))
    snrs = {name: snr(tissues[name]) for name in TISSUES}
    snrds = {name: snr_dietrich(tissues[name], air) for name in TISSUES}
    return {
        **_named("snr", {**snrs, "total": float(np.mean(list(snrs.values())))}),
        **_named("snrd", {**snrds, "total": float(np.mean(list(snrds.values())))}),
        "cnr": cnr(wm, gm, air),
        "cjv": cjv(wm, gm),
        "wm2max": wm2max(corrected, wm),
    }


def _measure_bias(scan: Head) -> dict[str, float]:
    if scan.bias is None:
        return {}
    tissue = scan.brain if scan.segmentation is None else scan.segmentation > 0
    inside = scan.bias[tissue]
    return {"inu_range": inu_range(inside), "inu_med": inu_median(inside)}


def _measure_overlap(scan: Head) -> dict[str, float]:
    if scan.template is None:
        return {}
    return {
        f"tpm_overlap_{name}": tpm_overlap(
            scan.probabilities[name], scan.template[name]
        )
        for name in TISSUES
    }


def _named(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in values.items()}
