"""Scans of the head without a face, guarded so that no brain is ever removed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.alignment import align_rigid
from imaging_platform.derivatives.brain import Brain, read_brain
from imaging_platform.derivatives.faces import (
    GUARD_MM,
    NO_FACE_PERCENT,
    find_face,
    find_profile,
    find_tissue,
)
from imaging_platform.derivatives.images import Image, read_image, write_image
from imaging_platform.derivatives.scans import (
    DerivativeReport,
    Scan,
    Skipped,
    derived_path,
    find_scans,
    read_sidecar,
    source_uri,
)
from imaging_platform.derivatives.volumes import Volume, resample
from imaging_platform.files.writing import write_json
from imaging_platform.model.ids import SessionKey
from imaging_platform.voxels.masks import Mask

ALIGNED = (("anat", "T2w"), ("anat", "FLAIR"), ("anat", "PDw"), ("pet", "pet"))
"""Datatype and suffix of scans that are defaced by way of the T1w."""

ALIGNED_GUARD_MM = 5.0
"""Wider around a brain whose place is known by alignment, within 2 mm."""

LEAST_INFORMATION = 1.01
"""Of an alignment; scans of different heads, or of noise, have less in common."""


@dataclass(frozen=True)
class DefacedScan:
    """
    One scan without its face.

    Parameters
    ----------
    scan
        Name of the scan without extension.
    image
        Path of the result inside the target folder.
    was_defaced
        True when there was no face: the scan is left as it was.
    removed_percent
        Voxels set to zero, in percent of the whole image.
    head_removed_percent
        Of the signal outside the brain, the percentage that was removed.
    brain_voxels_removed
        Always 0; counted, not assumed.
    face_left_percent
        Tissue that is left where the brain says that eyes, nose and mouth are, in
        percent of what was there; a face that can be seen has more than 50.
    moved_to_t1w_mm
        Way between the scanner's coordinates and the alignment; 0 for a T1w.
    """

    scan: str
    image: str
    was_defaced: bool
    removed_percent: float
    head_removed_percent: float
    brain_voxels_removed: int
    face_left_percent: float
    moved_to_t1w_mm: float


def write_defaced_t1w(
    bids_session: str, brain_mask_session: str, target: str, subject: str, session: str
) -> dict[str, object]:
    """
    Write ``*_desc-defaced_*`` and its sidecar for each scan that shows a face.

    T1w by their own brain mask; T2w, FLAIR, PDw and PET by a rigid alignment to the
    first T1w that has one. A scan without a face is copied as it is.

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
        A `DerivativeReport` of `DefacedScan`; its note may be ``no T1w``.
        What it skips must not be shared.

    Raises
    ------
    BadInput
        A scan or a mask cannot be read, or the two do not fit.
    MissingInput
        The session folder is not there.
    """
    key = SessionKey(subject, session)
    done: list[DefacedScan] = []
    skipped: list[Skipped] = []
    first: _Head | None = None
    session_path = Path(bids_session)
    found = find_scans(session_path, "anat", "T1w")
    for scan in found:
        image = read_image(scan.path)
        brain = read_brain(Path(brain_mask_session), key, scan, image)
        if brain is None:
            skipped.append(Skipped(scan.name, "it has no brain mask"))
            continue
        first = first or _Head(image, brain)
        place = _Place(brain, GUARD_MM, 0.0)
        done.append(_write_defaced(scan, image, place, Path(target), key))
    for scan in (s for kind in ALIGNED for s in find_scans(session_path, *kind)):
        image = read_image(scan.path)
        aligned = _find_place(image, first)
        if isinstance(aligned, str):
            skipped.append(Skipped(scan.name, aligned))
        else:
            done.append(_write_defaced(scan, image, aligned, Path(target), key))
    note = "" if found else "no T1w"
    return asdict(DerivativeReport(tuple(done), tuple(skipped), note))


@dataclass(frozen=True, eq=False)
class _Head:
    """The T1w that tells where the brain of the other scans is."""

    image: Image
    brain: Brain


@dataclass(frozen=True, eq=False)
class _Place:
    """Brain of a scan on its own grid, and how sure that is."""

    brain: Brain
    guard_mm: float
    moved_mm: float


def _find_place(image: Image, head: _Head | None) -> _Place | str:
    """Return where the brain of a scan is by way of the T1w, or why it is unknown."""
    if head is None:
        return "no T1w with a brain mask tells where its face is"
    volume = _mean_volume(image)
    found = align_rigid(head.image, Image(volume, image.affine), head.brain.mask)
    if found.information < LEAST_INFORMATION:
        return "it could not be aligned to the T1w"
    back = np.linalg.inv(found.matrix)
    pull = np.linalg.inv(head.image.affine) @ back @ image.affine
    level = resample(head.brain.mask.astype(np.float32), pull, volume.shape, order=1)
    # Any share of a voxel counts: thick slices must not lose what they hold of it.
    brain = Brain(level > 0.05, head.brain.to_template @ back)
    return _Place(brain, ALIGNED_GUARD_MM, found.moved_mm)


def _mean_volume(image: Image) -> Volume:
    return image.data if image.data.ndim == 3 else image.data.mean(axis=3)


def _write_defaced(
    scan: Scan, image: Image, place: _Place, target: Path, key: SessionKey
) -> DefacedScan:
    brain, volume = place.brain.mask, _mean_volume(image)
    face = find_face(image, brain, place.brain.to_template, place.guard_mm)
    tissue, profile = find_tissue(volume), find_profile(image, brain)
    in_front = 100 * float((tissue & face).sum()) / max(int(face.sum()), 1)
    was_defaced = in_front < NO_FACE_PERCENT
    removed = np.zeros_like(face) if was_defaced else face
    kept = image.data.copy()
    kept[removed] = 0
    path = derived_path(target, key, scan, "defaced", scan.suffix, ".nii.gz")
    write_image(
        path,
        _original_type(kept),
        image.affine,
        repetition_time_s=image.repetition_time_s,
    )
    sidecar = {
        **read_sidecar(scan),
        "Description": "Head with the face set to zero.",
        "SkullStripped": False,
        "Sources": [source_uri(key, scan)],
    }
    write_json(
        derived_path(target, key, scan, "defaced", scan.suffix, ".json"), sidecar
    )
    return DefacedScan(
        scan=scan.name,
        image=path.relative_to(target).as_posix(),
        was_defaced=was_defaced,
        removed_percent=round(100 * float(removed.mean()), 2),
        head_removed_percent=_percent(np.abs(volume), removed, ~brain),
        brain_voxels_removed=int((removed & brain).sum()),
        face_left_percent=_percent(
            tissue.astype(np.float32), profile & ~removed, profile
        ),
        moved_to_t1w_mm=place.moved_mm,
    )


def _original_type(data: NDArray[np.float32]) -> NDArray[np.generic]:
    """Return whole numbers as 16-bit integers, everything else as it is."""
    if np.all(data == np.round(data)) and np.abs(data).max(initial=0) < 2**15:
        return data.astype(np.int16)
    return data


def _percent(signal: Volume, part: Mask, whole: Mask) -> float:
    """Return the signal of a part in percent of the whole; 0 when there is none."""
    total = float(signal[whole].sum(dtype=np.float64))
    share = float(signal[part].sum(dtype=np.float64)) / total if total else 0.0
    return round(100 * share, 2)
