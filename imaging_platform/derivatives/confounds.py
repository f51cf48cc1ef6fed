"""Confounds of each BOLD run, in the columns that fMRIPrep has made usual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from imaging_platform.derivatives.alignment import align_rigid
from imaging_platform.derivatives.images import Image, read_image
from imaging_platform.derivatives.motion import COLUMNS
from imaging_platform.derivatives.nuisance import (
    Components,
    Course,
    cosine_drift,
    count_non_steady,
    dvars,
    expand,
    find_components,
    mean_course,
)
from imaging_platform.derivatives.scans import (
    DerivativeReport,
    Scan,
    Skipped,
    derived_path,
    find_scans,
)
from imaging_platform.derivatives.segmented_head import (
    FEWEST,
    SegmentedHead,
    find_surest,
    place_map,
    read_head,
)
from imaging_platform.derivatives.temporal_snr import mask_head
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.voxels.masks import Mask, erode


@dataclass(frozen=True)
class RunConfounds:
    """
    Confounds of one run.

    Parameters
    ----------
    scan
        Name of the realigned run without extension.
    timeseries
        Path of the table inside the target folder.
    columns, volumes
        Size of the table.
    non_steady_volumes
        Leading volumes before the steady state.
    mean_dvars, mean_std_dvars
        Mean over volumes 2 to the last; 0 when no brain was found.
    csf_voxels, wm_voxels
        Voxels that the components of each tissue come from.
    moved_to_t1w_mm
        Greatest way between the scanner's coordinates and the alignment to the T1w.
    """

    scan: str
    timeseries: str
    columns: int
    volumes: int
    non_steady_volumes: int
    mean_dvars: float
    mean_std_dvars: float
    csf_voxels: int
    wm_voxels: int
    moved_to_t1w_mm: float


def write_confounds(
    motion_session: str, tissues_session: str, target: str, subject: str, session: str
) -> dict[str, object]:
    """
    Write ``func/*_desc-confounds_timeseries.tsv`` and its JSON for each BOLD run.

    A row a volume: motion (mm, rad) with derivatives and squares, framewise
    displacement, DVARS, mean signals of the brain, white matter and fluid, five
    components of each of the two, slow cosines, leading volumes before the steady
    state. Tissues come from the first segmented T1w of the session.

    Parameters
    ----------
    motion_session
        What `write_motion` wrote for the session.
    tissues_session
        What `write_tissues` wrote for it.
    target
        Existing empty folder: content of ``derivatives/<pipeline>/sub-X/ses-Y``.
    subject, session
        BIDS labels without ``sub-`` and ``ses-``.

    Returns
    -------
    dict
        A `DerivativeReport` of `RunConfounds`; its note may be ``no realigned BOLD``.
        What it skips has all columns but those of tissues.

    Raises
    ------
    BadInput
        A series or a table cannot be read.
    MissingInput
        A folder is not there.
    """
    key = SessionKey(subject, session)
    runs: list[RunConfounds] = []
    skipped: list[Skipped] = []
    found = find_scans(Path(motion_session), "func", "bold")
    head = read_head(Path(tissues_session)) if found else None
    for scan in found:
        runs.append(_write_run(scan, head, Path(target), key))
        if head is None:
            reason = "no segmented T1w: its table has no signals of tissues"
            skipped.append(Skipped(scan.name, reason))
    note = "" if found else "no realigned BOLD"
    return asdict(DerivativeReport(tuple(runs), tuple(skipped), note))


def read_motion(path: Path) -> dict[str, Course]:
    """
    Return the columns of a table of motion; ``n/a`` reads NaN.

    Raises
    ------
    BadInput
        The table is no table of numbers, or lacks a column.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        names = lines[0].split("\t")
        rows = [[_number(cell) for cell in line.split("\t")] for line in lines[1:]]
        columns = dict(zip(names, np.array(rows, dtype=np.float64).T, strict=True))
        return {name: columns[name] for name in (*COLUMNS, "framewise_displacement")}
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise BadInput(
            f"{path.name} is no table of motion.",
            fix="Make the motion of this session again.",
        ) from error


def _number(cell: str) -> float:
    return float("nan") if cell == "n/a" else float(cell)


@dataclass(frozen=True, eq=False)
class _Regions:
    """Masks on the grid of a run."""

    brain: Mask
    csf: Mask
    wm: Mask
    moved_mm: float


def _find_regions(mean: Image, head: SegmentedHead | None) -> _Regions:
    bright = mask_head(mean.data)
    if head is None:
        nothing = np.zeros_like(bright)
        return _Regions(bright, nothing, nothing, 0.0)
    found = align_rigid(head.brain, mean, head.mask)
    inside = place_map(head.mask.astype(np.float32), head, mean, found) > 0.5
    wm = find_surest(place_map(head.tissues[1], head, mean, found))
    csf = find_surest(place_map(head.tissues[2], head, mean, found))
    return _Regions(
        brain=bright & inside,
        # Fluid at the rim moves in and out of the brain's border.
        csf=_inner(inside) & csf & bright,
        wm=_inner(wm) & bright,
        moved_mm=found.moved_mm,
    )


def _inner(mask: Mask) -> Mask:
    """Return the mask without its outermost voxels, unless too few would be left."""
    inner = erode(mask)
    return inner if inner.sum() >= FEWEST else mask


def _write_run(
    scan: Scan, head: SegmentedHead | None, target: Path, key: SessionKey
) -> RunConfounds:
    image = read_image(scan.path)
    motion = read_motion(derived_path(scan.path.parents[1], key, scan, *_MOTION))
    regions = _find_regions(Image(image.data.mean(axis=3), image.affine), head)
    signals = _measure_signals(image, regions)
    drift = cosine_drift(image.data.shape[3], image.repetition_time_s)
    components = {
        name: find_components(image.data, mask, drift)
        for name, mask in (("CSF", regions.csf), ("WM", regions.wm))
    }
    table = _collect(motion, signals, components, drift)
    path = derived_path(target, key, scan, "confounds", "timeseries", ".tsv")
    write_text(path, format_table(table))
    sources = [f"bids:motion:{_inside(key, scan)}"]
    if head is not None:
        sources.append(f"bids:tissues:{_folder(key)}/anat/{head.name}")
    description = _describe(table, components)
    write_json(path.with_suffix(".json"), {**description, "Sources": sources})
    return RunConfounds(
        scan=scan.name,
        timeseries=path.relative_to(target).as_posix(),
        columns=len(table),
        volumes=image.data.shape[3],
        non_steady_volumes=sum(name.startswith(_NON_STEADY) for name in table),
        mean_dvars=_mean(table["dvars"]),
        mean_std_dvars=_mean(table["std_dvars"]),
        csf_voxels=int(regions.csf.sum()),
        wm_voxels=int(regions.wm.sum()),
        moved_to_t1w_mm=regions.moved_mm,
    )


_MOTION = ("motion", "timeseries", ".tsv")
_NON_STEADY = "non_steady_state_outlier"


def _measure_signals(image: Image, regions: _Regions) -> dict[str, Course]:
    plain, standard = dvars(image.data, regions.brain)
    return {
        "global_signal": mean_course(image.data, regions.brain),
        "csf": mean_course(image.data, regions.csf),
        "white_matter": mean_course(image.data, regions.wm),
        "dvars": plain,
        "std_dvars": standard,
    }


def _collect(
    motion: Mapping[str, Course],
    signals: Mapping[str, Course],
    components: Mapping[str, Components],
    drift: Course,
) -> dict[str, Course]:
    """Return all columns in fMRIPrep's order; signals without a voxel are left out."""
    table: dict[str, Course] = {}
    for name in ("global_signal", "csf", "white_matter"):
        if not np.isnan(signals[name]).all():
            table |= {name + end: c for end, c in expand(signals[name]).items()}
    table |= {name: signals[name] for name in ("std_dvars", "dvars")}
    table["framewise_displacement"] = motion["framewise_displacement"]
    for tissue, found in components.items():
        for index, course in enumerate(found.courses.T):
            table[f"{tissue[0].lower()}_comp_cor_{index:02d}"] = course
    for index, course in enumerate(drift.T):
        table[f"cosine{index:02d}"] = course
    count = len(signals["global_signal"])
    n_dummies = 0
    if not np.isnan(signals["global_signal"]).any():
        n_dummies = count_non_steady(signals["global_signal"])
    for index in range(n_dummies):
        table[f"{_NON_STEADY}{index:02d}"] = np.eye(count)[index]
    for name in COLUMNS:
        table |= {name + end: c for end, c in expand(motion[name]).items()}
    return table


def format_table(table: Mapping[str, Course]) -> str:
    """Return columns as BIDS tab-separated text of 9 digits; NaN reads ``n/a``."""
    lines = ["\t".join(table)]
    for row in zip(*table.values(), strict=True):
        cells = ("n/a" if np.isnan(v) else f"{v + 0.0:.9g}" for v in row)
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


_WORDS = {
    "global_signal": "Mean signal of the brain",
    "csf": "Mean signal of cerebrospinal fluid inside the brain",
    "white_matter": "Mean signal of inner white matter",
    "std_dvars": "DVARS over what autocorrelated noise would give (Nichols 2013)",
    "dvars": "Root mean square change of the signal, brain median 1000 (Power 2012)",
    "framewise_displacement": "Path of the head since the volume before (Power 2012)",
    "cosine": "Discrete cosine of a period of 128 s or more, a high-pass filter",
    _NON_STEADY: "1 in a leading volume before the steady state, 0 elsewhere",
    "trans": "Translation of the head along a scanner axis",
    "rot": "Rotation of the head about a scanner axis",
}
_ENDS = {
    "_derivative1_power2": ", squared change since the volume before",
    "_derivative1": ", change since the volume before",
    "_power2": ", squared",
}


def _describe(
    table: Mapping[str, Course], components: Mapping[str, Components]
) -> dict[str, object]:
    described: dict[str, object] = {}
    for name in table:
        end = next((end for end in _ENDS if name.endswith(end)), "")
        start = next((start for start in _WORDS if name.startswith(start)), "")
        if start:
            words = _WORDS[start] + _ENDS.get(end, "")
            described[name] = {"Description": words, "Units": _unit(name, end)}
    for tissue, found in components.items():
        total = np.cumsum(found.explained)
        for index in range(found.courses.shape[1]):
            described[f"{tissue[0].lower()}_comp_cor_{index:02d}"] = {
                "Description": f"Principal component of {tissue} (Behzadi 2007)",
                "Units": "arbitrary",
                "Method": "aCompCor",
                "Mask": tissue,
                "Retained": True,
                "SingularValue": round(float(found.singular_values[index]), 6),
                "VarianceExplained": round(float(found.explained[index]), 6),
                "CumulativeVarianceExplained": round(float(total[index]), 6),
            }
    return described


def _unit(name: str, end: str) -> str:
    if name.startswith("rot_"):
        unit = "rad"
    elif name.startswith("trans_") or name == "framewise_displacement":
        unit = "mm"
    else:
        return "arbitrary"
    return f"{unit}^2" if end.endswith("power2") else unit


def _mean(course: Course) -> float:
    return 0.0 if np.isnan(course).all() else round(float(np.nanmean(course)), 5)


def _inside(key: SessionKey, scan: Scan) -> str:
    return f"{_folder(key)}/{scan.datatype}/{scan.path.name}"


def _folder(key: SessionKey) -> str:
    return f"sub-{key.subject}/ses-{key.session}"
