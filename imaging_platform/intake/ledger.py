"""
Which study of which patient is which session: a list that only grows.

A session that the site did not name is numbered: sessions of a subject count up in
the order in which they arrive. A label, once given, stays, so a session keeps its
key whatever arrives, or is decided, later.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.files.digests import digest_bytes
from imaging_platform.files.writing import write_json
from imaging_platform.intake.zone import imported_path, ledger_path, locked
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import LabelProblem, WantedLabels

Identity = tuple[str, str]
"""Keyed pseudonym of a patient, and digest of a study UID."""


@dataclass(frozen=True, repr=False)
class StudyOfPatient:
    """
    One study of one patient, to be placed.

    Parameters
    ----------
    labels
        What it should be called.
    started
        Date and time of the study as DICOM text; new studies that arrive
        together are numbered in this order.
    study_uid
        StudyInstanceUID.
    """

    labels: WantedLabels
    started: str
    study_uid: str

    @property
    def identity(self) -> Identity:
        """Pseudonym of the patient and digest of the study UID."""
        return self.labels.patient, digest_bytes(self.study_uid.encode())


def place_studies(
    zone: Path,
    studies: Iterable[StudyOfPatient],
    *,
    imported: Collection[SessionKey] = (),
) -> dict[Identity, SessionKey | LabelProblem]:
    """
    Return the session of each study, writing down the new ones.

    Safe against other processes (the ledger is locked) and against a kill (a
    line that was not finished is taken back by the next writer).

    Parameters
    ----------
    zone
        The study's identified zone.
    studies
        Studies to place, each once or more.
    imported
        Sessions that came from an existing dataset (`read_imported`).

    Returns
    -------
    dict
        Session key, or why there is none, by `StudyOfPatient.identity`.
    """
    wanted = list(studies)
    known = read_ledger(zone)
    placed = assign_sessions(known, wanted, imported=imported)
    if not _new_keys(known, placed):
        return placed
    with locked(ledger_path(zone)) as handle:
        known = _take_back_torn_line(handle)
        placed = assign_sessions(known, wanted, imported=imported)
        _append(handle, _new_keys(known, placed))
    return placed


def move_studies(zone: Path, placed: Mapping[Identity, SessionKey]) -> None:
    """
    Write down that a person gave studies other sessions; twice is once.

    A later line of the ledger stands for the earlier: files of these studies that
    come later go to the new session, too.
    """
    with locked(ledger_path(zone)) as handle:
        known = _take_back_torn_line(handle)
        changed = {
            study: key for study, key in placed.items() if known.get(study) != key
        }
        _append(handle, changed)


def _append(handle: int, placed: Mapping[Identity, SessionKey]) -> None:
    lines = [
        json.dumps(
            {"session": str(key), "study": study, "patient": patient}, sort_keys=True
        )
        for (patient, study), key in placed.items()
    ]
    os.lseek(handle, 0, os.SEEK_END)
    _write_all(handle, "".join(f"{line}\n" for line in lines).encode())
    os.fsync(handle)


def assign_sessions(
    known: Mapping[Identity, SessionKey],
    studies: Iterable[StudyOfPatient],
    *,
    imported: Collection[SessionKey] = (),
) -> dict[Identity, SessionKey | LabelProblem]:
    """
    Return the session of each study beside those that are known; nothing is written.

    A known study keeps its key, whatever it asks for now. A patient has one
    subject label, and a label one patient; labels that differ only in case are the
    same. Sessions that the site names come first, then the others by date. Nobody
    knows who an imported subject is: a patient gets the same label only when the
    site names the session, too.

    Raises
    ------
    BadInput
        A label is not 1 to 32 letters and digits.
    """
    book = _Book()
    for key in imported:
        book.imported[key.subject.casefold()].add(key.session.casefold())
    for (patient, _), key in known.items():
        book.add(patient, key)
    placed: dict[Identity, SessionKey | LabelProblem] = {}
    for study in sorted(studies, key=_order):
        if study.identity in known:
            placed[study.identity] = known[study.identity]
        elif study.identity not in placed:
            placed[study.identity] = book.place(study.labels)
    return placed


def read_ledger(zone: Path) -> dict[Identity, SessionKey]:
    """
    Return the session key of each placed study.

    A last line that is still being written is not read.
    """
    path = ledger_path(zone)
    return _parse(path.read_bytes()) if path.exists() else {}


def note_imported(zone: Path, key: SessionKey) -> None:
    """Write down that a session came from an existing dataset; twice is once."""
    path = imported_path(zone)
    with locked(path.with_suffix(".lock")):
        keys = {str(each) for each in read_imported(zone)} | {str(key)}
        write_json(path, sorted(keys), mode=0o640)


def read_imported(zone: Path) -> frozenset[SessionKey]:
    """Return the sessions that ever came from an existing dataset."""
    path = imported_path(zone)
    texts = json.loads(path.read_text()) if path.exists() else []
    return frozenset(map(SessionKey.parse, texts))


def subjects_of_patients(zone: Path) -> dict[str, str]:
    """Return the subject label of each patient with a session, by pseudonym."""
    return {patient: key.subject for (patient, _), key in read_ledger(zone).items()}


@dataclass
class _Book:
    """Who has which labels so far."""

    subjects: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    sessions: defaultdict[str, set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )
    imported: defaultdict[str, set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )

    def add(self, patient: str, key: SessionKey) -> None:
        self.subjects[patient] = key.subject
        self.owners[key.subject.casefold()] = patient
        self.sessions[patient].add(key.session.casefold())

    def place(self, labels: WantedLabels) -> SessionKey | LabelProblem:
        if labels.problem:
            return labels.problem
        subject = self.subjects.get(labels.patient, labels.subject)
        if labels.is_chosen and subject != labels.subject:
            return LabelProblem.SUBJECT_CHANGED
        if self.owners.get(subject.casefold(), labels.patient) != labels.patient:
            return LabelProblem.SUBJECT_TAKEN
        is_new = labels.patient not in self.subjects
        imported = self.imported[subject.casefold()]
        if imported and is_new and not labels.session:
            return LabelProblem.SUBJECT_IMPORTED
        if labels.session.casefold() in imported:
            return LabelProblem.SESSION_IMPORTED
        used = self.sessions[labels.patient]
        if labels.session.casefold() in used:
            return LabelProblem.SESSION_TAKEN
        key = SessionKey(subject, labels.session or _next_number(used | imported))
        self.add(labels.patient, key)
        return key


def _next_number(used: set[str]) -> str:
    numbers = (int(label) for label in used if label.isdecimal())
    return str(1 + max(numbers, default=0))


def _order(study: StudyOfPatient) -> tuple[bool, str, str, str]:
    labels = study.labels
    return not labels.session, labels.subject, study.started, study.study_uid


def _new_keys(
    known: Mapping[Identity, SessionKey],
    placed: Mapping[Identity, SessionKey | LabelProblem],
) -> dict[Identity, SessionKey]:
    return {
        identity: key
        for identity, key in placed.items()
        if isinstance(key, SessionKey) and identity not in known
    }


def _parse(data: bytes) -> dict[Identity, SessionKey]:
    whole = data[: data.rfind(b"\n") + 1]
    known = {}
    for line in whole.splitlines():
        entry = json.loads(line)
        key = SessionKey.parse(entry["session"])
        # Lines of the first version: every label was the patient's pseudonym.
        known[entry.get("patient", key.subject), entry["study"]] = key
    return known


def _take_back_torn_line(handle: int) -> dict[Identity, SessionKey]:
    data = os.pread(handle, os.fstat(handle).st_size, 0)
    os.ftruncate(handle, data.rfind(b"\n") + 1)
    return _parse(data)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
