"""T1-weighted scans without a face, guarded so that no brain is ever removed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.brain import Brain, read_brain
from imaging_platform.derivatives.images import Image, read_image, write_image
from imaging_platform.derivatives.scans import (
    Scan,
    Skipped,
    derived_path,
    find_scans,
    read_sidecar,
    source_uri,
)
from imaging_platform.derivatives.template import reference_head
from imaging_platform.derivatives.volumes import distance_mm, resample
from imaging_platform.files.writing import write_json
from imaging_platform.model.ids import SessionKey

GUARD_MM = 3.0
"""The brain mask is widened by this much before the face is cut."""


@dataclass(frozen=True)
class DefacedScan:
    """
    One scan without its face.

    Parameters
    ----------
    scan
        Name of the T1w without extension.
    image
        Path of the result inside the target folder.
    removed_percent
        Voxels set to zero, in percent of the whole image.
    head_removed_percent
        Of the signal outside the brain, the percentage that was removed.
    brain_voxels_removed
        Always 0; counted, not assumed.
    """

    scan: str
    image: str
    removed_percent: float
    head_removed_percent: float
    brain_voxels_removed: int


@dataclass(frozen=True)
class DefacingReport:
    """
    What `write_defaced_t1w` did.

    Parameters
    ----------
    scans
        One entry a T1w with a brain mask.
    skipped
        Scans that were not defaced and must not be shared, with the reason.
    note
        ``no T1w`` when the session has none, otherwise empty.
    """

    scans: tuple[DefacedScan, ...]
    skipped: tuple[Skipped, ...]
    note: str


def write_defaced_t1w(
    bids_session: str, brain_mask_session: str, target: str, subject: str, session: str
) -> dict[str, object]:
    """
    Write ``anat/*_desc-defaced_T1w.nii.gz`` and its sidecar for each T1w of a session.

    Parameters
    ----------
    bids_session
        ``.../sub-X/ses-Y`` of a BIDS dataset.
    brain_mask_session
        What `write_brain_mask` wrote for the same session.
    target
        Existing empty folder: content of ``derivatives/<pipeline>/sub-X/ses-Y``.
    subject, session
        BIDS labels without ``sub-`` and ``ses-``.

    Returns
    -------
    dict
        A `DefacingReport`.

    Raises
    ------
    BadInput
        A scan or a mask cannot be read, or the two do not fit.
    MissingInput
        The session folder is not there.
    """
    key = SessionKey(subject, session)
    defaced: list[DefacedScan] = []
    skipped: list[Skipped] = []
    found = find_scans(Path(bids_session), "anat", "T1w")
    for scan in found:
        image = read_image(scan.path)
        brain = read_brain(Path(brain_mask_session), key, scan, image)
        if brain is None:
            skipped.append(Skipped(scan.name, "it has no brain mask"))
        else:
            defaced.append(_write_defaced(scan, image, brain, Path(target), key))
    note = "" if found else "no T1w"
    return asdict(DefacingReport(tuple(defaced), tuple(skipped), note))


def find_face(
    image: Image, brain: NDArray[np.bool_], to_template: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """
    Return the voxels to remove: the template's face outside of the guarded brain.

    Parameters
    ----------
    image
        The scan, three dimensions; only its grid is used.
    brain
        Brain mask of the same shape; widened by `GUARD_MM` it is never removed.
    to_template
        Shape (4, 4), scanner mm to template mm.
    """
    reference = reference_head()
    pull = np.linalg.inv(reference.affine) @ to_template @ image.affine
    # "nearest": the face goes on below and before the template's own box.
    face = resample(
        reference.face.astype(np.uint8),
        pull,
        image.data.shape,
        order=0,
        mode="nearest",
    ).astype(bool)
    return face & ~_guard(brain, image.voxel_mm)


def _guard(
    brain: NDArray[np.bool_], voxel_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    return distance_mm(brain, voxel_mm) <= max(GUARD_MM, float(voxel_mm.min()))


def _write_defaced(
    scan: Scan, image: Image, found: Brain, target: Path, key: SessionKey
) -> DefacedScan:
    brain = found.mask
    face = find_face(image, brain, found.to_template)
    kept = np.where(face, 0, image.data)
    path = derived_path(target, key, scan, "defaced", "T1w", ".nii.gz")
    write_image(path, _original_type(kept), image.affine)
    sidecar = read_sidecar(scan)
    sidecar.update(
        {
            "Description": "T1-weighted head with the face set to zero.",
            "SkullStripped": False,
            "Sources": [source_uri(key, scan)],
        }
    )
    write_json(derived_path(target, key, scan, "defaced", "T1w", ".json"), sidecar)
    outside = float(np.abs(image.data[~brain]).sum())
    lost = float(np.abs(image.data[face]).sum())
    return DefacedScan(
        scan=scan.name,
        image=path.relative_to(target).as_posix(),
        removed_percent=round(100 * float(face.mean()), 2),
        head_removed_percent=round(100 * lost / outside, 2) if outside else 0.0,
        brain_voxels_removed=int((face & brain).sum()),
    )


def _original_type(data: NDArray[np.float32]) -> NDArray[np.generic]:
    """Return whole numbers as 16-bit integers, everything else as it is."""
    if np.all(data == np.round(data)) and np.abs(data).max(initial=0) < 2**15:
        return data.astype(np.int16)
    return data
