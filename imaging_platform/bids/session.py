"""DICOM of one session to its BIDS folder, with a report that explains each series."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imaging_platform.bids.conversion_report import (
    Conversion,
    ConversionReport,
    build_report,
)
from imaging_platform.bids.converter import run_converter
from imaging_platform.bids.decisions import Decision
from imaging_platform.bids.defaults import Conventions
from imaging_platform.bids.metadata import expand_volume_types, repetition_to_write
from imaging_platform.bids.nifti_header import pack_image
from imaging_platform.bids.outputs import Output
from imaging_platform.bids.planned import UNCLASSIFIED, Planned, plan_session
from imaging_platform.bids.source import Intake, read_source
from imaging_platform.bids.study_rules import dicom_keywords
from imaging_platform.files.writing import format_json, write_staged
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey

if TYPE_CHECKING:
    from imaging_platform.bids.settings import BidsSettings
    from imaging_platform.bids.stored import StoredSession

__all__ = [
    "UNCLASSIFIED",
    "ConversionReport",
    "Converted",
    "convert_and_store",
    "convert_session",
]

_GRADIENT_LABELS = frozenset({"dwi/dwi", "fmap/epi"})


@dataclass(frozen=True)
class Converted:
    """
    What a conversion leaves beside the session's folder.

    Parameters
    ----------
    report
        Every series and what became of it.
    stored
        The facts that the decisions rest on, to decide again without converting.
    """

    report: ConversionReport
    stored: StoredSession


def convert_and_store(
    source: Path, target: Path, *, key: SessionKey, settings: BidsSettings
) -> Converted:
    """Convert a session as `convert_session` does, and keep why it became what."""
    # Here: `convert` alone needs neither it nor what checks a study file.
    from imaging_platform.bids.stored import store_session

    made = _convert(source, target, key, settings)
    return Converted(made.report, store_session(made.outputs, made.planned, settings))


def convert_session(
    source: Path, target: Path, *, key: SessionKey, settings: Conventions
) -> ConversionReport:
    """
    Convert one de-identified session and write it as ``sub-x/ses-y``.

    Parameters
    ----------
    source
        Folder of DICOM files, read at any depth.
    target
        Existing empty folder that becomes the session's folder: ``anat``, ``func``,
        ``dwi``, ``fmap``, ``perf``, the scans table, and ``unclassified`` for what
        has no valid name yet.
    key
        Subject and session.
    settings
        Rules and defaults of the study.

    Returns
    -------
    ConversionReport
        Every instance is in exactly one row of it.

    Raises
    ------
    BadInput
        There is no DICOM instance, or the target is not empty.
    ToolFailed
        dcm2niix crashed or took too long, on the session and on each series alone.
    """
    return _convert(source, target, key, settings).report


@dataclass(frozen=True)
class _Made:
    """The report of a session, its images, and what was written of each."""

    report: ConversionReport
    outputs: tuple[Output, ...]
    planned: tuple[Planned, ...]


def _convert(
    source: Path, target: Path, key: SessionKey, settings: Conventions
) -> _Made:
    if any(target.iterdir()):
        raise BadInput(
            "The folder of a converted session must be empty before.",
            fix="Give convert a new folder.",
        )
    intake = read_source(source)
    if not intake.files:
        raise BadInput(
            "The session holds no DICOM instance.",
            fix="Check what was received for this session.",
        )
    # Inside the target, so that each image is renamed into its place, not copied.
    with tempfile.TemporaryDirectory(prefix=".converting-", dir=target) as workplace:
        converted = run_converter(
            source, intake, Path(workplace), timeout_s=settings.convert_timeout_s
        )
        outputs = _add_fields(converted.scratch.outputs, intake, settings)
        planned = plan_session(outputs, key=key, settings=settings)
        place = _Place(converted.folder, target, key)
        files = _write_session(outputs, planned, place)
    decisions = [one.decision for one in planned]
    conversion = Conversion(intake, converted, decisions, files)
    return _Made(build_report(conversion, target, key=key), outputs, planned)


@dataclass(frozen=True)
class _Place:
    """Where images come from and where they go, and the name that they share."""

    converted: Path
    target: Path
    key: SessionKey


def _add_fields(
    outputs: Sequence[Output], intake: Intake, settings: Conventions
) -> tuple[Output, ...]:
    """Read what rules ask of DICOM, from the first instance of each series."""
    from imaging_platform.dicom.fields import read_fields

    keywords = dicom_keywords(settings.rules)
    if not keywords:
        return tuple(outputs)
    # The files are in order of series and instance; the last written wins.
    first = {
        f.header.series_uid: Path(f.path) for f in reversed(intake.files) if f.is_image
    }
    return tuple(
        replace(output, fields=read_fields(first[output.series_uid], keywords))
        if output.series_uid in first
        else output
        for output in outputs
    )


def _write_session(
    outputs: Sequence[Output], planned: Sequence[Planned], place: _Place
) -> tuple[tuple[str, ...], ...]:
    """Write every image that is kept; return its paths below the session's folder."""
    files: list[tuple[str, ...]] = []
    for output, one in zip(outputs, planned, strict=True):
        if not one.base:
            files.append(())
            continue
        write_staged(place.target / f"{one.base}.json", format_json(dict(one.sidecar)))
        files.append(_write_image(output, one, place))
    _write_scans_table(outputs, [one.decision for one in planned], place)
    return tuple(files)


def _write_image(output: Output, one: Planned, place: _Place) -> tuple[str, ...]:
    """Write the image and what belongs to it; return all paths, the sidecar's too."""
    decision, base = one.decision, one.base
    written = [f"{base}.json", f"{base}.nii.gz"]
    image, target = place.converted / f"{output.stem}.nii", f"{base}.nii.gz"
    (place.target / target).parent.mkdir(parents=True, exist_ok=True)
    repetition_s = repetition_to_write(decision, output, one.sidecar)
    pack_image(image, place.target / target, repetition_s=repetition_s)
    # At once: a session's images lie there whole, several times their size.
    image.unlink()
    with_gradients = (
        not decision.is_converted
        or f"{decision.datatype}/{decision.suffix}" in _GRADIENT_LABELS
    )
    for ending in (".bval", ".bvec"):
        table = place.converted / f"{output.stem}{ending}"
        if with_gradients and table.exists():
            _move(table, place.target / f"{base}{ending}")
            written.append(f"{base}{ending}")
    if decision.is_converted and decision.suffix == "asl":
        name = f"{base.removesuffix('_asl')}_aslcontext.tsv"
        types = expand_volume_types(decision.volume_types, output.volumes or 0)
        write_staged(place.target / name, "\n".join(["volume_type", *types]) + "\n")
        written.append(name)
    return tuple(sorted(written))


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    target.chmod(0o644)


def _write_scans_table(
    outputs: Sequence[Output], decisions: Sequence[Decision], place: _Place
) -> None:
    rows = [
        (f"{d.datatype}/{d.name(str(place.key))}.nii.gz", _acquisition_time(output))
        for output, d in zip(outputs, decisions, strict=True)
        if d.is_converted
    ]
    if rows:
        lines = [
            "filename\tacq_time",
            *(f"{name}\t{when}" for name, when in sorted(rows)),
        ]
        write_staged(place.target / f"{place.key}_scans.tsv", "\n".join(lines) + "\n")


def _acquisition_time(output: Output) -> str:
    when = str(output.sidecar.get("AcquisitionDateTime") or "")
    found = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", when)
    return when if found else "n/a"
