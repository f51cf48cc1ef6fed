"""
A DICOM data set as a tree of elements with their bytes, written exactly.

Nothing is decoded here: a value that is kept leaves with the bytes it came with
(PS3.5 section 7, PS3.10 section 7.1).
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass, field

from imaging_platform.dicom.dictionary import find_private_vr, find_public_vr
from imaging_platform.dicom.structure import (
    EXPLICIT_BIG,
    NATIVE_SYNTAXES,
)

UNDEFINED = 0xFFFFFFFF
CHARSET, MEANING = 0x00080005, 0x00080104
"""SpecificCharacterSet and CodeMeaning."""

PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
LONG_VRS = frozenset(
    ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]
)
SHORT_VRS = frozenset(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FD",
        "FL",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "SL",
        "SS",
        "ST",
        "TM",
        "UI",
        "UL",
        "US",
    ]
)
IMPLEMENTATION_UID = "2.25.302137462874650182765403874654019283746"
"""Implementation class UID of the files that this package writes."""


@dataclass(slots=True)
class Element:
    """
    One element.

    Parameters
    ----------
    tag
        Group << 16 | element.
    vr
        Value representation as written; found in the dictionary when the file
        does not say (implicit encoding), "UN" when nobody knows.
    value
        Bytes in the order of the file; empty for a sequence. Encapsulated pixel
        data: the fragments with their item heads.
    items
        Data sets of a sequence; None for every other element.
    is_open
        Written with undefined length.
    is_wrapped
        A sequence written as UN, whose content is implicit little endian
        (PS3.5 section 6.2.2).
    """

    tag: int
    vr: str
    value: bytes = b""
    items: list[list[Element]] | None = None
    is_open: bool = False
    is_wrapped: bool = False


@dataclass(slots=True)
class DicomFile:
    """
    A file meta group and a data set.

    Parameters
    ----------
    syntax
        Transfer syntax UID as declared.
    meta, elements
        Elements in the order of the file.
    """

    syntax: str
    meta: list[Element]
    elements: list[Element]
    index: dict[int, Element] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.index = {element.tag: element for element in self.elements}

    @property
    def is_big_endian(self) -> bool:
        """Whether binary values have their first byte first."""
        return self.syntax == EXPLICIT_BIG

    @property
    def is_encapsulated(self) -> bool:
        """Whether pixel data are compressed fragments."""
        return self.syntax not in NATIVE_SYNTAXES

    def text(self, tag: int) -> str:
        """Return the ASCII text of a top-level element, stripped; empty if absent."""
        element = self.index.get(tag)
        return "" if element is None else ascii_text(element.value)

    def number(self, tag: int) -> int | None:
        """Return a top-level US or IS as a number, None if absent or not one."""
        element = self.index.get(tag)
        if element is None or not element.value:
            return None
        if element.vr in ("US", "SS", "UN", "OW") and len(element.value) >= 2:
            order = ">H" if self.is_big_endian else "<H"
            return struct.unpack_from(order, element.value)[0]
        text = ascii_text(element.value).split("\\")[0].strip()
        return int(text) if text.lstrip("+-").isdigit() else None


def ascii_text(value: bytes) -> str:
    """Return bytes as text without padding; what is not ASCII becomes U+FFFD."""
    return value.decode("ascii", errors="replace").strip("\0 ")


@functools.lru_cache(maxsize=65536)
def public_vr(tag: int) -> str:
    """Return the dictionary's value representation of a public tag, else "UN"."""
    return find_public_vr(tag).split(" or ")[0] or "UN"


@functools.lru_cache(maxsize=65536)
def private_vr(tag: int, creator: str) -> str:
    """Return pydicom's value representation of a private element, else "UN"."""
    return find_private_vr(tag, creator).split(" or ")[0] or "UN"
