"""What ``imaging-platform convert`` needs: which sessions, and what it prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imaging_platform.cli.printing import print_table
from imaging_platform.model.errors import BadConfig, BadInput, Held
from imaging_platform.model.ids import SessionKey

if TYPE_CHECKING:
    from imaging_platform.bids.conversion_report import ConversionReport

KEPT_BACK = ("failed", "unknown", "incomplete")


def find_sessions(
    source: Path, subject: str | None, session: str | None
) -> dict[SessionKey, Path]:
    """
    Return the sessions of a folder, by key.

    Parameters
    ----------
    source
        A folder that ``anonymize`` wrote, with one ``sub-x_ses-y`` a session, or
        one of these, or any folder of one session when its labels are given.
    subject, session
        Labels without ``sub-`` and ``ses-``; both or none.

    Raises
    ------
    BadConfig
        One label is given without the other, or the folder names no session.
    """
    if subject and session:
        return {SessionKey(subject, session): source}
    if subject or session:
        raise BadConfig(
            "A session has two labels, and only one was given.",
            fix="Give --subject and --session, or neither.",
        )
    folders = [source.absolute(), *sorted(p for p in source.iterdir() if p.is_dir())]
    found = {key: folder for folder in folders if (key := _read_key(folder.name))}
    if not found:
        raise BadConfig(
            "Neither the folder nor one inside it is named sub-<label>_ses-<label>.",
            fix="Give --subject and --session, or a folder that `anonymize` wrote.",
        )
    return found


def _read_key(name: str) -> SessionKey | None:
    try:
        return SessionKey.parse(name)
    except (BadConfig, BadInput):
        return None


def print_series(report: ConversionReport, place: Path) -> None:
    """Print each series with its outcome, images and reason."""
    print_table(
        f"Converted into {place}",
        ["#", "description", "instances", "outcome", "images", "why"],
        [
            (
                s.series_number,
                s.description,
                s.instances,
                s.outcome,
                ", ".join(
                    f for scan in s.scans for f in scan.files if f.endswith(".nii.gz")
                ),
                s.why,
            )
            for s in report.series
        ],
    )


def list_hints(reports: Sequence[ConversionReport]) -> list[str]:
    """Return the rules that would name what has no name, each once, in order."""
    hints = (
        scan.rule_hint for report in reports for s in report.series for scan in s.scans
    )
    return list(dict.fromkeys(filter(None, hints)))


def find_kept_back(reports: Mapping[SessionKey, ConversionReport]) -> Held | None:
    """Return what is to be said of series without a name and damaged files, if any."""
    counts = [
        f"{number} {outcome} in {key}"
        for key, report in reports.items()
        for outcome, number in report.outcomes.items()
        if outcome in KEPT_BACK
    ]
    damaged = [
        f"{number} ({reason}) in {key}"
        for key, report in reports.items()
        for reason, number in report.unreadable.items()
    ]
    said = [f"Some series are kept back: {', '.join(counts)}."] if counts else []
    said += [f"Damaged files: {', '.join(damaged)}."] if damaged else []
    if not said:
        return None
    return Held(
        " ".join(said),
        fix="Read the table; add a rule or metadata to the study file, or send "
        "what is missing.",
    )
