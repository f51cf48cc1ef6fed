"""Head motion of each BOLD run: parameters, path length, realigned series."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.images import Image, read_image, write_packed
from imaging_platform.derivatives.realignment import (
    HEAD_RADIUS_MM,
    estimate_motion,
    framewise_displacement,
    realign,
)
from imaging_platform.derivatives.scans import (
    DerivativeReport,
    Scan,
    Skipped,
    derived_path,
    find_scans,
    read_sidecar,
    source_uri,
)
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.ids import SessionKey

COLUMNS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")

BIDSIGNORE = ("*_timeseries.tsv", "*_timeseries.json")
"""Lines of the dataset's ``.bidsignore``: the suffix that everyone uses for such
tables (fMRIPrep; BIDS extension proposal 12) is not in BIDS 1.11 yet."""

_KEPT_KEYS = ("TaskName", "RepetitionTime", "EchoTime", "FlipAngle", "TaskDescription")


@dataclass(frozen=True)
class RunMotion:
    """
    Motion of one run.

    Parameters
    ----------
    scan
        Name of the BOLD run without extension.
    timeseries, realigned
        Paths inside the target folder.
    volumes
        Number of volumes.
    mean_fd_mm, max_fd_mm
        Framewise displacement over volumes 2 to the last.
    percent_above_0_2_mm
        Volumes with a framewise displacement above 0.2 mm, in percent.
    max_translation_mm, max_rotation_deg
        Greatest distance along or about one axis from the middle volume.
    """

    scan: str
    timeseries: str
    realigned: str
    volumes: int
    mean_fd_mm: float
    max_fd_mm: float
    percent_above_0_2_mm: float
    max_translation_mm: float
    max_rotation_deg: float


def write_motion(
    bids_session: str, target: str, subject: str, session: str
) -> dict[str, object]:
    """
    Write motion parameters and the realigned series of each BOLD run of a session.

    ``func/*_desc-motion_timeseries.tsv`` has a row a volume: trans_x to trans_z (mm),
    rot_x to rot_z (rad), against the middle volume about the middle of the image
    along scanner right, anterior, superior; framewise_displacement (mm, first row
    n/a). ``func/*_desc-realigned_bold.nii.gz`` is the series without the motion.

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
        A `DerivativeReport` of `RunMotion`; its note may be ``no BOLD``.

    Raises
    ------
    BadInput
        A run cannot be read.
    MissingInput
        The session folder is not there.
    """
    key = SessionKey(subject, session)
    runs: list[RunMotion] = []
    skipped: list[Skipped] = []
    found = find_scans(Path(bids_session), "func", "bold")
    for scan in found:
        image = read_image(scan.path)
        reason = why_unusable(image)
        if reason:
            skipped.append(Skipped(scan.name, reason))
        else:
            runs.append(_write_run(scan, image, Path(target), key))
    note = "" if found else "no BOLD"
    return asdict(DerivativeReport(tuple(runs), tuple(skipped), note))


def why_unusable(image: Image) -> str:
    """Return why the motion of a series cannot be told, or an empty text."""
    if image.data.ndim != 4 or image.data.shape[3] == 1:
        return "a single volume"
    if image.data.shape[3] < 5:
        return f"only {image.data.shape[3]} volumes, at least 5 are needed"
    if image.data.shape[2] < 3:
        return f"only {image.data.shape[2]} slices, at least 3 are needed"
    if float(image.data.max()) <= float(image.data.min()):
        return "every voxel has the same value"
    return ""


def format_timeseries(motion: NDArray[np.float64], fd_mm: NDArray[np.float64]) -> str:
    """
    Return the motion table as BIDS tab-separated text; NaN reads ``n/a``.

    Parameters
    ----------
    motion
        Shape (t, 6), mm and radians.
    fd_mm
        Shape (t,).
    """
    lines = ["\t".join([*COLUMNS, "framewise_displacement"])]
    for row, path_mm in zip(motion, fd_mm, strict=True):
        cells = [f"{value + 0.0:.6f}" for value in row]
        cells.append("n/a" if np.isnan(path_mm) else f"{path_mm:.6f}")
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def _write_run(scan: Scan, image: Image, target: Path, key: SessionKey) -> RunMotion:
    motion = estimate_motion(image.data, image.affine)
    fd_mm = framewise_displacement(motion)
    table = derived_path(target, key, scan, "motion", "timeseries", ".tsv")
    write_text(table, format_timeseries(motion, fd_mm))
    write_json(table.with_suffix(".json"), _describe_columns(key, scan))
    series = derived_path(target, key, scan, "realigned", "bold", ".nii.gz")
    write_packed(
        series,
        realign(image.data, image.affine, motion),
        image.affine,
        repetition_time_s=image.repetition_time_s,
    )
    write_json(
        derived_path(target, key, scan, "realigned", "bold", ".json"),
        _describe_series(key, scan, image),
    )
    return RunMotion(
        scan=scan.name,
        timeseries=table.relative_to(target).as_posix(),
        realigned=series.relative_to(target).as_posix(),
        volumes=len(motion),
        mean_fd_mm=round(float(np.nanmean(fd_mm)), 5),
        max_fd_mm=round(float(np.nanmax(fd_mm)), 5),
        percent_above_0_2_mm=round(100 * float(np.mean(fd_mm[1:] > 0.2)), 3),
        max_translation_mm=round(float(np.abs(motion[:, :3]).max()), 5),
        max_rotation_deg=round(float(np.rad2deg(np.abs(motion[:, 3:]).max())), 5),
    )


def _describe_columns(key: SessionKey, scan: Scan) -> dict[str, object]:
    names = ("right", "anterior", "superior")
    columns: dict[str, object] = {
        "Description": "Rigid motion of the head against the middle volume.",
        "Sources": [source_uri(key, scan)],
    }
    for column, axis in zip(COLUMNS[:3], names, strict=True):
        columns[column] = {"Description": f"Translation to the {axis}", "Units": "mm"}
    for column, axis in zip(COLUMNS[3:], names, strict=True):
        columns[column] = {
            "Description": f"Rotation about the axis to the {axis}",
            "Units": "rad",
        }
    columns["framewise_displacement"] = {
        "Description": "Path of the head since the volume before "
        f"(Power et al. 2012, radius {HEAD_RADIUS_MM:g} mm)",
        "Units": "mm",
    }
    return columns


def _describe_series(key: SessionKey, scan: Scan, image: Image) -> dict[str, object]:
    raw = read_sidecar(scan)
    kept = {name: raw[name] for name in _KEPT_KEYS if name in raw}
    kept.setdefault("TaskName", scan.label("task"))
    kept.setdefault("RepetitionTime", image.repetition_time_s)
    return {
        **kept,
        "Description": "Series moved rigidly onto its middle volume.",
        "SkullStripped": False,
        "Sources": [source_uri(key, scan)],
    }
