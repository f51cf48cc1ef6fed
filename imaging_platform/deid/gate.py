"""
Which images may be written: decided from the header, before anything else.

Text inside the pixels cannot be seen in a header, so kinds of objects that often
have it are not released at all (PS3.15 section E.3.1, Clean Pixel Data). What the
gate does not know stays behind it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from imaging_platform.deid.mask_recipes import (
    Header,
    MaskRecipe,
    check_numbers,
    conditions_of,
)
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.dicom.dictionary import uid_entries
from imaging_platform.dicom.structure import NATIVE_SYNTAXES

_STANDARD = "1.2.840.10008."
_STORAGE = f"{_STANDARD}5.1.4.1.1."
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

# The first root that fits decides, so a longer one stands before its beginning.
_OTHER_KINDS = (
    ("7", "secondary capture"),
    ("88", "structured report"),
    ("11", "presentation state"),
    ("104", "encapsulated document"),
    ("66.4", "segmentation"),
    ("66.5", "segmentation"),
    ("66.7", "segmentation"),
    ("66", "raw data"),
    ("4.2", "spectroscopy"),
    ("6", "ultrasound"),
    ("3", "ultrasound"),
    ("1", "X-ray image"),
    ("12", "X-ray image"),
    ("13", "X-ray image"),
    ("9", "waveform"),
    ("77", "photograph"),
    ("481", "radiotherapy object"),
    ("30", "parametric map"),
)
_OFTEN_WRITTEN_ON = frozenset(
    {"secondary capture", "ultrasound", "X-ray image", "photograph"}
)
"""Images that often carry text: a mask or a person may let them pass."""

_CLEANED_BY = {"structured report": "113104", "presentation state": "113103"}
"""No images: a person may let them pass where this option cleans their content."""

WITHOUT_PIXELS = frozenset(_CLEANED_BY)
"""Kinds that can be released and have no pixel data."""

_OWN_MODALITIES = {
    "MR": ("", "MR"),
    "CT": ("", "CT"),
    "PT": ("", "PT"),
    "NM": ("", "NM"),
}
_SCREEN = re.compile(
    r"SCREEN|DOSE|PATIENT PROTOCOL|CAPTURE|DISPLAY|REPORT|PHOTO|FILMING|ANNOTAT"
    r"|FUSED|(?<![A-Z])(?:PROT|MONTAGE|PRINT|GRAPH|TABLE|RESULT TABLE)(?![A-Z])"
)
# Scanners colour these maps themselves; no one writes on them.
_COLOUR_MAP = re.compile(r"(?<![A-Z])(?:DIFFUSION|TENSOR|FA|PERFUSION|ASL)(?![A-Z])")


@dataclass(frozen=True, order=True)
class GateFacts:
    """
    What the gate knows of a file; words of this module and numbers, no free text.

    Parameters
    ----------
    kind
        Kind of object: a key of `DeidSettings.released_kinds`, or in words.
    burned_in
        BurnedInAnnotation (0028,0301): "YES", "NO", or "" for all else.
    is_converted
        ConversionType (0008,0064) says that it was a screen or film.
    is_screen
        A word of ImageType (0008,0008) names a screen.
    is_misfit
        Modality (0008,0060) is another than the kind of object has.
    is_colour
        Coloured, and no map that scanners colour.
    has_spare_bits
        An overlay is stored in bits of the pixels (PS3.5 section 8.1.2, retired).
    is_known_syntax, is_encapsulated
        Transfer syntax: of the standard; compressed.
    marks
        What mask recipes can ask for, as `mask_recipes.check_numbers`.
    """

    kind: str
    burned_in: str = ""
    is_converted: bool = False
    is_screen: bool = False
    is_misfit: bool = False
    is_colour: bool = False
    has_spare_bits: bool = False
    is_known_syntax: bool = True
    is_encapsulated: bool = False
    marks: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as plain values, for JSON."""
        return {**asdict(self), "marks": list(self.marks)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GateFacts:
        """Return the facts that `as_dict` gave."""
        return cls(**{**values, "marks": tuple(values["marks"])})


def gate_facts(header: Header) -> GateFacts:
    """
    Return what the gate must know of a file.

    Parameters
    ----------
    header
        Elements before the pixel data.
    """
    kind = short_kind_of(header.text(0x00080016))
    image_type = header.text(0x00080008).upper()
    modality = header.text(0x00080060).upper()
    return GateFacts(
        kind=kind,
        burned_in=_yes_or_no(header.text(0x00280301)),
        is_converted=bool(header.text(0x00080064)),
        is_screen=_SCREEN.search(image_type) is not None,
        is_misfit=modality not in _OWN_MODALITIES.get(kind, (modality,)),
        is_colour=_is_coloured(header) and not _COLOUR_MAP.search(image_type),
        has_spare_bits=_has_spare_bits(header),
        is_known_syntax=is_known_syntax(header.syntax),
        is_encapsulated=header.is_encapsulated,
        marks=check_numbers(conditions_of(header)),
    )


def judge(
    facts: GateFacts, settings: DeidSettings, *, is_released: bool = False
) -> str:
    """
    Return why a file may not be written; empty when it may.

    Parameters
    ----------
    facts
        See `gate_facts`.
    settings
        The study's options.
    is_released
        A person has released its series; what is no image stays unless an option
        cleans its content, and what cannot be read stays.
    """
    if not facts.is_known_syntax:
        return "unknown transfer syntax"
    if facts.has_spare_bits:
        return "an overlay in bits of the pixels"
    if is_released and may_be_released(facts, settings):
        return ""
    if facts.kind not in IMAGE_KINDS.values():
        if facts.kind not in _OFTEN_WRITTEN_ON:
            return f"{facts.kind} is not released"
        return _unless_masked(f"{facts.kind} is not released", facts, settings)
    if facts.kind not in settings.released_kinds:
        return f"{facts.kind} image is not released"
    doubt = _doubt(facts) if settings.quarantine_burned_in else ""
    return _unless_masked(doubt, facts, settings)


def may_be_released(facts: GateFacts, settings: DeidSettings) -> bool:
    """Return whether a person may let such a file pass, once it was looked at."""
    if facts.kind in IMAGE_KINDS.values() or facts.kind in _OFTEN_WRITTEN_ON:
        return True
    code = _CLEANED_BY.get(facts.kind)
    if code is None:
        return False
    from imaging_platform.deid.policy import deid_codes

    return any(code == one for one, _ in deid_codes(settings))


def needs_mask(facts: GateFacts, settings: DeidSettings) -> bool:
    """Return whether such a file is written, and with rectangles that are black."""
    return mask_for(facts, settings) is not None and not judge(facts, settings)


def mask_for(facts: GateFacts, settings: DeidSettings) -> MaskRecipe | None:
    """
    Return the first recipe that fits these facts, if any.

    `masking.find_mask` compares the words themselves; this is for asking later,
    when there is no file at hand.
    """
    marks = frozenset(facts.marks)
    for recipe in settings.masks:
        if marks.issuperset(check_numbers(recipe.match.conditions())):
            return recipe
    return None


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
    return judge(gate_facts(file), settings)


def kind_of(sop_class: str) -> str:
    """Return what kind of object a SOP class is, in a word for people."""
    kind = short_kind_of(sop_class)
    return f"{kind} image" if sop_class in IMAGE_KINDS else kind


@functools.lru_cache(maxsize=1024)
def short_kind_of(sop_class: str) -> str:
    """Return the kind of object as `GateFacts` has it."""
    if sop_class in IMAGE_KINDS:
        return IMAGE_KINDS[sop_class]
    if sop_class and not sop_class.startswith(_STANDARD):
        return "private kind of object"
    for root, kind in _OTHER_KINDS:
        if f"{sop_class}.".startswith(f"{_STORAGE}{root}."):
            return kind
    return "another kind of object"


def sop_class_name(sop_class: str) -> str:
    """Return the dictionary's name of a SOP class, else "unknown"."""
    entry = uid_entries().get(sop_class)
    return entry[0] if entry else "unknown"


def _doubt(facts: GateFacts) -> str:
    if facts.burned_in == "YES":
        return "text is burned into the pixels"
    if facts.is_converted:
        return "a screen or scanned image (ConversionType)"
    if facts.is_screen:
        return "a screen (ImageType)"
    if facts.is_misfit:
        return "the modality does not fit the kind of object"
    if facts.is_colour and facts.burned_in != "NO":
        return "a coloured image, as screens are"
    return ""


def _unless_masked(reason: str, facts: GateFacts, settings: DeidSettings) -> str:
    """Return nothing when a recipe blackens what the reason is about."""
    recipe = mask_for(facts, settings)
    if recipe is None:
        return reason
    if facts.is_encapsulated:
        return f"mask {recipe.name} is for it, but its pixels are compressed"
    return ""


def _is_coloured(header: Header) -> bool:
    photometric = header.text(0x00280004).upper()
    presentation = header.text(0x00089205).upper()
    return (
        not (photometric or "MONOCHROME").startswith("MONOCHROME")
        or (header.number(0x00280002) or 1) > 1
        or presentation in ("COLOR", "MIXED", "TRUE_COLOR")
    )


def _has_spare_bits(header: Header) -> bool:
    """Return whether an overlay has a place among the bits of the pixels."""
    return any(
        header.number(group << 16 | 0x0102) for group in range(0x6000, 0x6020, 2)
    )


def _yes_or_no(text: str) -> str:
    folded = text.upper()
    return folded if folded in ("YES", "NO") else ""


@functools.lru_cache(maxsize=1024)
def is_known_syntax(syntax: str) -> bool:
    """Return whether a UID is a transfer syntax of the standard."""
    if syntax in NATIVE_SYNTAXES:
        return True
    from pydicom.uid import AllTransferSyntaxes

    return syntax in AllTransferSyntaxes
