"""The report of a conversion: every series, what became of it, and why."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imaging_platform.bids.accounting import (
    ScanRow,
    SeriesFacts,
    SeriesRow,
    describe_scan,
    group_series,
    summarize_outcome,
)
from imaging_platform.bids.completeness import Intake
from imaging_platform.bids.decisions import Decision
from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.metadata import suggest_rule
from imaging_platform.bids.outputs import Scratch
from imaging_platform.files.digests import sorted_files
from imaging_platform.model.ids import SessionKey
from imaging_platform.tools import dcm2niix

_COPY = "A copy that the converter made of another image, without a sidecar."
_CUT = "The converter stopped in this series and wrote no sidecar."
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
    scratch
        What dcm2niix wrote.
    decisions, files
        One an image: what it is, and the paths written for it.
    printed
        What dcm2niix printed.
    """

    intake: Intake
    scratch: Scratch
    decisions: Sequence[Decision]
    files: Sequence[Sequence[str]]
    printed: str


def build_report(
    conversion: Conversion, target: Path, *, key: SessionKey
) -> ConversionReport:
    """Return the report of a conversion whose files stand in `target`."""
    intake = conversion.intake
    scans = _gather_scans(conversion)
    groups = group_series(intake.series, set(scans))
    used = _count_used(conversion.printed, intake)
    rows = tuple(_series_row(group, scans, intake, used) for group in groups)
    known = {one.uid for one in intake.series}
    rows += tuple(_stray_row(scans[uid]) for uid in sorted(set(scans) - known))
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


def _gather_scans(conversion: Conversion) -> dict[str, list[ScanRow]]:
    """Return the rows of all images by the series that dcm2niix names."""
    scans: dict[str, list[ScanRow]] = defaultdict(list)
    scratch = conversion.scratch
    for output, decision, written in zip(
        scratch.outputs, conversion.decisions, conversion.files, strict=True
    ):
        hint = ""
        if decision.outcome in {"unknown", "incomplete"}:
            hint = suggest_rule(decision, read_evidence(output))
        scans[output.series_uid].append(describe_scan(decision, written, hint))
    stems = [output.stem for output in scratch.outputs]
    for name in scratch.orphans:
        is_copy = any(name.startswith(f"{stem}_") for stem in stems)
        row = _orphan_row("excluded", _COPY) if is_copy else _orphan_row("failed", _CUT)
        scans[_series_of(name, conversion.intake)].append(row)
    for name in scratch.unreadable:
        row = _orphan_row("failed", _BROKEN)
        scans[_series_of(name, conversion.intake)].append(row)
    return scans


def _series_of(name: str, intake: Intake) -> str:
    """Return the series whose UID a file name of dcm2niix holds."""
    found = (s.uid for s in intake.series if f"_{s.uid}" in name)
    return max(found, key=len, default="")


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


def _count_used(printed: str, intake: Intake) -> dict[str, int]:
    """Return, for each series, how many files dcm2niix says it converted."""
    used: dict[str, int] = defaultdict(int)
    for line in printed.splitlines():
        found = re.match(r"Convert (\d+) DICOM as (.*)", line)
        if found:
            used[_series_of(Path(found.group(2)).name, intake)] += int(found.group(1))
    return used


def _series_row(
    group: Sequence[SeriesFacts],
    scans: Mapping[str, Sequence[ScanRow]],
    intake: Intake,
    used: Mapping[str, int],
) -> SeriesRow:
    found = [scan for one in group for scan in scans.get(one.uid, ())]
    uids = {uid for one in group for uid in one.instances}
    reasons = sorted({intake.left_out[uid] for uid in uids if uid in intake.left_out})
    left = sum(uid in intake.left_out for uid in uids)
    row = SeriesRow(
        series_number=group[0].number,
        description=group[0].description,
        series_uids=tuple(sorted(one.uid for one in group)),
        instances=len(uids),
        outcome="",
        why="",
        scans=tuple(found),
    )
    if left:
        why = f"{' '.join(reasons)} {left} of {len(uids)} instances are left out."
        return replace(row, outcome="incomplete", why=why)
    if not found:
        return replace(row, **_explain_absence(group))
    images = sum(file.is_image and file.header.sop_uid in uids for file in intake.files)
    why = " ".join(dict.fromkeys(scan.why for scan in found))
    converted = sum(used.get(one.uid, 0) for one in group)
    outcome = summarize_outcome(found)
    if 0 < converted < images:
        why += f" The converter used {converted} of {images} images."
        outcome = "incomplete" if outcome == "converted" else outcome
    return replace(row, outcome=outcome, why=why)


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


def _explain_absence(group: Sequence[SeriesFacts]) -> dict[str, str]:
    if not any(one.is_image for one in group):
        why = "Not an image of the body: a report, spectrum, screenshot or raw data."
        return {"outcome": "excluded", "why": why}
    return {"outcome": "failed", "why": "The converter wrote no image of this series."}


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
