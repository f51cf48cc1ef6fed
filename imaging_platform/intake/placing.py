"""To which session the files of each patient and study belong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imaging_platform.dicom.headers import Header
from imaging_platform.files.digests import digest_bytes
from imaging_platform.intake.assignment import StudyOfPatient
from imaging_platform.intake.examination import Examined
from imaging_platform.intake.ledger import place_studies
from imaging_platform.intake.routing import Router
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import LabelProblem, WantedLabels

LabelStudy = Callable[[Header], WantedLabels]
"""Labels that a study asks for, from the header of any of its files."""


@dataclass(frozen=True)
class Elsewhere:
    """
    The place of files that belong to another study.

    Parameters
    ----------
    study
        Its name.
    """

    study: str


Place = SessionKey | LabelProblem | Elsewhere

LABEL_FIELDS = (
    "patient_id",
    "patient_name",
    "patient_comments",
    "study_uid",
    "study_date",
    "study_description",
    "study_id",
    "accession_number",
)
"""Facts of a header that may decide a label; files that agree in them ask once."""


def place_sessions(
    examined: Sequence[Examined],
    zone: Path,
    label_study: LabelStudy,
    *,
    imported: Collection[SessionKey] = (),
    within_hours: float = 0,
    router: Router | None = None,
) -> dict[tuple[str, str], Place]:
    """
    Return the session of each study of each patient, or why it has none.

    Parameters
    ----------
    examined
        Files; those without header, patient id or study UID have no place.
    zone
        The study's identified zone, whose ledger numbers new sessions.
    label_study
        Labels that a study asks for.
    imported
        Sessions that came from an existing dataset.
    within_hours
        See `place_studies`.
    router
        Says which study each belongs to; None: all belong to this one.

    Returns
    -------
    dict
        Session key, problem or other study, by (patient id, study UID).

    Raises
    ------
    BadInput
        A label is not 1 to 32 letters and digits.
    """
    headers = [facts.header for facts in examined if facts.header]
    routes = router.route_all(headers) if router else {}
    elsewhere: dict[tuple[str, str], Place] = {
        named: route if isinstance(route, LabelProblem) else Elsewhere(route)
        for named, route in routes.items()
        if router and route != router.own
    }
    ours = [h for h in headers if (h.patient_id, h.study_uid) not in elsewhere]
    studies = studies_of(ours, label_study)
    sessions = place_studies(
        zone, studies.values(), imported=imported, within_hours=within_hours
    )
    here = {named: sessions[study.identity] for named, study in studies.items()}
    return {**elsewhere, **here}


def studies_of(
    headers: Iterable[Header], label_study: LabelStudy
) -> dict[tuple[str, str], StudyOfPatient]:
    """
    Return each study of each patient, by (patient id, study UID).

    Headers without patient id or study UID are passed over. Files of one study
    that ask for different labels make it a problem.
    """
    moments: dict[tuple[str, str], str] = {}
    scanners: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    asked: dict[tuple[str, str], dict[tuple[str, ...], Header]] = {}
    for header in headers:
        if not header.has_patient or not header.study_uid:
            continue
        named = (header.patient_id, header.study_uid)
        moment = header.study_date + header.study_time
        # A time is worth more than none, which would sort before it.
        moments[named] = min(
            moment, moments.get(named, moment), key=lambda m: (len(m) <= 8, m)
        )
        scanners[named] |= _scanner_of(header)
        facts = tuple(getattr(header, name) for name in LABEL_FIELDS)
        asked.setdefault(named, {}).setdefault(facts, header)
    return {
        named: StudyOfPatient(
            _agreed({label_study(header) for header in different.values()}),
            moments[named],
            named[1],
            frozenset(scanners[named]),
        )
        for named, different in sorted(asked.items())
    }


def _scanner_of(header: Header) -> set[str]:
    """Return what tells the device of an image from others; nothing when unknown."""
    device = header.device_serial or header.station_name
    if not header.has_pixels or not device:
        return set()
    made = (header.manufacturer, header.manufacturer_model, device)
    return {digest_bytes("\0".join(made).encode())[:16]}


def _agreed(labels: set[WantedLabels]) -> WantedLabels:
    first = min(labels, key=lambda each: (each.subject, each.session, str(each)))
    if len(labels) == 1:
        return first
    return replace(first, problem=LabelProblem.FILES_DISAGREE)
