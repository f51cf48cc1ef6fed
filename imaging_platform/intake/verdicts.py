"""Which verdict each file of an arrival is given, and which session it belongs to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imaging_platform.dicom.structure import Reason
from imaging_platform.intake.claims import FoundFile
from imaging_platform.intake.companions import (
    NO_SESSION,
    UNKNOWN_SESSION,
    Companion,
    NameCompanion,
    came_since,
    choose_session,
)
from imaging_platform.intake.examination import Examined
from imaging_platform.intake.index import IndexRow
from imaging_platform.intake.placing import Elsewhere, Place
from imaging_platform.intake.receipt import ReceiptLine, Verdict
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import LabelProblem

NO_PATIENT_ID = "no patient id"
NO_STUDY_UID = "no study uid"
SEEN_BEFORE = "same content as an earlier file"
PLACED_LATER = "placed after it had waited"
NEED_A_PERSON = frozenset(
    {
        NO_PATIENT_ID,
        NO_STUDY_UID,
        NO_SESSION,
        UNKNOWN_SESSION,
        *map(str, LabelProblem),
    }
)
"""Reasons of files that would be used if somebody said whose they are."""


@dataclass
class Judge:
    """
    Gives the files of one arrival their verdicts, one after the other.

    Parameters
    ----------
    number
        Of the arrival, from 1.
    places
        Session, problem or other study, by (patient id, study UID).
    known
        All sessions of the study.
    name_companion
        Tells files that can be attached to a session from others that are no DICOM.
    rows, companions, lines
        What is added to index, list of companions, and receipt.
    """

    number: int
    places: Mapping[tuple[str, str], Place]
    known: Collection[SessionKey]
    name_companion: NameCompanion
    rows: list[IndexRow] = field(default_factory=list)
    companions: list[Companion] = field(default_factory=list)
    lines: list[ReceiptLine] = field(default_factory=list)
    _seen: set[tuple[str, ...]] = field(default_factory=set)

    def remember(
        self, lines: Sequence[ReceiptLine], companions: Sequence[Companion]
    ) -> None:
        """Take what came before for seen; the same again is a duplicate."""
        self._seen |= {
            (line.sha256, line.verdict, line.reason.replace(PLACED_LATER, ""))
            for line in lines
            if line.sha256
        }
        self._seen |= {_identity(row) for row in companions}

    def judge(self, file: FoundFile, facts: Examined | None) -> None:
        """Give a file its verdict."""
        if companion := self._as_companion(file, facts):
            verdict, reason = self._verdict_of_companion(companion)
            seen = _identity(companion)
        else:
            verdict, reason = _verdict_of(file, facts, self.places)
            seen = (facts.sha256, verdict, reason) if facts else ("",)
        sha256, n_bytes = (facts.sha256, facts.n_bytes) if facts else ("", 0)
        if seen in self._seen:
            verdict, reason = Verdict.DUPLICATE, SEEN_BEFORE
        elif sha256:
            self._seen.add(seen)
            if companion:
                self.companions.append(companion)
        self.lines.append(
            ReceiptLine(self.number, file.name, sha256, n_bytes, verdict, reason)
        )
        if verdict is Verdict.ACCEPTED and facts and facts.header:
            key = str(self.places[facts.header.patient_id, facts.header.study_uid])
            self.rows.append(IndexRow(self.number, sha256, n_bytes, key, facts.header))

    def _as_companion(
        self, file: FoundFile, facts: Examined | None
    ) -> Companion | None:
        if file.reason or facts is None or facts.reason != Reason.NOT_DICOM:
            return None
        named = self.name_companion(file.name)
        if named is None:
            return None
        here = [key for key in self.places.values() if isinstance(key, SessionKey)]
        if len(here) < len(self.places):
            here = []  # It might belong to those that wait for a label.
        key = choose_session(named, here=here, known=self.known)
        return Companion(self.number, facts.sha256, file.name, key)

    def _verdict_of_companion(self, companion: Companion) -> tuple[Verdict, str]:
        if not companion.session_key:
            return Verdict.QUARANTINED, NO_SESSION
        if SessionKey.parse(companion.session_key) not in self.known:
            return Verdict.QUARANTINED, UNKNOWN_SESSION
        return Verdict.ATTACHED, ""


def settle(
    lines: Sequence[ReceiptLine],
    companions: Sequence[Companion],
    known: Collection[SessionKey],
) -> list[ReceiptLine]:
    """Return lines in which what waited for its session is attached once that came."""
    came = came_since(companions, known)
    return [
        replace(line, verdict=Verdict.ATTACHED, reason="")
        if line.reason == UNKNOWN_SESSION and line.sha256 in came
        else line
        for line in lines
    ]


def _identity(companion: Companion) -> tuple[str, ...]:
    """Return what makes a second one a duplicate: runs may have equal events."""
    name = companion.name.rpartition("/")[2]
    return (companion.sha256, companion.session_key, name, "companion")


def _verdict_of(
    file: FoundFile,
    facts: Examined | None,
    places: Mapping[tuple[str, str], Place],
) -> tuple[Verdict, str]:
    if file.is_litter:
        return Verdict.IGNORED, file.reason
    if file.reason or facts is None:
        return Verdict.QUARANTINED, file.reason
    if facts.header is None:
        is_directory = facts.reason == Reason.DIRECTORY
        return Verdict.IGNORED if is_directory else Verdict.QUARANTINED, facts.reason
    place = places.get((facts.header.patient_id, facts.header.study_uid))
    if isinstance(place, Elsewhere):
        return Verdict.ROUTED, f"belongs to study {place.study}"
    if not facts.header.has_patient:
        return Verdict.QUARANTINED, NO_PATIENT_ID
    if not facts.header.study_uid:
        return Verdict.QUARANTINED, NO_STUDY_UID
    if isinstance(place, LabelProblem):
        return Verdict.QUARANTINED, str(place)
    return Verdict.ACCEPTED, ""
