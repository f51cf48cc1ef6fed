"""What a dataset itself tells of its people must not be in what is imported of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from imaging_platform.bids.participants import COLUMNS
from imaging_platform.deid.echo import find_echoes
from imaging_platform.deid.identifiers import Gathering, Identifiers
from imaging_platform.dicom.fields import element_of
from imaging_platform.intake.ledger import read_ledger
from imaging_platform.model.errors import BadConfig, IdentityLeak
from imaging_platform.model.ids import SessionKey

if TYPE_CHECKING:
    from imaging_platform.bids.importing import ImportedSession

LAST_MOVED_YEAR = 1925
"""A date of this year or earlier was moved already (BIDS, scans file)."""

_NAMING = re.compile(r"name|initials|mrn|patient|hospital|address|birth|dob", re.ASCII)
_PATIENT_NAME = (0x00100010, "PN")
_BIRTH_DATE = (0x00100030, "DA")
_UTF8 = "ISO_IR 192"


def refuse_identity(
    found: ImportedSession,
    tree: Path,
    key: SessionKey,
    *,
    participant: Mapping[str, str],
    dates_stay: bool,
) -> None:
    """
    Refuse a session in which something stands that its dataset says of the person.

    Names, numbers, days and places of sidecar keys and columns that were left out
    are searched in what is left: in conditions of events, the group, and names.

    Parameters
    ----------
    found, tree
        The session as it would be published.
    key
        Its labels.
    participant
        Row of the dataset's participants.tsv, all columns.
    dates_stay
        Whether the study keeps dates as they are.

    Raises
    ------
    IdentityLeak
        Something stands there, or a label is such a name or number.
    """
    told = _identifiers(found, participant)
    if dates_stay:
        told = told.without(dates=told.dates)
    if told.echoes_in(key.subject) or told.echoes_in(key.session):
        raise IdentityLeak(
            "The label of a subject or session is a name or number of the person.",
            fix="Give the subject another label with --map.",
        )
    own_names = (f"sub-{key.subject}", f"ses-{key.session}")
    if echoes := find_echoes(tree, told, own_names=own_names):
        places = [f"{e.file}: {e.place}" if e.file else e.place for e in echoes[:5]]
        raise IdentityLeak(
            f"{key} holds what the dataset says of the person, in {', '.join(places)}.",
            fix="Correct the tables and sidecars of this session.",
        )


def refuse_known(
    zone: Path, key: SessionKey, *, subject: str, named: Mapping[str, str]
) -> None:
    """
    Refuse labels that belong to a patient whose DICOM came.

    Parameters
    ----------
    zone
        The study's identified zone.
    key, subject
        Labels that the session gets, and its subject label in the dataset.
    named
        New labels that a person gave, by old one: these may join a known subject.

    Raises
    ------
    BadConfig
        The session came as DICOM, or its subject did and nobody said it is the same.
    """
    keys = set(read_ledger(zone).values())
    subjects = {known.subject.casefold() for known in keys}
    if key in keys:
        raise BadConfig(
            f"{key} came as DICOM; an import would stand for another measurement.",
            fix="Give the subject another label with --map.",
        )
    if key.subject.casefold() in subjects and subject not in named:
        raise BadConfig(
            f"sub-{key.subject} is a patient whose DICOM came.",
            fix="Name the subject in --map: with this label if it is the same person, "
            "else with another one.",
        )


def _identifiers(found: ImportedSession, participant: Mapping[str, str]) -> Identifiers:
    told = Gathering()
    for name, values in found.values_left_out.items():
        element = element_of(name)
        if element is not None:
            for value in sorted(values):
                told.add(*element, value.encode(), _UTF8)
    for column, value in participant.items():
        if column not in COLUMNS and _NAMING.search(column.lower()):
            told.add(*_PATIENT_NAME, value.encode(), _UTF8)
            told.add(*_BIRTH_DATE, value.encode(), _UTF8)
    identifiers = told.freeze()
    moved = {day for day in identifiers.dates if int(day[:4]) <= LAST_MOVED_YEAR}
    return identifiers.without(dates=moved)
