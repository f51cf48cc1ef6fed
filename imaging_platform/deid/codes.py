"""Codes and words for what a policy does (PS3.15 section E.1.1, PS3.16 CID 7050)."""

from __future__ import annotations

from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import table_edition

ENGINE_VERSION = "2"
"""Raised with every change of code that can change an output."""

_MEANINGS = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113103": "Clean Graphics Option",
    "113104": "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
    "113110": "Retain UIDs Option",
    "113111": "Retain Safe Private Option",
    "113112": "Retain Institution Identity Option",
}
_TEMPORAL = {"modified": "MODIFIED", "full": "UNMODIFIED", "remove": "REMOVED"}


def deid_codes(
    settings: DeidSettings, *, is_masked: bool = False
) -> tuple[tuple[str, str], ...]:
    """
    Return codes and meanings of what was done (PS3.16 CID 7050), by code.

    Parameters
    ----------
    settings
        The study's options.
    is_masked
        Text was blackened in the pixels of this file (113101).
    """
    done = {
        "113100": True,
        "113101": is_masked,
        "113103": settings.graphics == "clean",
        "113104": settings.structured_content == "clean",
        "113105": settings.descriptors == "clean",
        "113106": settings.dates == "full",
        "113107": settings.dates == "modified",
        "113108": bool(settings.characteristics),
        "113109": settings.device == "retain",
        "113110": settings.uids == "retain",
        "113111": settings.private == "safe",
        "113112": settings.institution == "retain",
    }
    return tuple((code, _MEANINGS[code]) for code, is_done in done.items() if is_done)


def method_text() -> str:
    """
    Return DeidentificationMethod (0012,0063): engine and edition.

    Not the whole policy: what does not concern a session leaves its bytes alone.
    """
    return f"imaging_platform {ENGINE_VERSION}, PS3.15 {table_edition()}"


def temporal_information(settings: DeidSettings) -> str:
    """Return LongitudinalTemporalInformationModified (0028,0303)."""
    return _TEMPORAL[settings.dates]
