"""The fields of a header in which sites write whose a scan is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from imaging_platform.dicom.headers import Header

NamingField = Literal[
    "PatientID",
    "PatientName",
    "PatientComments",
    "StudyDescription",
    "StudyID",
    "AccessionNumber",
]

SEARCHED_CHARACTERS = 128
"""How much of a field patterns look at."""

_ATTRIBUTES: dict[NamingField, str] = {
    "PatientID": "patient_id",
    "PatientName": "patient_name",
    "PatientComments": "patient_comments",
    "StudyDescription": "study_description",
    "StudyID": "study_id",
    "AccessionNumber": "accession_number",
}


def naming_value(header: Header, field: NamingField) -> str:
    """Return the beginning of a field, as much as patterns look at."""
    return getattr(header, _ATTRIBUTES[field])[:SEARCHED_CHARACTERS]
