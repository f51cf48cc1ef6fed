"""
Reading a DICOM file into elements: exact, bounded, and no further than the pixels.

What stands behind the pixel data is never carried on, and what does not add up to
the last byte is refused (PS3.5 section 7, PS3.10 section 7.1).
"""

from __future__ import annotations

import struct
import zlib

from imaging_platform.deid.elements import (
    LONG_VRS,
    PIXEL_TAGS,
    SHORT_VRS,
    UNDEFINED,
    DicomFile,
    Element,
    ascii_text,
    private_vr,
    public_vr,
)
from imaging_platform.dicom.structure import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    NATIVE_SYNTAXES,
    BadDicom,
    Reason,
)

MAX_DEPTH = 16
MAX_ELEMENTS = 4_000_000
MAX_INFLATED_BYTES = 1 << 30


def parse_file(data: bytes, *, with_pixels: bool = True) -> DicomFile:
    """
    Read a DICOM file from its bytes (or a memory map).

    Parameters
    ----------
    data
        The whole file.
    with_pixels
        Whether the pixel data are wanted; without them only the header is copied.

    Raises
    ------
    BadDicom
        It is not DICOM, has no file meta group, or its structure is broken.
    """
    if len(data) == 0:
        raise BadDicom(Reason.EMPTY)
    if bytes(data[128:132]) != b"DICM":
        raise BadDicom(Reason.NOT_DICOM)
    reader = _Reader(data, EXPLICIT_LITTLE, with_pixels)
    position = reader.read_meta(132)
    meta = reader.meta
    declared = next((ascii_text(e.value) for e in meta if e.tag == 0x00020010), "")
    if next((ascii_text(e.value) for e in meta if e.tag == 0x00020002), "") == (
        "1.2.840.10008.1.3.10"
    ):
        raise BadDicom(Reason.DIRECTORY)
    if not declared:
        raise BadDicom(Reason.BROKEN, "no transfer syntax")
    if declared == DEFLATED_LITTLE:
        data, position = _inflate(data, position), 0
    encoding = _encoding_of(declared, bytes(data[position : position + 6]))
    body = _Reader(data, encoding, with_pixels)
    elements = body.read_elements(position, len(data), 0, encoding, is_open=False)
    syntax = encoding if declared in NATIVE_SYNTAXES else declared
    return DicomFile(syntax, meta, elements)


def _encoding_of(declared: str, head: bytes) -> str:
    """Name the encoding of the first element; some files declare another."""
    if len(head) == 6 and head[4:6].decode("latin-1") not in SHORT_VRS | LONG_VRS:
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if declared == EXPLICIT_BIG else EXPLICIT_LITTLE


def _inflate(data: bytes, start: int) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = engine.decompress(data[start:], MAX_INFLATED_BYTES + 1)
    except zlib.error:
        raise BadDicom(Reason.BROKEN, "deflated data set") from None
    if len(inflated) > MAX_INFLATED_BYTES:
        raise BadDicom(Reason.INFLATED)
    if not engine.eof:
        raise BadDicom(Reason.TRUNCATED, "deflated data set")
    return inflated


class _Reader:
    """One pass over a file; bounded in depth and number of elements."""

    def __init__(self, data: bytes, encoding: str, with_pixels: bool) -> None:
        self.data = data
        self.encoding = encoding
        self.with_pixels = with_pixels
        self.n_elements = 0
        self.meta: list[Element] = []

    def read_meta(self, position: int) -> int:
        """Read group 0002, explicit little endian; return where it ends."""
        while self.data[position : position + 2] == b"\x02\x00":
            tag, vr, start, length = self._head(
                position, len(self.data), EXPLICIT_LITTLE
            )
            if length == UNDEFINED or start + length > len(self.data):
                raise BadDicom(Reason.TRUNCATED, "file meta information")
            value = bytes(self.data[start : start + length])
            self.meta.append(Element(tag, vr, value))
            position = start + length
        return position

    def read_elements(
        self, position: int, end: int, depth: int, encoding: str, *, is_open: bool
    ) -> list[Element]:
        """Read a data set to `end`, or to its item delimiter when it is open."""
        elements: list[Element] = []
        creators: dict[int, str] = {}
        while position < end:
            if is_open and self._is_mark(position, 0xE00D, encoding):
                self.position = position + 8
                return elements
            tag, vr, start, length = self._head(position, end, encoding)
            if tag == 0xFFFEE00D or tag >> 16 == 0xFFFE:
                raise BadDicom(Reason.BROKEN, "item outside a sequence")
            vr = vr or self._implicit_vr(tag, creators)
            element, position = self._element(
                tag, vr, start, length, end, depth, encoding
            )
            if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
                creators[tag] = ascii_text(element.value)
            elements.append(element)
            if depth == 0 and tag in PIXEL_TAGS:
                break
        else:
            if is_open:
                raise self._overrun(end)
        self.position = position
        return elements

    def _element(
        self,
        tag: int,
        vr: str,
        start: int,
        length: int,
        end: int,
        depth: int,
        encoding: str,
    ) -> tuple[Element, int]:
        if length == UNDEFINED:
            if tag == 0x7FE00010:
                return self._fragments(vr, start, end, encoding)
            is_wrapped = vr == "UN" and encoding != IMPLICIT_LITTLE
            inner = IMPLICIT_LITTLE if vr == "UN" else encoding
            items = self._items(start, end, depth + 1, inner, is_open=True)
            element = Element(tag, "SQ", b"", items, True, is_wrapped)
            return element, self.position
        stop = start + length
        if stop > end:
            raise self._overrun(end)
        is_wrapped = vr == "UN" and encoding != IMPLICIT_LITTLE and length >= 8
        if is_wrapped and not tag >> 16 & 1 and public_vr(tag) == "SQ":
            items = self._items(start, stop, depth + 1, IMPLICIT_LITTLE, is_open=False)
            return Element(tag, "SQ", b"", items, False, True), stop
        if vr == "SQ":
            items = self._items(start, stop, depth + 1, encoding, is_open=False)
            return Element(tag, "SQ", b"", items), stop
        if depth == 0 and tag in PIXEL_TAGS and not self.with_pixels:
            return Element(tag, vr), stop
        return Element(tag, vr, bytes(self.data[start:stop])), stop

    def _items(
        self, position: int, end: int, depth: int, encoding: str, *, is_open: bool
    ) -> list[list[Element]]:
        if depth > MAX_DEPTH:
            raise BadDicom(Reason.DEEP, f"more than {MAX_DEPTH} levels")
        order = ">HHI" if encoding == EXPLICIT_BIG else "<HHI"
        items: list[list[Element]] = []
        while position < end:
            if end - position < 8:
                raise self._overrun(end)
            group, number, length = struct.unpack_from(order, self.data, position)
            if (group, number) == (0xFFFE, 0xE0DD) and is_open:
                self.position = position + 8
                return items
            if (group, number) != (0xFFFE, 0xE000):
                raise BadDicom(Reason.BROKEN, "something else where an item must be")
            self._count()
            position += 8
            is_open_item = length == UNDEFINED
            stop = end if is_open_item else position + length
            if stop > end:
                raise self._overrun(end)
            items.append(
                self.read_elements(
                    position, stop, depth, encoding, is_open=is_open_item
                )
            )
            position = self.position if is_open_item else stop
        if is_open:
            raise self._overrun(end)
        self.position = position
        return items

    def _fragments(
        self, vr: str, start: int, end: int, encoding: str
    ) -> tuple[Element, int]:
        order = ">HHI" if encoding == EXPLICIT_BIG else "<HHI"
        position = start
        while end - position >= 8:
            group, number, length = struct.unpack_from(order, self.data, position)
            if (group, number) == (0xFFFE, 0xE0DD):
                value = bytes(self.data[start:position]) if self.with_pixels else b""
                return Element(0x7FE00010, vr, value, None, True), position + 8
            if (group, number) != (0xFFFE, 0xE000) or length == UNDEFINED:
                raise BadDicom(Reason.BROKEN, "encapsulated pixel data")
            self._count()
            position += 8 + length
        raise BadDicom(Reason.TRUNCATED)

    def _head(
        self, position: int, end: int, encoding: str
    ) -> tuple[int, str, int, int]:
        """Return tag, VR ("" if the encoding has none), start and length."""
        self._count()
        if end - position < 8:
            raise self._overrun(end)
        if encoding == IMPLICIT_LITTLE:
            group, number, length = struct.unpack_from("<HHI", self.data, position)
            return group << 16 | number, "", position + 8, length
        order = ">" if encoding == EXPLICIT_BIG else "<"
        group, number, code, length = struct.unpack_from(
            order + "HH2sH", self.data, position
        )
        tag, vr = group << 16 | number, code.decode("latin-1")
        if vr in SHORT_VRS:
            return tag, vr, position + 8, length
        if vr not in LONG_VRS:
            raise BadDicom(Reason.BROKEN, "unknown value representation")
        if end - position < 12:
            raise self._overrun(end)
        (length,) = struct.unpack_from(order + "I", self.data, position + 8)
        return tag, vr, position + 12, length

    def _implicit_vr(self, tag: int, creators: dict[int, str]) -> str:
        if not tag >> 16 & 1:
            return "UL" if tag & 0xFFFF == 0 else public_vr(tag)
        if tag & 0xFFFF <= 0xFF:
            return "LO" if tag & 0xFFFF >= 0x10 else "UL"
        creator = creators.get(tag & 0xFFFF0000 | (tag >> 8 & 0xFF))
        return "UN" if creator is None else private_vr(tag, creator)

    def _is_mark(self, position: int, number: int, encoding: str) -> bool:
        order = ">HH" if encoding == EXPLICIT_BIG else "<HH"
        return self.data[position : position + 4] == struct.pack(order, 0xFFFE, number)

    def _count(self) -> None:
        self.n_elements += 1
        if self.n_elements > MAX_ELEMENTS:
            raise BadDicom(Reason.MANY_ELEMENTS, f"more than {MAX_ELEMENTS}")

    def _overrun(self, end: int) -> BadDicom:
        if end < len(self.data):
            return BadDicom(Reason.BROKEN, "an element is longer than its item")
        return BadDicom(Reason.TRUNCATED)
