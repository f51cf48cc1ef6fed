"""Who is behind a subject label; everything here identifies the subject."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.intake.ledger import read_ledger, subjects_of_patients
from imaging_platform.intake.marks import drops_with
from imaging_platform.model.errors import MissingInput


@dataclass(frozen=True, repr=False)
class Person:
    """
    One subject, as the originals name it.

    Parameters
    ----------
    subject
        Subject label, without ``sub-``.
    patient_ids, names
        All spellings of (0010,0020) and (0010,0010), sorted.
    study_dates
        Dates of the originals (YYYYMMDD), sorted, by session key.
    """

    subject: str
    patient_ids: tuple[str, ...]
    names: tuple[str, ...]
    study_dates: dict[str, tuple[str, ...]]


def read_person(zone: Path, subject: str) -> Person:
    """
    Return the person behind a subject label, from the indexes of all drops.

    Parameters
    ----------
    zone
        The study's identified zone.
    subject
        Label, without ``sub-``.

    Raises
    ------
    MissingInput
        No session of such a subject has arrived.
    """
    keys = {str(key) for key in read_ledger(zone).values() if key.subject == subject}
    found = _read_columns(zone, keys)
    if not found:
        raise MissingInput(
            f"No session of sub-{subject} has arrived in this study.",
            fix="Take the label from `status` or from the dataset, case and all.",
        )
    dates: defaultdict[str, set[str]] = defaultdict(set)
    for record in found:
        dates[record["session_key"]].add(record["study_date"])
    return Person(
        subject=subject,
        patient_ids=_distinct(found, "patient_id"),
        names=_distinct(found, "patient_name"),
        study_dates={key: tuple(sorted(days)) for key, days in sorted(dates.items())},
    )


def find_subject(zone: Path, patient: str) -> str:
    """
    Return the subject label of a patient.

    Parameters
    ----------
    zone
        The study's identified zone.
    patient
        Keyed pseudonym of the patient identifier.

    Raises
    ------
    MissingInput
        No session of the patient has arrived.
    """
    subject = subjects_of_patients(zone).get(patient)
    if subject is None:
        raise MissingInput(
            "No session of this patient has arrived in this study.",
            fix="Check the PatientID as the scanner wrote it, and the study.",
        )
    return subject


def _read_columns(zone: Path, session_keys: set[str]) -> list[dict[str, str]]:
    import pyarrow.parquet as pq

    wanted = ("session_key", "patient_id", "patient_name", "study_date")
    found: list[dict[str, str]] = []
    for drop in drops_with(zone, session_keys):
        if not session_keys or not drop.index.exists():
            continue
        # An index that an earlier version wrote has no names.
        there = set(pq.read_schema(drop.index).names)
        table = pq.read_table(
            drop.index,
            columns=[name for name in wanted if name in there],
            filters=[("session_key", "in", session_keys)],
        )
        found += table.group_by(table.column_names).aggregate([]).to_pylist()
    return found


def _distinct(found: list[dict[str, str]], name: str) -> tuple[str, ...]:
    return tuple(sorted({record.get(name, "") for record in found} - {""}))
