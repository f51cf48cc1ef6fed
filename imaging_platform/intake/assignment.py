"""
What new studies of patients are called, beside those that are known; a pure function.

Sessions that the site names come first, then the others by date. A patient has one
subject label, and a label one patient.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imaging_platform.files.digests import digest_bytes
from imaging_platform.intake.visits import (
    Identity,
    Placed,
    find_visits,
    share_sessions,
)
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import LabelProblem, WantedLabels

Answer = SessionKey | LabelProblem


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
    scanners
        Digests of the devices that its images name.
    """

    labels: WantedLabels
    started: str
    study_uid: str
    scanners: frozenset[str] = frozenset()

    @property
    def is_named(self) -> bool:
        """Whether the site names its session."""
        return bool(self.labels.session)

    @property
    def identity(self) -> Identity:
        """Pseudonym of the patient and digest of the study UID."""
        return self.labels.patient, digest_bytes(self.study_uid.encode())


def assign_sessions(
    known: Mapping[Identity, SessionKey],
    studies: Iterable[StudyOfPatient],
    *,
    imported: Collection[SessionKey] = (),
    within_hours: float = 0,
) -> dict[Identity, Answer]:
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
    there = {identity: Placed(key) for identity, key in known.items()}
    return place(there, list(studies), imported, within_hours)[1]


def place(
    known: Mapping[Identity, Placed],
    studies: Iterable[StudyOfPatient],
    imported: Collection[SessionKey],
    within_hours: float,
) -> tuple[dict[Identity, Placed], dict[Identity, Answer]]:
    """Return the ledger as it is afterwards, and the answer for each study."""
    book = _Book.of(known, imported)
    after, problems = dict(known), dict[Identity, LabelProblem]()
    wanted = sorted(studies, key=_order)
    for study in wanted:
        one = study.identity
        before = after.get(one, Placed(None, study.started, is_fixed=study.is_named))
        after[one] = replace(
            before,
            started=before.started or study.started,
            scanners=before.scanners | study.scanners,
        )
        if before.key is None:
            key = book.place(study.labels, _beside(after, one, within_hours))
            if isinstance(key, LabelProblem):
                problems[one] = key
                del after[one]
                continue
            after[one] = replace(after[one], key=key)
        _share(after, one[0], within_hours)
    answers: dict[Identity, Answer] = {}
    for study in wanted:
        key = after[study.identity].key if study.identity in after else None
        answers[study.identity] = key or problems[study.identity]
    return after, answers


def _of_patient(
    studies: Mapping[Identity, Placed], patient: str
) -> dict[Identity, Placed]:
    return {one: placed for one, placed in studies.items() if one[0] == patient}


def _beside(
    studies: Mapping[Identity, Placed], one: Identity, within_hours: float
) -> list[SessionKey]:
    """Return the sessions of the other studies of a visit, the one to share first."""
    own = _of_patient(studies, one[0])
    shared = share_sessions(own, within_hours).get(one)
    visit = next(v for v in find_visits(own, within_hours) if one in v)
    keys = [own[other].key for other in visit]
    return [key for key in (shared, *keys) if key is not None]


def _share(studies: dict[Identity, Placed], patient: str, within_hours: float) -> None:
    own = _of_patient(studies, patient)
    for other, key in share_sessions(own, within_hours).items():
        before = studies[other]
        if before.key not in (key, None):
            former = (*before.former, before.key)
            studies[other] = replace(before, key=key, former=former)


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
    left: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(
        cls, known: Mapping[Identity, Placed], imported: Collection[SessionKey]
    ) -> _Book:
        book = cls()
        for key in imported:
            book.imported[key.subject.casefold()].add(key.session.casefold())
        for (patient, _), placed in known.items():
            # Whoever was called so by mistake leaves the label, but no number.
            book.left[patient] |= {key.session.casefold() for key in placed.former}
            if placed.key is not None:
                book.add(patient, placed.key)
        return book

    def add(self, patient: str, key: SessionKey) -> None:
        self.subjects[patient] = key.subject
        self.owners[key.subject.casefold()] = patient
        self.sessions[patient].add(key.session.casefold())

    def place(self, labels: WantedLabels, beside: Sequence[SessionKey]) -> Answer:
        """Return the session of a new study; `beside` are those of its visit."""
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
        if beside and not labels.session:
            return beside[0]
        for own in beside:
            if own.session.casefold() == labels.session.casefold():
                return own
        used, left = self.sessions[labels.patient], self.left[labels.patient]
        if labels.session.casefold() in used:
            return LabelProblem.SESSION_TAKEN
        key = SessionKey(
            subject, labels.session or _next_number(used | imported | left)
        )
        self.add(labels.patient, key)
        return key


def _next_number(used: set[str]) -> str:
    numbers = (int(label) for label in used if label.isdecimal())
    return str(1 + max(numbers, default=0))


def _order(study: StudyOfPatient) -> tuple[bool, str, str, str]:
    labels = study.labels
    return not labels.session, labels.subject, study.started, study.study_uid
