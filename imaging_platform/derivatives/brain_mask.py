"""The brain mask of each T1-weighted scan of a session, and the way to the template."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.head_registration import RegisteredHead, register_head
from imaging_platform.derivatives.images import Image, read_image, write_image
from imaging_platform.derivatives.scans import (
    DerivativeReport,
    Scan,
    Skipped,
    derived_path,
    find_scans,
    source_uri,
)
from imaging_platform.derivatives.template import SPACE
from imaging_platform.derivatives.volumes import resample
from imaging_platform.files.writing import write_json
from imaging_platform.model.ids import SessionKey
from imaging_platform.voxels.masks import dilate, erode, fill, largest_part, open_mask

TRANSFORM_KEY = f"AffineTo{SPACE}"
"""Sidecar key of the matrix from scanner to template millimetres: BIDS has no legal
name for a file of transforms yet."""

DARK, BRIGHT = 0.45, 1.6
"""Signal at the rim of a brain, as a share of the inner brain's median."""

SMALLEST_BRAIN_ML = 500.0
LARGEST_BRAIN_ML = 2200.0
"""No whole brain of an adult or a child is smaller or larger: said in the report."""


@dataclass(frozen=True)
class MaskedBrain:
    """
    One brain mask.

    Parameters
    ----------
    scan
        Name of the T1w without extension.
    mask
        Path of the mask inside the target folder.
    volume_ml
        Volume of the mask in millilitres.
    scale_to_template
        Determinant of the affine to the template: 1.3 means a head 30 % smaller.
    is_plausible
        False when the volume is not that of a whole brain.
    """

    scan: str
    mask: str
    volume_ml: float
    scale_to_template: float
    is_plausible: bool


def write_brain_mask(
    bids_session: str, target: str, subject: str, session: str
) -> dict[str, object]:
    """
    Write ``anat/*_desc-brain_mask.nii.gz`` and its sidecar for each T1w of a session.

    Parameters
    ----------
    bids_session
        ``.../sub-X/ses-Y`` of a BIDS dataset.
    target
        Existing empty folder: content of ``derivatives/<pipeline>/sub-X/ses-Y``.
    subject, session
        BIDS labels without ``sub-`` and ``ses-``.

    Returns
    -------
    dict
        A `DerivativeReport` of `MaskedBrain`; its note may be ``no T1w``.
        A session without T1w leaves the target empty.

    Raises
    ------
    BadInput
        A T1w cannot be read, or holds no head.
    MissingInput
        The session folder is not there.
    """
    key = SessionKey(subject, session)
    masks: list[MaskedBrain] = []
    skipped: list[Skipped] = []
    found = find_scans(Path(bids_session), "anat", "T1w")
    for scan in found:
        image = read_image(scan.path)
        reason = why_unusable(image)
        if reason:
            skipped.append(Skipped(scan.name, reason))
        else:
            masks.append(_write_mask(scan, image, Path(target), key))
    note = "" if found else "no T1w"
    return asdict(DerivativeReport(tuple(masks), tuple(skipped), note))


def mask_brain(image: Image) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """
    Return the brain mask of a T1-weighted head and its affine to the template.

    Parameters
    ----------
    image
        Three dimensions, any orientation and voxel size, arbitrary units.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Mask of the image's shape; matrix (4, 4) from scanner mm to template mm.

    Raises
    ------
    BadInput
        No head stands out from the background.
    """
    registered = register_head(image)
    refined = refine_rim(registered)
    pull = np.linalg.inv(registered.affine) @ image.affine
    level = resample(refined, pull, image.data.shape, order=1)
    return fill(largest_part(level > 0.5)), registered.to_template


def why_unusable(image: Image) -> str:
    """Return why no brain can be found in a T1w, or an empty text."""
    if image.data.ndim != 3:
        return "more than one volume"
    extent_mm = np.array(image.data.shape) * image.voxel_mm
    if min(image.data.shape) < 10 or extent_mm.min() < 60:
        return "the slices do not cover the brain"
    if float(image.data.max()) <= float(image.data.min()):
        return "every voxel has the same value"
    return ""


def refine_rim(registered: RegisteredHead) -> NDArray[np.float32]:
    """
    Return the warped brain, 0 to 1, without skull and scalp at its rim.

    In the outer 6 mm, voxels darker than `DARK` or brighter than `BRIGHT` times
    the inner brain's median are bone, air or fat. What then hangs on by less than
    two voxels is cut off.
    """
    inside = registered.brain > 0.5
    core = erode(inside, 4)
    if not core.any():
        return registered.brain
    level = registered.head / np.median(registered.head[core])
    rim = inside & ~erode(inside, 3)
    foreign = rim & ((level < DARK) | (level > BRIGHT))
    kept = largest_part(open_mask(inside & ~foreign))
    kept = fill(dilate(kept) & inside & ~foreign)
    cut = np.minimum(registered.brain, 0.3)
    return np.where(inside & ~kept, cut, registered.brain).astype(np.float32)


def _write_mask(scan: Scan, image: Image, target: Path, key: SessionKey) -> MaskedBrain:
    mask, to_template = mask_brain(image)
    path = derived_path(target, key, scan, "brain", "mask", ".nii.gz")
    write_image(path, mask.astype(np.uint8), image.affine)
    write_json(
        derived_path(target, key, scan, "brain", "mask", ".json"),
        {
            "Description": "Brain with cerebellum and upper brain stem.",
            "Type": "Brain",
            "Sources": [source_uri(key, scan)],
            "SpatialReference": "orig",
            "Manual": False,
            TRANSFORM_KEY: np.round(to_template, 6).tolist(),
        },
    )
    volume_ml = float(mask.sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000)
    return MaskedBrain(
        scan=scan.name,
        mask=path.relative_to(target).as_posix(),
        volume_ml=round(volume_ml, 2),
        scale_to_template=round(float(np.linalg.det(to_template[:3, :3])), 4),
        is_plausible=SMALLEST_BRAIN_ML < volume_ml < LARGEST_BRAIN_ML,
    )
