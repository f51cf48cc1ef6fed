"""
A DICOM data set as a tree of elements with their bytes, written exactly.

Nothing is decoded here: a value that is kept leaves with the bytes it came with
(PS3.5 section 7, PS3.10 section 7.1).
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass, field

from imaging_platform.dicom.structure import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    NATIVE_SYNTAXES,
)

UNDEFINED = 0xFFFFFFFF
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


def write_file(file: DicomFile, *, sop_class: str, sop_instance: str) -> bytes:
    """
    Return the bytes of a file with a fresh meta group and an empty preamble.

    Parameters
    ----------
    file
        Its `elements` are written in the order of their tags, its `meta` not at all.
    sop_class, sop_instance
        What the meta group says; they equal the data set's.
    """
    meta = [
        _encode_explicit(Element(0x00020001, "OB", b"\0\1"), "<"),
        _encode_explicit(_uid(0x00020002, sop_class), "<"),
        _encode_explicit(_uid(0x00020003, sop_instance), "<"),
        _encode_explicit(_uid(0x00020010, file.syntax), "<"),
        _encode_explicit(_uid(0x00020012, IMPLEMENTATION_UID), "<"),
    ]
    length = sum(map(len, meta))
    head = _encode_explicit(Element(0x00020000, "UL", struct.pack("<I", length)), "<")
    body = encode_elements(file.elements, _encoding_of_syntax(file.syntax))
    return b"".join([bytes(128), b"DICM", head, *meta, *body])


def encode_elements(elements: list[Element], encoding: str) -> list[bytes]:
    """Return the parts of a data set, in the order of tags, in an encoding."""
    order = ">" if encoding == EXPLICIT_BIG else "<"
    parts: list[bytes] = []
    for element in sorted(elements, key=lambda one: one.tag):
        if element.items is not None:
            parts.extend(_encode_sequence(element, encoding, order))
        elif encoding == IMPLICIT_LITTLE:
            head = struct.pack(
                "<HHI", element.tag >> 16, element.tag & 0xFFFF, len(element.value)
            )
            parts.append(head + element.value)
        else:
            parts.append(_encode_explicit(element, order))
    return parts


def _encode_sequence(element: Element, encoding: str, order: str) -> list[bytes]:
    inner = IMPLICIT_LITTLE if element.is_wrapped else encoding
    inner_order = "<" if element.is_wrapped else order
    content: list[bytes] = []
    for item in element.items or []:
        body = encode_elements(item, inner)
        size = sum(map(len, body))
        content.append(struct.pack(inner_order + "HHI", 0xFFFE, 0xE000, size))
        content.extend(body)
    is_open = element.is_open or element.is_wrapped
    size = UNDEFINED if is_open else sum(map(len, content))
    group, number = element.tag >> 16, element.tag & 0xFFFF
    if encoding == IMPLICIT_LITTLE:
        head = struct.pack("<HHI", group, number, size)
    else:
        vr = b"UN" if element.is_wrapped else b"SQ"
        head = struct.pack(order + "HH2sHI", group, number, vr, 0, size)
    tail = [struct.pack(inner_order + "HHI", 0xFFFE, 0xE0DD, 0)] if is_open else []
    return [head, *content, *tail]


def _encode_explicit(element: Element, order: str) -> bytes:
    group, number, vr = element.tag >> 16, element.tag & 0xFFFF, element.vr.encode()
    size = UNDEFINED if element.is_open else len(element.value)
    if element.vr in LONG_VRS:
        head = struct.pack(order + "HH2sHI", group, number, vr, 0, size)
    else:
        head = struct.pack(order + "HH2sH", group, number, vr, size)
    if element.is_open:
        return head + element.value + struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0)
    return head + element.value


def _uid(tag: int, uid: str) -> Element:
    value = uid.encode()
    return Element(tag, "UI", value + b"\0" * (len(value) % 2))


def _encoding_of_syntax(syntax: str) -> str:
    return syntax if syntax in (IMPLICIT_LITTLE, EXPLICIT_BIG) else EXPLICIT_LITTLE


@functools.lru_cache(maxsize=65536)
def public_vr(tag: int) -> str:
    """Return the dictionary's value representation of a public tag, else "UN"."""
    from pydicom.datadict import dictionary_VR

    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    return vr.split(" or ")[0]


@functools.lru_cache(maxsize=65536)
def private_vr(tag: int, creator: str) -> str:
    """Return pydicom's value representation of a private element, else "UN"."""
    from pydicom.datadict import private_dictionary_VR

    try:
        return private_dictionary_VR(tag, creator).split(" or ")[0]
    except KeyError:
        return "UN"
