"""Which labels a study of a patient asks for, and why it may not have them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LabelProblem(StrEnum):
    """Why a study of a patient has no session key; it waits for a person."""

    BAD_SUBJECT = "subject label is not 1 to 32 letters and digits"
    BAD_SESSION = "session label is not 1 to 32 letters and digits"
    SUBJECT_ECHOES = "subject label repeats the patient's own id or name"
    SESSION_ECHOES = "session label repeats the patient's own id, name or study"
    AMBIGUOUS_SESSION = "several session labels of the mapping table fit the study"
    FILES_DISAGREE = "files of one study ask for different labels"
    SUBJECT_TAKEN = "subject label belongs to another patient"
    SUBJECT_CHANGED = "patient has sessions under another subject label"
    SESSION_TAKEN = "session label belongs to another study of the subject"
    SUBJECT_IMPORTED = (
        "subject label belongs to an imported subject: name the session, too, if it is "
        "the same person"
    )
    NO_CLAIM = "no study claims it by its header"
    MANY_CLAIMS = "several studies claim it by its header"
    SESSION_IMPORTED = "session label belongs to an imported session of the subject"


@dataclass(frozen=True)
class WantedLabels:
    """
    What a study of a patient should be called; pseudonymous.

    Parameters
    ----------
    patient
        Keyed pseudonym of the patient identifier; tells two patients apart and
        stays whatever they are labelled.
    subject
        BIDS subject label, without ``sub-``.
    is_chosen
        Whether the site chose the subject label (mapping table or pattern). When
        not, a patient who has sessions keeps the label that these have.
    session
        BIDS session label that the site chose, without ``ses-``; "" asks for the
        next number.
    problem
        Why these labels cannot be given; None when they can.
    """

    patient: str
    subject: str
    is_chosen: bool = False
    session: str = ""
    problem: LabelProblem | None = None
