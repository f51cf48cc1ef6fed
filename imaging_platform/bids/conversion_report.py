"""The report of a conversion: every series, what became of it, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.bids.accounting import (
    OUTCOMES,
    Fate,
    ScanRow,
    SeriesFacts,
    SeriesRow,
    describe_scan,
    group_series,
    summarize_outcome,
)
from imaging_platform.bids.converter import Converted
from imaging_platform.bids.decisions import Decision
from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.fates import Image, find_fates
from imaging_platform.bids.merged import find_numbered
from imaging_platform.bids.metadata import suggest_rule
from imaging_platform.bids.source import Intake
from imaging_platform.files.digests import sorted_files
from imaging_platform.model.ids import SessionKey
from imaging_platform.tools import dcm2niix

_COPY = "A copy that the converter made of another image, without a sidecar."
_CUT = "The converter stopped in this series and wrote no sidecar."
_NOTHING = "The converter wrote no image of this series."
_BROKEN = "What the converter wrote of this series cannot be read."


@dataclass(frozen=True)
class ConversionReport:
    """
    What became of every instance of one session.

    Parameters
    ----------
    session
        The session key, ``sub-x_ses-y``.
    instances
        How many instances came in; the sum over `series`.
    series
        One row a series, by number.
    outcomes
        Outcome -> how many series.
    files
        Paths of all files written, below the session's folder, sorted.
    duplicates
        Further copies of instances, not converted.
    unreadable
        Category of damage -> how many files.
    others
        Files that are no DICOM instances.
    warnings
        What a person should look at, as sentences.
    dcm2niix_version
        Version of the converter; it is not in the sidecars.
    """

    session: str
    instances: int
    series: tuple[SeriesRow, ...]
    outcomes: Mapping[str, int]
    files: tuple[str, ...]
    duplicates: int
    unreadable: Mapping[str, int]
    others: int
    warnings: tuple[str, ...]
    dcm2niix_version: str


@dataclass(frozen=True)
class Conversion:
    """
    All that a conversion leaves to tell.

    Parameters
    ----------
    intake
        The files that came in.
    converted
        What dcm2niix made of them.
    decisions, files
        One an image: what it is, and the paths written for it.
    """

    intake: Intake
    converted: Converted
    decisions: Sequence[Decision]
    files: Sequence[Sequence[str]]


def build_report(
    conversion: Conversion, target: Path, *, key: SessionKey
) -> ConversionReport:
    """Return the report of a conversion whose files stand in `target`."""
    intake = conversion.intake
    images = _gather_images(conversion)
    groups = group_series(intake.series, set(images))
    rows = tuple(_series_row(group, images, conversion) for group in groups)
    strays = sorted(set(images) - {one.uid for one in intake.series})
    rows += tuple(_stray_row([image.row for image in images[uid]]) for uid in strays)
    rows = tuple(sorted(rows, key=lambda r: (r.series_number, r.series_uids)))
    outcomes: dict[str, int] = defaultdict(int)
    for row in rows:
        outcomes[row.outcome] += 1
    return ConversionReport(
        session=str(key),
        instances=len(intake.files),
        series=rows,
        outcomes=dict(sorted(outcomes.items())),
        files=tuple(p.relative_to(target).as_posix() for p in sorted_files(target)),
        duplicates=intake.duplicates,
        unreadable=intake.unreadable,
        others=intake.others,
        warnings=_warnings(rows, intake),
        dcm2niix_version=dcm2niix.version(),
    )


def _gather_images(conversion: Conversion) -> dict[str, list[Image]]:
    """Return all images by the series that dcm2niix names."""
    images: dict[str, list[Image]] = defaultdict(list)
    scratch, used = conversion.converted.scratch, conversion.converted.used
    for output, decision, written in zip(
        scratch.outputs, conversion.decisions, conversion.files, strict=True
    ):
        hint = ""
        if decision.outcome in {"unknown", "incomplete"}:
            hint = suggest_rule(decision, read_evidence(output))
        row = describe_scan(decision, written, hint)
        images[output.series_uid].append(Image(output, row, used.get(output.stem, 0)))
    stems = [output.stem for output in scratch.outputs]
    for name in scratch.orphans:
        is_copy = any(name.startswith(f"{stem}_") for stem in stems)
        row = _orphan_row("excluded", _COPY) if is_copy else _orphan_row("failed", _CUT)
        images[_series_of(name, conversion.intake)].append(Image(None, row, 0))
    for name in scratch.unreadable:
        row = _orphan_row("failed", _BROKEN)
        images[_series_of(name, conversion.intake)].append(Image(None, row, 0))
    return images


def _series_of(name: str, intake: Intake) -> str:
    """Return the series whose UID a file name of dcm2niix holds."""
    found = (s.uid for s in intake.series if f"_{s.uid}" in name)
    return max(found, key=len, default="") or find_numbered(name, intake.series)


def _orphan_row(outcome: str, why: str) -> ScanRow:
    return ScanRow(
        outcome=outcome,
        files=(),
        datatype="",
        suffix="",
        entities={},
        why=why,
        rule="no_sidecar",
        evidence=(),
        confidence="high",
        warnings=(),
        bids_guess="",
        rule_hint="",
    )


def _series_row(
    group: Sequence[SeriesFacts],
    images: Mapping[str, Sequence[Image]],
    conversion: Conversion,
) -> SeriesRow:
    left_out = conversion.intake.left_out
    files = [f for one in group for f in conversion.intake.by_series[one.uid]]
    found = [image for one in group for image in images.get(one.uid, ())]
    failures = conversion.converted.failures
    absence = next(
        (failures[one.uid] for one in group if one.uid in failures), _NOTHING
    )
    fates = find_fates(files, found, left_out, absence=absence)
    outcome, why = _sum_up(fates, found)
    reasons = [fate.why for fate in fates if fate.outcome == "incomplete"]
    left = sum(file.header.sop_uid in left_out for file in files)
    if left:
        why = f"{' '.join(reasons)} {left} of {len(files)} instances are left out."
        outcome = "incomplete"
    skipped = conversion.intake.skipped
    if gap := next((skipped[one.uid] for one in group if one.uid in skipped), ""):
        why = f"{why} {gap}"
        outcome = "incomplete" if outcome == "converted" else outcome
    shown = sum(file.is_image for file in files) - left
    taken = sum(image.used for image in found)
    if 0 < taken < shown:
        why += f" The converter used {taken} of {shown} images."
        outcome = "incomplete" if outcome == "converted" else outcome
    return SeriesRow(
        series_number=group[0].number,
        description=group[0].description,
        series_uids=tuple(sorted(one.uid for one in group)),
        instances=len(files),
        outcome=outcome,
        why=why,
        scans=tuple(image.row for image in found),
        fates=fates,
    )


def _sum_up(fates: Sequence[Fate], found: Sequence[Image]) -> tuple[str, str]:
    """Return outcome and reason of a series by its images, or without any."""
    if found:
        rows = [image.row for image in found]
        return summarize_outcome(rows), " ".join(dict.fromkeys(row.why for row in rows))
    worst = next(o for o in OUTCOMES if any(fate.outcome == o for fate in fates))
    return worst, next(fate.why for fate in fates if fate.outcome == worst)


def _stray_row(scans: Sequence[ScanRow]) -> SeriesRow:
    """Show images whose series no header names, so that none is lost from sight."""
    return SeriesRow(
        series_number=0,
        description="",
        series_uids=(),
        instances=0,
        outcome=summarize_outcome(scans),
        why="The converter names a series that no header has.",
        scans=tuple(scans),
    )


def _warnings(rows: Sequence[SeriesRow], intake: Intake) -> tuple[str, ...]:
    found = [
        f"Series {row.series_number}: {text}"
        for row in rows
        for scan in row.scans
        for text in scan.warnings
    ]
    found += [
        f"Series {row.series_number} is {row.outcome}: {row.why}"
        for row in rows
        if row.outcome in {"failed", "unknown", "incomplete"}
    ]
    found += [f"{n} files: {reason}." for reason, n in intake.unreadable.items()]
    return tuple(found)
