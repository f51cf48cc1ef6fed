"""
What a subject and a session are called: by table, by pattern, by pseudonym.

In this order: the site's mapping table, a regular expression over a header field,
and for the subject the keyed pseudonym; a session that neither names is numbered by
the ledger of the intake. A way that does not apply falls to the next; one that
applies and gives something impossible holds the study.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from imaging_platform.deid.pseudonyms import (
    keyed_digest,
    normal_patient_id,
    repeats_original,
    subject_label,
)
from imaging_platform.dicom.naming import NamingField, naming_value
from imaging_platform.model.config import Section
from imaging_platform.model.ids import is_label
from imaging_platform.model.labels import LabelProblem, WantedLabels

if TYPE_CHECKING:
    from imaging_platform.deid.mapping import MappingRow
    from imaging_platform.dicom.headers import Header

_MOST_REPEATS = 3


class LabelPattern(Section):
    """A regular expression over one field of the header."""

    field: NamingField = Field(
        description="PatientID, PatientName, PatientComments, StudyDescription, "
        "StudyID or AccessionNumber."
    )
    pattern: str = Field(
        min_length=1,
        max_length=200,
        description="Python regular expression with a group named label, as "
        "'^ABC(?P<label>[0-9]{3})'; the first 128 characters of the field are "
        "searched. At most 3 open repeats (* + {2,}), none in a repeated group.",
    )

    @field_validator("pattern")
    @classmethod
    def _is_usable(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error.msg}") from None
        if "label" not in groups:
            raise ValueError("has no group (?P<label>...)")
        _refuse_endless(pattern)
        return pattern

    def find_label(self, header: Header) -> str | None:
        """Return what the pattern finds; None when it does not match."""
        match = re.search(self.pattern, naming_value(header, self.field), re.ASCII)
        return None if match is None else match["label"] or ""


class LabelSettings(Section):
    """How subjects and sessions are called, ``labels:`` in ``study.yaml``."""

    subject: LabelPattern | None = Field(
        default=None,
        description="Where the subject label stands in the header. The mapping table "
        "comes before it; without a match the label is a keyed pseudonym.",
    )
    session: LabelPattern | None = Field(
        default=None,
        description="Where the session label stands in the header. The mapping table "
        "comes before it; without a match sessions are numbered as they arrive.",
    )


@dataclass(frozen=True)
class Labels:
    """
    Everything that decides the labels of a study's sessions.

    Parameters
    ----------
    secret
        The study's secret, 32 bytes.
    settings
        The study's patterns.
    table
        The site's mapping table.
    """

    secret: bytes = field(repr=False)
    settings: LabelSettings = field(default_factory=LabelSettings)
    table: Sequence[MappingRow] = field(default=(), repr=False)

    def of_study(self, header: Header) -> WantedLabels:
        """
        Return the labels that the study of a file asks for.

        Parameters
        ----------
        header
            Of any file of the study; its patient identifier is not blank.

        Raises
        ------
        MissingKey
            The secret does not have 32 bytes.
        """
        pseudonym = subject_label(self.secret, header.patient_id)
        rows = self._rows_of.get(normal_patient_id(header.patient_id), [])
        subject = rows[0].subject if rows else _find(self.settings.subject, header)
        sessions = _sessions_in(rows, header) or {_find(self.settings.session, header)}
        session = min(sessions, key=str)
        return WantedLabels(
            patient=pseudonym,
            subject=pseudonym if subject is None else subject,
            is_chosen=subject is not None,
            session=session or "",
            problem=_find_problem(subject, sessions, header),
        )

    @property
    def version(self) -> str:
        """Keyed digest, 16 hex digits, that changes with patterns and table."""
        told = [self.settings.model_dump(mode="json"), *map(asdict, self.table)]
        text = json.dumps(told, sort_keys=True)
        return keyed_digest(self.secret, "labels", text)[:16]

    @cached_property
    def _rows_of(self) -> dict[str, list[MappingRow]]:
        rows: defaultdict[str, list[MappingRow]] = defaultdict(list)
        for row in self.table:
            rows[normal_patient_id(row.patient_id)].append(row)
        return dict(rows)


def _find(pattern: LabelPattern | None, header: Header) -> str | None:
    return pattern.find_label(header) if pattern else None


def _sessions_in(rows: Iterable[MappingRow], header: Header) -> set[str | None]:
    return {row.session for row in rows if row.session and row.names_study(header)}


def _find_problem(
    subject: str | None, sessions: set[str | None], header: Header
) -> LabelProblem | None:
    if len(sessions) > 1:
        return LabelProblem.AMBIGUOUS_SESSION
    (session,) = sessions
    if subject is not None and not is_label(subject):
        return LabelProblem.BAD_SUBJECT
    if session is not None and not is_label(session):
        return LabelProblem.BAD_SESSION
    if subject and _echoes(subject, header):
        return LabelProblem.SUBJECT_ECHOES
    study = (header.accession_number, header.study_date)
    if session and (_echoes(session, header) or repeats_original(session, study)):
        return LabelProblem.SESSION_ECHOES
    return None


def _echoes(label: str, header: Header) -> bool:
    """Return whether a label is, or holds, the patient's identifier or a name."""
    names = re.split(r"[\^=\s,]+", header.patient_name)
    # A part of the name that is a number is a code, as research scanners use them.
    telling = [name for name in names if not name.isdecimal()]
    return repeats_original(label, (header.patient_id, *telling))


def _refuse_endless(pattern: str) -> None:
    """Refuse what can take a time that grows without bound on a hostile header."""
    plain = re.sub(r"\\.", "x", pattern, flags=re.DOTALL)
    plain = re.sub(r"\[\^?\]?[^\]]*\]", "x", plain)
    plain = re.sub(r"\(\?(P<\w+>|<?[=!]|[a-zA-Z-]*:)", "(", plain)
    if re.search(r"\\[1-9]", pattern) or "(?P=" in pattern:
        raise ValueError("refers back to a group")
    if len(re.findall(r"[*+]|\{\d*,\}", plain)) > _MOST_REPEATS:
        raise ValueError(f"has more than {_MOST_REPEATS} open repeats (* + {{2,}})")
    starts: list[int] = []
    for place, sign in enumerate(plain):
        if sign == "(":
            starts.append(place)
        elif sign == ")":
            inner, after = plain[starts.pop() + 1 : place], plain[place + 1 :]
            if re.match(r"[*+{]", after) and re.search(r"[*+{|?]", inner):
                raise ValueError("repeats a group that repeats or chooses")
