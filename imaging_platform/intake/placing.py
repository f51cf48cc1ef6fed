"""To which session the files of each patient and study belong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from imaging_platform.dicom.headers import Header
from imaging_platform.intake.examination import Examined
from imaging_platform.intake.ledger import StudyOfSubject, place_studies
from imaging_platform.model.errors import Held


def place_sessions(
    examined: Sequence[Examined], zone: Path, label_subject: Callable[[str], str]
) -> dict[tuple[str, str], str]:
    """
    Return the session of each study of each patient that can be placed.

    Parameters
    ----------
    examined
        Files; those without header, patient id or study UID have no place.
    zone
        The study's identified zone, whose ledger numbers new sessions.
    label_subject
        Subject label of a patient identifier; a patient for whom it raises
        `Held` has no place.

    Returns
    -------
    dict
        Text of the session key by (patient id, study UID).

    Raises
    ------
    BadInput
        A label is not 1 to 32 letters and digits.
    """
    headers = [facts.header for facts in examined if facts.header]
    started = _first_moments(headers)
    labels = _label_subjects({patient_id for patient_id, _ in started}, label_subject)
    studies = {
        (patient_id, study_uid): StudyOfSubject(labels[patient_id], moment, study_uid)
        for (patient_id, study_uid), moment in started.items()
        if patient_id in labels
    }
    sessions = place_studies(zone, studies.values())
    return {
        identity: str(sessions[study.identity]) for identity, study in studies.items()
    }


def _first_moments(headers: Sequence[Header]) -> dict[tuple[str, str], str]:
    moments: dict[tuple[str, str], str] = {}
    for header in headers:
        identity = (header.patient_id, header.study_uid)
        if all(identity):
            moment = header.study_date + header.study_time
            moments[identity] = min(moment, moments.get(identity, moment))
    return moments


def _label_subjects(
    patient_ids: set[str], label_subject: Callable[[str], str]
) -> dict[str, str]:
    labels = {}
    for patient_id in sorted(patient_ids):
        try:
            labels[patient_id] = label_subject(patient_id)
        except Held:
            # Each of the patient's files is then counted as having no label.
            continue
    return labels
