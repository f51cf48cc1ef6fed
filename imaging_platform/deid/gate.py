"""
Which images may be written: decided from the header, before anything else.

Text inside the pixels cannot be seen in a header, so kinds of objects that often
have it are not released at all (PS3.15 section E.3.1, Clean Pixel Data).
"""

from __future__ import annotations

from imaging_platform.deid.header import Header
from imaging_platform.deid.settings import DeidSettings

_STORAGE = "1.2.840.10008.5.1.4.1.1."
IMAGE_KINDS = {
    f"{_STORAGE}4": "MR",
    f"{_STORAGE}4.1": "MR",
    f"{_STORAGE}4.3": "MR",
    f"{_STORAGE}4.4": "MR",
    f"{_STORAGE}2": "CT",
    f"{_STORAGE}2.1": "CT",
    f"{_STORAGE}2.2": "CT",
    f"{_STORAGE}128": "PT",
    f"{_STORAGE}128.1": "PT",
    f"{_STORAGE}130": "PT",
    f"{_STORAGE}20": "NM",
}
"""SOP class to kind of image (PS3.4 table B.5-1)."""

_OTHER_KINDS = (
    (f"{_STORAGE}7", "secondary capture"),
    (f"{_STORAGE}88", "structured report"),
    (f"{_STORAGE}11", "presentation state"),
    (f"{_STORAGE}104", "encapsulated document"),
    (f"{_STORAGE}66", "raw data or segmentation"),
    (f"{_STORAGE}4.2", "spectroscopy"),
    (f"{_STORAGE}6", "ultrasound"),
    (f"{_STORAGE}3", "ultrasound"),
)
_SCREEN_WORDS = ("SCREEN", "DOSE", "PATIENT PROTOCOL", "CAPTURE", "DISPLAY")


def kind_of(sop_class: str) -> str:
    """Return what kind of object a SOP class is, in a word for people."""
    if sop_class in IMAGE_KINDS:
        return f"{IMAGE_KINDS[sop_class]} image"
    for root, kind in _OTHER_KINDS:
        if sop_class == root or sop_class.startswith(root + "."):
            return kind
    return "another kind of object"


def sop_class_name(sop_class: str) -> str:
    """Return the dictionary's name of a SOP class, else its kind."""
    from pydicom._uid_dict import UID_dictionary

    return UID_dictionary[sop_class][0] if sop_class in UID_dictionary else "unknown"


def refuse_image(file: Header, settings: DeidSettings) -> str:
    """
    Return why the image of a file may not be written; empty when it may.

    Parameters
    ----------
    file
        Header of the original.
    settings
        The study's options.
    """
    sop_class = file.text(0x00080016)
    kind = IMAGE_KINDS.get(sop_class)
    if kind is None or kind not in settings.released_kinds:
        return f"{kind_of(sop_class)} is not released"
    if not settings.quarantine_burned_in:
        return ""
    if file.text(0x00280301).upper() == "YES":
        return "text is burned into the pixels"
    if file.text(0x00080064):
        return "a screen or scanned image (ConversionType)"
    image_type = file.text(0x00080008).upper()
    if any(word in image_type for word in _SCREEN_WORDS):
        return "a screen (ImageType)"
    if file.text(0x00080060) in ("OT", "SC", "DOC", "SR", "US"):
        return "the modality does not fit the kind of object"
    return ""


def has_known_syntax(file: Header) -> bool:
    """Return whether the transfer syntax is one of the standard's."""
    from pydicom.uid import AllTransferSyntaxes

    return file.syntax in AllTransferSyntaxes
