"""DICOM of one session to its BIDS folder, with a report that explains each series."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.bids.completeness import Intake, link_files, read_source
from imaging_platform.bids.conversion_report import (
    Conversion,
    ConversionReport,
    build_report,
)
from imaging_platform.bids.decisions import Decision
from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.fieldmaps import link_fieldmaps
from imaging_platform.bids.metadata import (
    build_sidecar,
    expand_volume_types,
    repetition_to_write,
)
from imaging_platform.bids.nifti_header import set_repetition_time
from imaging_platform.bids.outputs import Output, read_scratch
from imaging_platform.bids.rules import decide_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.tools import dcm2niix

__all__ = ["UNCLASSIFIED", "ConversionReport", "convert_session"]

UNCLASSIFIED = "unclassified"
"""Folder of a session for what has no valid BIDS name yet; `.bidsignore` names it."""

_GRADIENT_LABELS = frozenset({"dwi/dwi", "fmap/epi"})


def convert_session(
    source: Path, target: Path, *, key: SessionKey, settings: BidsSettings
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
        Every instance is in exactly one of its rows.

    Raises
    ------
    BadInput
        There is no DICOM instance, or the target is not empty.
    ToolFailed
        dcm2niix crashed or took too long.
    """
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
    with tempfile.TemporaryDirectory(prefix="bids-") as scratch_name:
        converted = Path(scratch_name) / "converted"
        converted.mkdir()
        printed = _run_converter(source, intake, converted, settings)
        scratch = read_scratch(converted)
        decisions = decide_session(scratch.outputs, settings)
        place = _Place(converted, target, key)
        files = _write_session(scratch.outputs, decisions, place, settings)
    return build_report(
        Conversion(intake, scratch, decisions, files, printed), target, key=key
    )


@dataclass(frozen=True)
class _Place:
    """Where images come from and where they go, and the name that they share."""

    converted: Path
    target: Path
    key: SessionKey


def _run_converter(
    source: Path, intake: Intake, converted: Path, settings: BidsSettings
) -> str:
    """Call dcm2niix once; on links when some files must not be mixed in."""
    seen = source
    if intake.left_out or intake.duplicates or intake.unreadable:
        seen = converted.parent / "whole"
        seen.mkdir()
        link_files(intake, seen)
    done = dcm2niix.convert_folder(
        seen, converted, timeout_s=settings.convert_timeout_s
    )
    return done.stdout


def _write_session(
    outputs: Sequence[Output],
    decisions: Sequence[Decision],
    place: _Place,
    settings: BidsSettings,
) -> tuple[tuple[str, ...], ...]:
    """Write every image that is kept; return its paths below the session's folder."""
    images = [read_evidence(output) for output in outputs]
    links = link_fieldmaps(decisions, images, key=place.key, settings=settings)
    files: list[tuple[str, ...]] = []
    taken: set[str] = set()
    for position, (output, decision) in enumerate(zip(outputs, decisions, strict=True)):
        if decision.outcome == "excluded":
            files.append(())
            continue
        if decision.is_converted:
            base = f"{decision.datatype}/{decision.name(str(place.key))}"
        else:
            base = _unclassified_name(output, decision, place.key, taken)
            taken.add(base)
        sidecar = build_sidecar(decision, output) | links.get(position, {})
        write_json(place.target / f"{base}.json", sidecar)
        files.append(_write_image(output, decision, place, base))
        repetition_s = repetition_to_write(decision, output, sidecar)
        if repetition_s is not None:
            set_repetition_time(place.target / f"{base}.nii.gz", repetition_s)
    _write_scans_table(outputs, decisions, place)
    return tuple(files)


def _unclassified_name(
    output: Output, decision: Decision, key: SessionKey, taken: set[str]
) -> str:
    """Name an image by series number and description; never twice the same."""
    sidecar = output.sidecar
    words = str(sidecar.get("SeriesDescription") or sidecar.get("ProtocolName") or "")
    label = re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")[:60] or "series"
    suffix = decision.suffix or "unknown"
    base = f"{UNCLASSIFIED}/{key}_series-{sidecar.get('SeriesNumber', 0)}_{label}"
    name, count = f"{base}_{suffix}", 1
    while name in taken:
        count += 1
        name = f"{base}-{count}_{suffix}"
    return name


def _write_image(
    output: Output, decision: Decision, place: _Place, base: str
) -> tuple[str, ...]:
    """Move the image and what belongs to it; return all paths, the sidecar's too."""
    written = [f"{base}.json", f"{base}.nii.gz"]
    _move(place.converted / f"{output.stem}.nii.gz", place.target / f"{base}.nii.gz")
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
        write_text(place.target / name, "\n".join(["volume_type", *types]) + "\n")
        written.append(name)
    return tuple(sorted(written))


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)
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
        write_text(place.target / f"{place.key}_scans.tsv", "\n".join(lines) + "\n")


def _acquisition_time(output: Output) -> str:
    when = str(output.sidecar.get("AcquisitionDateTime") or "")
    found = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", when)
    return when if found else "n/a"
