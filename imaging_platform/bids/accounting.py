"""Every instance that came in is in exactly one row of the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from imaging_platform.bids.decisions import Decision

OUTCOMES = ("failed", "unknown", "incomplete", "converted", "excluded")
"""What can become of a series; a series of several images takes the first of these."""


@dataclass(frozen=True)
class ScanRow:
    """
    One image of a series in the report.

    Parameters
    ----------
    outcome
        One of `OUTCOMES`.
    files
        Paths below the session's folder, sorted; empty when nothing was kept.
    datatype, suffix
        BIDS label; empty when there is none.
    entities
        Entities but sub and ses.
    why
        The reason, as a sentence.
    rule
        The rule that decided.
    evidence
        The fields that were looked at, as ``Field=value``.
    confidence
        ``high``, ``medium`` or ``low``.
    warnings
        Contradictions that a person should look at.
    bids_guess
        Second opinion of dcm2niix, such as ``func/bold``; never used.
    rule_hint
        A rule for the study file, in YAML; empty for what was converted or excluded.
    """

    outcome: str
    files: tuple[str, ...]
    datatype: str
    suffix: str
    entities: Mapping[str, str]
    why: str
    rule: str
    evidence: tuple[str, ...]
    confidence: str
    warnings: tuple[str, ...]
    bids_guess: str
    rule_hint: str


@dataclass(frozen=True)
class Fate:
    """
    What became of some instances of a series; each instance has exactly one fate.

    Parameters
    ----------
    outcome
        One of `OUTCOMES`.
    why
        The reason, as a sentence.
    files
        Images that hold them, below the session's folder, sorted; several when
        nothing tells which of the images took which instance.
    instances
        SOP instance UIDs, sorted.
    """

    outcome: str
    why: str
    files: tuple[str, ...]
    instances: tuple[str, ...]


@dataclass(frozen=True)
class SeriesRow:
    """
    One series of the session in the report.

    Parameters
    ----------
    series_number
        Number of the series, 0 when unknown.
    description
        Series description (already de-identified).
    series_uids
        The series' UIDs, sorted; several where a scanner gave each volume its own.
    instances
        How many instances came in.
    outcome
        The most serious outcome of its images (`OUTCOMES`).
    why
        The reason, as sentences.
    scans
        Its images, in order of time.
    fates
        Each of its instances, with the image that holds it or why there is none.
    """

    series_number: int
    description: str
    series_uids: tuple[str, ...]
    instances: int
    outcome: str
    why: str
    scans: tuple[ScanRow, ...] = field(default=())
    fates: tuple[Fate, ...] = field(default=())

    def count_fates(self) -> dict[str, int]:
        """Return how many instances had each outcome, in order of `OUTCOMES`."""
        counts = Counter[str]()
        for fate in self.fates:
            counts[fate.outcome] += len(fate.instances)
        return {outcome: counts[outcome] for outcome in OUTCOMES}


@dataclass(frozen=True)
class SeriesFacts:
    """
    One series as its headers describe it.

    Parameters
    ----------
    uid
        Series instance UID.
    run
        What it shares with other series of one run: study, number and description,
        or another name.
    number
        Series number, 0 when missing.
    description
        Series description.
    instances
        SOP instance UIDs, sorted.
    is_image
        False for reports, spectra, raw data and other objects without pixels.
    """

    uid: str
    run: tuple[str, int, str]
    number: int
    description: str
    instances: tuple[str, ...]
    is_image: bool = True


def group_series(
    series: Sequence[SeriesFacts], with_output: Collection[str]
) -> list[tuple[SeriesFacts, ...]]:
    """
    Join series without an image of their own to the run that took their volumes.

    Siemens XA classic exports give each volume of a run its own series, and some
    Canon scanners each slice position.

    Parameters
    ----------
    series
        All series of the session.
    with_output
        UIDs of the series for which dcm2niix wrote an image.

    Returns
    -------
    list of tuple
        Each series in exactly one group, ordered by number, description and UID.
    """
    ordered = sorted(series, key=lambda s: (s.number, s.description, s.uid))
    anchors: dict[tuple[str, int, str], str] = {}
    for one in reversed(ordered):
        if one.uid in with_output:
            anchors[one.run] = one.uid
    groups: dict[str, list[SeriesFacts]] = defaultdict(list)
    for one in ordered:
        anchor = one.uid
        if one.uid not in with_output and one.is_image:
            anchor = anchors.get(one.run, one.uid)
        groups[anchor].append(one)
    return [tuple(members) for members in groups.values()]


def summarize_outcome(scans: Sequence[ScanRow]) -> str:
    """Return the most serious outcome among the images of a series."""
    found = {scan.outcome for scan in scans}
    return next(outcome for outcome in OUTCOMES if outcome in found)


def describe_scan(decision: Decision, files: Sequence[str], hint: str) -> ScanRow:
    """Return the report's row of one decided image."""
    return ScanRow(
        outcome=decision.outcome,
        files=tuple(sorted(files)),
        datatype=decision.datatype,
        suffix=decision.suffix,
        entities=dict(decision.entities),
        why=decision.why,
        rule=decision.rule,
        evidence=decision.evidence,
        confidence=decision.confidence,
        warnings=decision.warnings,
        bids_guess=decision.second_opinion,
        rule_hint=hint,
    )
