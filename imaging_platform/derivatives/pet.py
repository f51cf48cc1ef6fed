"""Standardized uptake of each PET scan, and the time course of each tissue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.alignment import Alignment, align_rigid
from imaging_platform.derivatives.brain import read_brain
from imaging_platform.derivatives.images import Image, read_image, write_image
from imaging_platform.derivatives.nuisance import mean_course
from imaging_platform.derivatives.scans import (
    DerivativeReport,
    Scan,
    Skipped,
    derived_path,
    find_scans,
    read_sidecar,
    source_uri,
)
from imaging_platform.derivatives.segmentation import LABELS
from imaging_platform.derivatives.segmented_head import (
    SegmentedHead,
    find_surest,
    place_map,
    read_head,
)
from imaging_platform.derivatives.uptake import (
    LATE_S,
    Dose,
    find_dose,
    frame_times,
    late_frames,
)
from imaging_platform.derivatives.volumes import Volume
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import PARTICIPANT
from imaging_platform.voxels.masks import Mask

CEREBELLUM_MM = ((-26.0, -65.0, -40.0), (26.0, -65.0, -40.0))
CEREBELLUM_RADII_MM = (16.0, 14.0, 12.0)
"""Two ellipsoids inside the hemispheres of the template's cerebellum: reference of the
SUVR. The template that the platform carries has no atlas; these leave the cerebellum
of no head whose affine to the template is right by 5 mm."""


@dataclass(frozen=True)
class PetScan:
    """
    Uptake of one scan.

    Parameters
    ----------
    scan
        Name of the scan without extension.
    time_courses
        Path of the table inside the target folder.
    suv, suvr
        Paths of the maps; empty when they could not be made.
    frames
        Number of frames.
    gm_suvr, wm_suvr
        Mean over the tissue, 0 when there is no reference.
    gm_suv, cerebellum_suv
        Mean over the tissue, 0 without a dose.
    moved_to_t1w_mm
        Way between the scanner's coordinates and the alignment to the T1w.
    """

    scan: str
    time_courses: str
    suv: str
    suvr: str
    frames: int
    gm_suvr: float
    wm_suvr: float
    gm_suv: float
    cerebellum_suv: float
    moved_to_t1w_mm: float


def write_pet(
    bids_session: str,
    brain_mask_session: str,
    tissues_session: str,
    target: str,
    subject: str,
    session: str,
) -> dict[str, object]:
    """
    Write ``pet/*_desc-suv_pet``, ``_desc-suvr_pet`` and the tissues' time courses.

    The maps are means over the last 20 minutes. SUV (body weight) is activity times
    grams of weight over the dose, which is decayed to the time that the image is
    corrected to; SUVR is activity over that of the cerebellum's grey matter.

    Parameters
    ----------
    bids_session
        ``.../sub-X/ses-Y`` of a BIDS dataset; weight from its ``.participant.json``.
    brain_mask_session, tissues_session
        What `write_brain_mask` and `write_tissues` wrote for the session.
    target
        Existing empty folder: content of ``derivatives/<pipeline>/sub-X/ses-Y``.
    subject, session
        BIDS labels without ``sub-`` and ``ses-``.

    Returns
    -------
    dict
        A `DerivativeReport` of `PetScan`; its note may be ``no PET``.
        What it skips has no result, or no SUV.

    Raises
    ------
    BadInput
        A scan or a mask cannot be read.
    MissingInput
        The session folder is not there.
    """
    key = SessionKey(subject, session)
    done: list[PetScan] = []
    skipped: list[Skipped] = []
    found = find_scans(Path(bids_session), "pet", "pet")
    head = read_head(Path(tissues_session)) if found else None
    weight_kg = _read_weight_kg(Path(bids_session)) if found else 0.0
    for scan in found:
        image, sidecar = read_image(scan.path), read_sidecar(scan)
        frames = frame_times(
            sidecar, 1 if image.data.ndim == 3 else image.data.shape[3]
        )
        if head is None:
            skipped.append(Skipped(scan.name, "no segmented T1w in the session"))
        elif frames is None:
            reason = "FrameTimesStart and FrameDuration do not fit its frames"
            skipped.append(Skipped(scan.name, reason))
        else:
            dose = find_dose(sidecar, weight_kg)
            if isinstance(dose, str):
                skipped.append(Skipped(scan.name, f"no SUV: {dose}"))
            masks = Path(brain_mask_session)
            regions = _find_regions(image, head, _cerebellum(masks, head, key))
            series = _Series(scan, image, sidecar, *frames)
            measured = dose if isinstance(dose, Dose) else None
            done.append(_write_scan(series, regions, measured, Path(target), key))
    note = "" if found else "no PET"
    return asdict(DerivativeReport(tuple(done), tuple(skipped), note))


@dataclass(frozen=True, eq=False)
class _Series:
    """A scan with its frames."""

    scan: Scan
    image: Image
    sidecar: Mapping[str, object]
    starts_s: NDArray[np.float64]
    lengths_s: NDArray[np.float64]

    @property
    def frames(self) -> Volume:
        """Shape (x, y, z, frames)."""
        data = self.image.data
        return data if data.ndim == 4 else data[..., None]


@dataclass(frozen=True, eq=False)
class _Regions:
    """Masks on the grid of a scan, by the name of the column."""

    masks: dict[str, Mask]
    moved_mm: float


def _count_frames(image: Image) -> int:
    return 1 if image.data.ndim == 3 else image.data.shape[3]


def _read_weight_kg(session: Path) -> float:
    """Return the weight that de-identification has kept, 0 when there is none."""
    path = session / PARTICIPANT
    if not path.is_file():
        return 0.0
    try:
        return float(json.loads(path.read_text(encoding="utf-8")).get("weight", 0))
    except (ValueError, TypeError, AttributeError):
        return 0.0


def _cerebellum(masks: Path, head: SegmentedHead, key: SessionKey) -> Volume:
    """Return the reference region on the grid of the head, 0 or 1."""
    empty = np.zeros(head.mask.shape, dtype=np.float32)
    stem = head.name.replace("_desc-preproc", "")
    scans = [s for s in find_scans(masks, "anat", "mask") if s.label("desc") == "brain"]
    for scan in scans:
        if scan.path.name != stem.replace("_T1w", "_desc-brain_mask"):
            continue
        mask = read_image(scan.path)
        brain = read_brain(masks, key, scan, mask)
        if brain is not None:
            return _ellipsoids(head.brain, brain.to_template)
    return empty


def _ellipsoids(image: Image, to_template: NDArray[np.float64]) -> Volume:
    place = to_template @ image.affine
    x, y, z = np.ogrid[tuple(slice(n) for n in image.data.shape)]
    mm = [row[0] * x + row[1] * y + row[2] * z + row[3] for row in place[:3]]
    inside = np.zeros(image.data.shape, dtype=bool)
    for centre in CEREBELLUM_MM:
        parts = zip(mm, centre, CEREBELLUM_RADII_MM, strict=True)
        inside |= sum(((m - c) / r) ** 2 for m, c, r in parts) <= 1
    return inside.astype(np.float32)


def _find_regions(image: Image, head: SegmentedHead, cerebellum: Volume) -> _Regions:
    mean = image.data if image.data.ndim == 3 else image.data.mean(axis=3)
    still = Image(mean, image.affine)
    found = align_rigid(head.brain, still, head.mask)
    maps = dict(zip(LABELS, head.tissues, strict=True))
    masks = {
        name: find_surest(_onto(t, head, still, found)) for name, t in maps.items()
    }
    reference = _onto(cerebellum * (maps["GM"] > 0.5), head, still, found) > 0.5
    brain = _onto(head.mask.astype(np.float32), head, still, found) > 0.5
    return _Regions({**masks, "cerebellum": reference, "brain": brain}, found.moved_mm)


def _onto(data: Volume, head: SegmentedHead, still: Image, found: Alignment) -> Volume:
    return place_map(data.astype(np.float32), head, still, found)


def _write_scan(
    series: _Series, regions: _Regions, dose: Dose | None, target: Path, key: SessionKey
) -> PetScan:
    courses = {n: mean_course(series.frames, m) for n, m in regions.masks.items()}
    table = derived_path(target, key, series.scan, "tissues", "timeseries", ".tsv")
    write_text(table, _format_courses(series, courses))
    write_json(table.with_suffix(".json"), _describe_courses(series, key))
    weights = late_frames(series.starts_s, series.lengths_s)
    late = (series.frames @ weights.astype(np.float32)).astype(np.float32)
    means = {name: float(course @ weights) for name, course in courses.items()}
    reference, suv, suvr = means["cerebellum"], "", ""
    if dose is not None:
        data = late * np.float32(dose.suv_factor)
        suv = _write_map(series, "suv", data, "g/mL", target, key)
    if reference > 0:
        data = late / np.float32(reference)
        suvr = _write_map(series, "suvr", data, "arbitrary", target, key)
    factor = dose.suv_factor if dose is not None else 0.0
    return PetScan(
        scan=series.scan.name,
        time_courses=table.relative_to(target).as_posix(),
        suv=suv,
        suvr=suvr,
        frames=len(weights),
        gm_suvr=_rounded(means["GM"] / reference if suvr else 0.0),
        wm_suvr=_rounded(means["WM"] / reference if suvr else 0.0),
        gm_suv=_rounded(means["GM"] * factor),
        cerebellum_suv=_rounded(reference * factor),
        moved_to_t1w_mm=regions.moved_mm,
    )


def _rounded(value: float) -> float:
    return 0.0 if np.isnan(value) else round(value, 5)


def _format_courses(series: _Series, courses: Mapping[str, NDArray[np.float64]]) -> str:
    lines = ["\t".join(["frame_start", "frame_duration", *courses])]
    columns = [series.starts_s, series.lengths_s, *courses.values()]
    for row in zip(*columns, strict=True):
        cells = ("n/a" if np.isnan(value) else f"{value + 0.0:.9g}" for value in row)
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def _describe_courses(series: _Series, key: SessionKey) -> dict[str, object]:
    units = str(series.sidecar.get("Units", "arbitrary"))
    words = {
        "GM": "Mean of grey matter",
        "WM": "Mean of white matter",
        "CSF": "Mean of cerebrospinal fluid",
        "cerebellum": "Mean of grey matter inside the cerebellum, the reference region",
        "brain": "Mean of the brain mask",
    }
    return {
        "frame_start": {"Description": "Start of the frame", "Units": "s"},
        "frame_duration": {"Description": "Length of the frame", "Units": "s"},
        **{name: {"Description": text, "Units": units} for name, text in words.items()},
        "Sources": [source_uri(key, series.scan)],
    }


def _write_map(
    series: _Series, desc: str, data: Volume, units: str, target: Path, key: SessionKey
) -> str:
    path = derived_path(target, key, series.scan, desc, "pet", ".nii.gz")
    write_image(path, data, series.image.affine)
    words = {
        "suv": "Standardized uptake value by body weight",
        "suvr": "Uptake over that of the grey matter of the cerebellum",
    }[desc]
    minutes = LATE_S / 60
    late = late_frames(series.starts_s, series.lengths_s) > 0
    sidecar = {
        **series.sidecar,
        "FrameTimesStart": [float(series.starts_s[late].min())],
        "FrameDuration": [float(series.lengths_s[late].sum())],
        "Description": f"{words}, mean of the last {minutes:g} minutes.",
        "Units": units,
        "SkullStripped": False,
        "Sources": [source_uri(key, series.scan)],
    }
    write_json(derived_path(target, key, series.scan, desc, "pet", ".json"), sidecar)
    return path.relative_to(target).as_posix()
