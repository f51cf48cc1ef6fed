"""Does dcm2niix make the same of a series before and after de-identification?"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image

from imaging_platform.deid.residue import read_header
from imaging_platform.dicom.structure import BadDicom
from imaging_platform.files.digests import sorted_files
from imaging_platform.tools.dcm2niix import convert_folder

IDENTITY_KEYS = frozenset(
    [
        "AccessionNumber",
        "AcquisitionDateTime",
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "DeviceSerialNumber",
        "InstitutionAddress",
        "InstitutionName",
        "InstitutionalDepartmentName",
        "PatientBirthDate",
        "PatientID",
        "PatientName",
        "ProcedureStepDescription",
        "ReferringPhysicianName",
        "SeriesInstanceUID",
        "StationName",
        "StudyDescription",
        "StudyID",
        "StudyInstanceUID",
    ]
)
"""Sidecar keys that carry identity, or say what was done about it."""

FREE_TEXT_KEYS = frozenset(
    ["ImageComments", "ProtocolName", "SeriesDescription", "WipMemBlock"]
)
"""Sidecar keys that people fill: cleaned, and gone when nothing remains."""


@dataclass(frozen=True)
class Image:
    """What dcm2niix wrote of one image."""

    voxels: str
    affine: bytes
    bval: str
    bvec: str
    sidecar: dict[str, object] = field(repr=False)


@dataclass(frozen=True)
class Fidelity:
    """
    How a converted series compares with that of its original.

    Parameters
    ----------
    n_images
        Images of the original.
    is_held_back
        Whether the gate let no file of the series pass.
    differences
        Which of voxels, affine, bval, bvec or number differ; empty when none.
    lost, changed
        Sidecar keys that are gone, or have another value.
    """

    n_images: int
    is_held_back: bool
    differences: tuple[str, ...]
    lost: tuple[str, ...]
    changed: tuple[str, ...]


def series_of(root: Path) -> list[list[Path]]:
    """Return the files below a folder by folder, study and series, in order."""
    series: dict[tuple[str, str, str], list[Path]] = {}
    for path in sorted_files(root):
        try:
            header = read_header(path)
        except BadDicom:
            continue
        study, uid = header.text(0x0020000D), header.text(0x0020000E)
        series.setdefault((path.parent.as_posix(), study, uid), []).append(path)
    return list(series.values())


def compare_conversion(
    paths: list[Path], scratch: Path, anonymize: Callable[[Path, Path], None]
) -> Fidelity:
    """
    Convert a series before and after `anonymize`, and compare.

    Parameters
    ----------
    paths
        Files of the series.
    scratch
        Folder that is made and removed.
    anonymize
        Writes the de-identified files of its first folder into its second.
    """
    source, target = scratch / "in", scratch / "out"
    source.mkdir(parents=True)
    target.mkdir()
    for number, path in enumerate(paths):
        shutil.copyfile(path, source / f"{number:05d}")
    anonymize(source, target)
    before = _converted(source, scratch / "before")
    after = _converted(target, scratch / "after")
    is_held_back = not any(target.iterdir())
    shutil.rmtree(scratch)
    return _compare(before, after, is_held_back)


def _converted(folder: Path, target: Path) -> list[Image]:
    target.mkdir()
    if any(folder.iterdir()):
        convert_folder(folder, target)
    images = [_read_image(path) for path in target.glob("*.nii")]
    return sorted(
        images,
        key=lambda one: (str(one.sidecar.get("SeriesNumber")), one.voxels, one.affine),
    )


def _read_image(path: Path) -> Image:
    image = Nifti1Image.from_filename(path)
    voxels = np.asanyarray(image.dataobj)
    shape = "x".join(map(str, voxels.shape))
    stem = path.name.removesuffix(".nii")
    texts = [path.with_name(stem + suffix) for suffix in (".bval", ".bvec", ".json")]
    bval, bvec, sidecar = (
        text.read_text(errors="replace") if text.exists() else "" for text in texts
    )
    digest = hashlib.sha256(np.ascontiguousarray(voxels).tobytes()).hexdigest()
    return Image(
        f"{shape} {voxels.dtype} {digest[:16]}",
        np.asarray(image.affine).tobytes(),
        bval,
        bvec,
        json.loads(sidecar or "{}"),
    )


def _compare(before: list[Image], after: list[Image], is_held_back: bool) -> Fidelity:
    differences = {"number of images"} if len(before) != len(after) else set()
    lost: list[str] = []
    changed: list[str] = []
    for old, new in zip(before, after, strict=False):
        for part in ("voxels", "affine", "bval", "bvec"):
            if getattr(old, part) != getattr(new, part):
                differences.add(part)
        lost += sorted(set(old.sidecar) - set(new.sidecar) - IDENTITY_KEYS)
        changed += sorted(
            key
            for key in set(old.sidecar) & set(new.sidecar) - IDENTITY_KEYS
            if old.sidecar[key] != new.sidecar[key]
        )
    return Fidelity(
        len(before),
        is_held_back,
        tuple(sorted(differences)),
        tuple(lost),
        tuple(changed),
    )
