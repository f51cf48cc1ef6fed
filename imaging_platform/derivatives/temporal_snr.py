"""Temporal signal-to-noise ratio of each realigned BOLD run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.images import read_image, write_image
from imaging_platform.derivatives.scans import Scan, derived_path, find_scans
from imaging_platform.files.writing import write_json
from imaging_platform.model.ids import SessionKey
from imaging_platform.voxels.masks import (
    dilate,
    fill,
    largest_part,
    open_mask,
    otsu_threshold,
)


@dataclass(frozen=True)
class RunTemporalSnr:
    """
    tSNR of one run.

    Parameters
    ----------
    scan
        Name of the realigned run without extension.
    temporal_snr_map, mean_map, mask
        Paths inside the target folder.
    median_temporal_snr
        Median over the mask.
    mask_volume_ml
        Volume of the mask in millilitres.
    """

    scan: str
    temporal_snr_map: str
    mean_map: str
    mask: str
    median_temporal_snr: float
    mask_volume_ml: float


@dataclass(frozen=True)
class TemporalSnrReport:
    """
    What `write_temporal_snr` did.

    Parameters
    ----------
    scans
        One entry a realigned run.
    note
        ``no realigned BOLD`` when there is none, otherwise empty.
    """

    scans: tuple[RunTemporalSnr, ...]
    note: str


def write_temporal_snr(
    motion_session: str, target: str, subject: str, session: str
) -> dict[str, object]:
    """
    Write tSNR, mean and head mask of each realigned run.

    The maps are named ``func/*_desc-tsnr_sbref`` and ``func/*_desc-mean_sbref``:
    ``sbref`` is the one suffix that BIDS 1.11 allows for a volume in BOLD space.

    Parameters
    ----------
    motion_session
        What `write_motion` wrote for the session.
    target
        Existing empty folder: content of ``derivatives/<pipeline>/sub-X/ses-Y``.
    subject, session
        BIDS labels without ``sub-`` and ``ses-``.

    Returns
    -------
    dict
        A `TemporalSnrReport`.

    Raises
    ------
    BadInput
        A series cannot be read.
    MissingInput
        The folder is not there.
    """
    key = SessionKey(subject, session)
    found = find_scans(Path(motion_session), "func", "bold")
    runs = tuple(_write_maps(scan, Path(target), key) for scan in found)
    note = "" if found else "no realigned BOLD"
    return asdict(TemporalSnrReport(runs, note))


def temporal_snr(bold: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    Return the temporal signal-to-noise ratio of each voxel.

    Parameters
    ----------
    bold
        Signal, shape (x, y, z, t) with t >= 2, arbitrary units, motion corrected.

    Returns
    -------
    numpy.ndarray
        Mean over time divided by the standard deviation over time (n - 1), shape
        (x, y, z), unitless. Voxels that never change are 0, not infinite.
    """
    mean = bold.mean(axis=3, dtype=np.float64)
    deviation = bold.std(axis=3, ddof=1, dtype=np.float64)
    still = deviation <= 1e-6 * np.abs(mean)
    ratio = np.divide(mean, deviation, out=np.zeros_like(mean), where=~still)
    return ratio.astype(np.float32)


def mask_head(mean: NDArray[np.float32]) -> NDArray[np.bool_]:
    """
    Return the bright part of a mean volume: brain of an EPI, in which scalp is dark.

    Otsu's threshold, opened, largest part, closed; shape of `mean`.
    """
    if float(mean.max()) <= float(mean.min()):
        return np.zeros(mean.shape, dtype=bool)
    bright = mean > otsu_threshold(np.minimum(mean, np.percentile(mean, 99.5)))
    return fill(dilate(largest_part(open_mask(bright))) & bright)


def _write_maps(scan: Scan, target: Path, key: SessionKey) -> RunTemporalSnr:
    image = read_image(scan.path)
    mean = image.data.mean(axis=3)
    ratio = temporal_snr(image.data)
    mask = mask_head(mean)
    paths = {}
    for desc, suffix, data, words in (
        ("tsnr", "sbref", ratio, "Mean over time by standard deviation over time."),
        ("mean", "sbref", mean, "Mean over time of the realigned series."),
        ("head", "mask", mask.astype(np.uint8), "Bright part of the mean volume."),
    ):
        path = derived_path(target, key, scan, desc, suffix, ".nii.gz")
        write_image(path, data, image.affine)
        sidecar: dict[str, object] = {"Description": words}
        if suffix == "mask":
            sidecar.update({"Type": "Brain", "SpatialReference": "orig"})
        else:
            sidecar["SkullStripped"] = False
        sidecar["Sources"] = [f"bids:motion:{_inside(key, scan)}"]
        write_json(derived_path(target, key, scan, desc, suffix, ".json"), sidecar)
        paths[desc] = path.relative_to(target).as_posix()
    voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    return RunTemporalSnr(
        scan=scan.name,
        temporal_snr_map=paths["tsnr"],
        mean_map=paths["mean"],
        mask=paths["head"],
        median_temporal_snr=round(float(np.median(ratio[mask])), 4)
        if mask.any()
        else 0.0,
        mask_volume_ml=round(float(mask.sum() * voxel_ml), 2),
    )


def _inside(key: SessionKey, scan: Scan) -> str:
    return f"sub-{key.subject}/ses-{key.session}/{scan.datatype}/{scan.path.name}"
