"""
Which studies of a subject are one visit: one scanner, begun within some hours.

A scanner that is restarted, or a technician who registers the subject again, splits
a visit into studies. What is one visit follows from the studies alone, never from
the order in which they came.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from imaging_platform.model.ids import SessionKey

Identity = tuple[str, str]
"""Keyed pseudonym of a patient, and digest of a study UID."""

_SHORTEST_MOMENT = len("2026010209")


@dataclass(frozen=True, repr=False)
class Placed:
    """
    A study and its session.

    Parameters
    ----------
    key
        The session; None before it has one.
    started
        StudyDate and StudyTime as DICOM text.
    scanners
        Digests of the devices that its images name.
    is_fixed
        Whether the site or a person named the session: the rule moves others to it
        and never the study itself.
    former
        Sessions that it was in before.
    """

    key: SessionKey | None
    started: str = ""
    scanners: frozenset[str] = frozenset()
    is_fixed: bool = False
    former: tuple[SessionKey, ...] = ()


def find_visits(
    studies: Mapping[Identity, Placed], within_hours: float
) -> list[list[Identity]]:
    """
    Return the studies that are one visit, those without such neighbours alone.

    Two studies of a patient are one visit when one device made images of both and
    they began within so many hours; so are those that a third study links. A study
    that does not say when it began, or which device made it, is linked to none.

    Parameters
    ----------
    studies
        By pseudonym of the patient and digest of the study UID.
    within_hours
        0 links nothing.
    """
    visits: list[list[Identity]] = []
    for one in studies:
        linked = [v for v in visits if _is_linked_to_any(studies, one, v, within_hours)]
        visits = [visit for visit in visits if visit not in linked]
        visits.append([*itertools.chain.from_iterable(linked), one])
    return visits


def share_sessions(
    studies: Mapping[Identity, Placed], within_hours: float
) -> dict[Identity, SessionKey]:
    """
    Return the session of each study that is one visit with another, by the rule.

    Studies whose session is named keep it, and others go to the nearest of them in
    time. Where none is named, all have the session that was given first.

    Parameters
    ----------
    studies
        In the order in which they got their sessions.
    within_hours
        See `find_visits`.
    """
    shared: dict[Identity, SessionKey] = {}
    for visit in find_visits(studies, within_hours):
        has_key = [one for one in studies if one in visit and studies[one].key]
        named = [one for one in has_key if studies[one].is_fixed]
        for one in visit if has_key else ():
            owner = _nearest(studies, one, named) if named else has_key[0]
            key = studies[owner].key
            if key and not studies[one].is_fixed:
                shared[one] = key
    return shared


def _nearest(
    studies: Mapping[Identity, Placed], one: Identity, named: list[Identity]
) -> Identity:
    """Return the named study that began nearest, the earlier of two; then by digest."""
    began_s = _moment_s(studies[one].started) or 0.0

    def distance(other: Identity) -> tuple[float, float, str]:
        moment_s = _moment_s(studies[other].started) or 0.0
        return abs(moment_s - began_s), moment_s, other[1]

    return min(named, key=distance)


def _is_linked_to_any(
    studies: Mapping[Identity, Placed],
    one: Identity,
    visit: list[Identity],
    within_hours: float,
) -> bool:
    began_s = _moment_s(studies[one].started)
    if not within_hours or began_s is None:
        return False
    for other in visit:
        is_near = one[0] == other[0] and studies[one].scanners & studies[other].scanners
        other_s = _moment_s(studies[other].started) if is_near else None
        if other_s is not None and abs(other_s - began_s) <= within_hours * 3600:
            return True
    return False


def _moment_s(text: str) -> float | None:
    """Return DICOM date and time (PS3.5 section 6.2, DA and TM) in seconds."""
    digits = text.partition(".")[0]
    if len(digits) < _SHORTEST_MOMENT:
        return None
    try:
        moment = datetime.strptime(f"{digits:0<14}+0000", "%Y%m%d%H%M%S%z")
    except ValueError:
        return None
    return moment.timestamp()
