"""Which UIDs are the standard's own, and what looks like a UID in a text."""

from __future__ import annotations

import functools
import re

from imaging_platform.dicom.dictionary import uid_entries

WELL_KNOWN_UIDS = "1.2.840.10008."
"""Root of the UIDs that the standard itself gives out (PS3.6 annex A)."""

_CONTEXT_GROUP = re.compile(r"1\.2\.840\.10008\.6\.1\.[1-9]\d{0,3}")

UID_LIKE = re.compile(r"\d+(?:\.\d+){4,}")
"""Stands for a whole UID: sessions have tens of thousands, too many for a pattern."""

# In each UID, and found much faster since it begins with a point.
_POINTS = re.compile(r"\.\d+\.\d+\.\d+\.\d")


def is_personal(uid: str) -> bool:
    """
    Return whether a UID is not one of the standard's own (PS3.6 annex A).

    What only begins like one may be anything.
    """
    if not uid.startswith(WELL_KNOWN_UIDS):
        return bool(uid)
    return uid not in _standard_uids() and not _CONTEXT_GROUP.fullmatch(uid)


def uids_in(text: str) -> list[str]:
    """Return what looks like a UID in a text."""
    return UID_LIKE.findall(text) if _POINTS.search(text) else []


@functools.cache
def _standard_uids() -> frozenset[str]:
    return frozenset(uid_entries())
