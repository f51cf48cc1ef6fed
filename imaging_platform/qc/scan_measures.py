"""The measures of each scan of a session, with what was derived of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imaging_platform.model.errors import BadInput
from imaging_platform.qc.anatomy import measure_t1w
from imaging_platform.qc.bold import (
    count_dummy_trs,
    measure_bold,
    measure_displacement,
)
from imaging_platform.qc.callosum import segment_callosum, segment_white_matter
from imaging_platform.qc.diffusion import DiffusionScan, measure_dwi
from imaging_platform.qc.metric import Measure, with_units
from imaging_platform.qc.scans import (
    Volumes,
    count_volumes,
    find_derived,
    list_scans,
    read_column,
    read_gradients,
    read_sidecar,
    read_volumes,
    scan_name,
    scan_suffix,
    voxel_edges_mm,
)
from imaging_platform.qc.session_head import build_head, read_upright, resample_mask
from imaging_platform.qc.weighting import (
    B0_LIMIT,
    measure_gradients,
    measure_tensor,
    measure_weighted_series,
)

BOLD_KEYS = ("SliceTiming", "PhaseEncodingDirection", "TotalReadoutTime")
DWI_KEYS = ("PhaseEncodingDirection", "TotalReadoutTime")
"""Keys whose absence tells that private elements were stripped."""

SILENT_VENDORS = ("philips", "canon", "toshiba", "uih")
"""They do not record slice timing and polarity in a form that converters can read."""


@dataclass(frozen=True)
class Unmeasured:
    """
    A scan, or a kind of scan, that has no metrics of its own.

    Parameters
    ----------
    scan
        Name of the scan without extension, or the kind.
    reason
        Why.
    """

    scan: str
    reason: str


@dataclass(frozen=True)
class SessionFolders:
    """Folders of one session; None where a derivative is missing."""

    bids: Path
    brain_mask: Path | None
    motion: Path | None
    temporal_snr: Path | None
    diffusion_maps: Path | None
    tissues: Path | None


def measure_scans(
    inputs: SessionFolders, skipped: list[Unmeasured]
) -> Iterable[tuple[str, Sequence[Measure]]]:
    """
    Yield the name and the measures of each scan; append what has none to `skipped`.

    Raises
    ------
    BadInput
        An image or a table cannot be read, or a derivative is of another grid.
    """
    for datatype, suffix, measured in (
        ("anat", "T1w", _measure_anatomy),
        ("anat", "T2w", _measure_anatomy),
        ("anat", "FLAIR", _measure_anatomy),
        ("func", "bold", _measure_bold),
        ("dwi", "dwi", _measure_dwi),
    ):
        scans = list_scans(inputs.bids, datatype, suffix)
        if not scans and suffix not in ("T2w", "FLAIR"):
            skipped.append(Unmeasured(suffix, f"no {suffix}"))
        for scan in scans:
            yield scan_name(scan), measured(scan, inputs, skipped)


def _measure_anatomy(
    scan: Path, inputs: SessionFolders, skipped: list[Unmeasured]
) -> Sequence[Measure]:
    mask_path = find_derived(inputs.brain_mask, scan, "brain", "mask")
    borrowed = mask_path is None and scan_suffix(scan) != "T1w"
    if borrowed:
        mask_path = _mask_of_t1w(inputs)
    if mask_path is None:
        skipped.append(Unmeasured(scan_name(scan), "it has no brain mask"))
        return (Measure("icv_ml", float("nan"), "ml", "no brain mask"),)
    image, mask = read_upright(scan), read_upright(mask_path)
    if image.data.ndim != 3:
        skipped.append(Unmeasured(scan_name(scan), "it has more than one volume"))
        return (Measure("icv_ml", float("nan"), "ml", "more than one volume"),)
    if borrowed:
        brain = resample_mask(mask, image)
    else:
        _same_grid(scan, image, mask.data.shape)
        brain = mask.data > 0
    if brain.sum() < 100:
        return (Measure("icv_ml", 0.0, "ml", "the brain mask is empty"),)
    volume_ml = float(brain.sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000)
    head = build_head(scan, image, brain, inputs.tissues)
    measures = [Measure("icv_ml", volume_ml, "ml")]
    if head is None:
        skipped.append(Unmeasured(scan_name(scan), "its tissues cannot be told apart"))
    else:
        measures.extend(with_units(measure_t1w(head)))
    measures.extend(with_units(_read_overlap(inputs.tissues, scan)))
    return measures


def _read_overlap(tissues: Path | None, scan: Path) -> dict[str, float]:
    """Return ``tpm_overlap_*`` of a T1w, measured where it was segmented."""
    found = _read_key(tissues, scan, ("volumes", "dseg"), "TemplateOverlap") or {}
    return {
        f"tpm_overlap_{label.lower()}": float(value)
        for label, value in sorted(found.items())
    }


def _read_b0_movement(maps: Path | None, scan: Path) -> dict[str, float]:
    """Return ``b0_movement_max`` of a DWI, measured where its maps were made."""
    found = _read_key(maps, scan, ("brain", "mask"), "MovementOfB0Mm")
    return {"b0_movement_max": float(max(found))} if found else {}


def _read_key(
    session: Path | None, scan: Path, name: tuple[str, str], key: str
) -> Any:  # a value of a sidecar
    """Return one value of the sidecar of a derivative; None when there is none."""
    sidecar = find_derived(session, scan, *name, ".json")
    return json.loads(sidecar.read_text("utf-8")).get(key) if sidecar else None


def _mask_of_t1w(inputs: SessionFolders) -> Path | None:
    """Return the brain mask of the session's first T1w that has one."""
    found = (
        find_derived(inputs.brain_mask, scan, "brain", "mask")
        for scan in list_scans(inputs.bids, "anat", "T1w")
    )
    return next((path for path in found if path is not None), None)


def _measure_bold(
    scan: Path, inputs: SessionFolders, skipped: list[Unmeasured]
) -> Sequence[Measure]:
    sidecar = read_sidecar(scan)
    volumes = count_volumes(scan)
    measures = [
        Measure("volumes", float(volumes)),
        _missing_metadata(sidecar, BOLD_KEYS),
    ]
    table = find_derived(inputs.motion, scan, "motion", "timeseries", ".tsv")
    mask_path = find_derived(inputs.temporal_snr, scan, "head", "mask")
    realigned_path = find_derived(inputs.motion, scan, "realigned", "bold")
    fd_mm = np.array([])
    if table is not None:
        fd_mm = read_column(table, "framewise_displacement")
        greatest = float(np.max(fd_mm[~np.isnan(fd_mm)], initial=0.0))
        measures.append(Measure("fd_max", greatest, "mm"))
    if mask_path is None or realigned_path is None:
        skipped.append(Unmeasured(scan_name(scan), "it was not realigned"))
        return [*measures, *with_units(measure_displacement(fd_mm))]
    mask = read_volumes(mask_path).data > 0
    dummies = _count_dummies(scan, mask.shape)
    realigned = read_volumes(realigned_path)
    _same_grid(scan, realigned, mask.shape)
    if not mask.any():
        return [*measures, *with_units(measure_displacement(fd_mm))]
    values = measure_bold(
        realigned.data[..., dummies:],
        mask,
        fd_mm=fd_mm[dummies + 1 :],
        voxel_mm=voxel_edges_mm(realigned),
        tr_s=_repetition_time_s(sidecar),
        dummy_trs=dummies,
    )
    axis = _phase_axis(sidecar)
    if axis < 2:
        values["gsr"] = values["gsr_x" if axis == 0 else "gsr_y"]
    return [*measures, *with_units(values)]


def _count_dummies(scan: Path, shape: tuple[int, ...]) -> int:
    """Return the leading volumes to leave out: not more than leave three."""
    raw = read_volumes(scan)
    _same_grid(scan, raw, shape)
    if raw.data.ndim < 4:
        return 0
    dummies = count_dummy_trs(raw.data)
    return dummies if raw.data.shape[3] - dummies >= 3 else 0


def _measure_dwi(
    scan: Path, inputs: SessionFolders, skipped: list[Unmeasured]
) -> Sequence[Measure]:
    volumes = count_volumes(scan)
    measures = [
        Measure("volumes", float(volumes)),
        _missing_metadata(read_sidecar(scan), DWI_KEYS),
    ]
    table = read_gradients(scan)
    if table is None or len(table[0]) != volumes:
        return [*measures, Measure("n_directions", 0.0, "", "no table of gradients")]
    b_values, vectors = table
    measures.extend(measure_gradients(b_values, vectors))
    measures.extend(with_units(_read_b0_movement(inputs.diffusion_maps, scan)))
    found = [
        find_derived(inputs.diffusion_maps, scan, desc, suffix)
        for desc, suffix in (
            ("brain", "mask"),
            ("tensor", "FA"),
            ("tensor", "ADC"),
            ("tensor", "colFA"),
        )
    ]
    mask_path, *map_paths = found
    if mask_path is None or any(path is None for path in map_paths):
        skipped.append(Unmeasured(scan_name(scan), "it has no tensor maps"))
        return measures
    image, mask = read_volumes(scan), read_volumes(mask_path).data > 0
    _same_grid(scan, image, mask.shape)
    if mask.any() and (b_values > B0_LIMIT).any():
        fa, md, color = (read_volumes(path).data for path in map_paths if path)
        wm = segment_white_matter(fa)
        measured = measure_dwi(
            DiffusionScan(
                series=image.data,
                b_values=b_values,
                vectors=vectors,
                brain=mask,
                wm=wm,
                callosum=segment_callosum(color, wm),
                fa=fa,
            )
        )
        measures.extend(measure_weighted_series(image.data, mask, b_values))
        measures.extend(measure_tensor(fa, md, mask))
        measures.extend(with_units(measured))
    return measures


def _repetition_time_s(sidecar: Mapping[str, object]) -> float:
    value = sidecar.get("RepetitionTime")
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _missing_metadata(sidecar: Mapping[str, object], wanted: Sequence[str]) -> Measure:
    missing = [key for key in wanted if key not in sidecar]
    reason = f"{', '.join(missing)} not in the sidecar" if missing else ""
    vendor = str(sidecar.get("Manufacturer", "")).lower()
    if missing and vendor.startswith(SILENT_VENDORS):
        reason += "; this vendor does not record them: supplement them in the study"
        return Measure("unrecorded_metadata", float(len(missing)), "", reason)
    return Measure("missing_metadata", float(len(missing)), "", reason)


def _phase_axis(sidecar: Mapping[str, object]) -> int:
    """Return the axis of phase encoding; columns, the usual one, when unknown."""
    direction = str(sidecar.get("PhaseEncodingDirection", "j"))
    return "ijk".find(direction[:1]) if direction[:1] in ("i", "j", "k") else 1


def _same_grid(scan: Path, image: Volumes, shape: tuple[int, ...]) -> None:
    if image.data.shape[:3] != shape[:3]:
        raise BadInput(
            f"A derivative of {scan_name(scan)} has another shape than the scan.",
            fix="Make the derivatives of this session again.",
        )
