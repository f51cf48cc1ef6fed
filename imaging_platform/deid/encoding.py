"""The encodings of a data set: heads read and written (PS3.5 section 7)."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from imaging_platform.deid.elements import (
    IMPLEMENTATION_UID,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED,
)
from imaging_platform.dicom.structure import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    BadDicom,
    Reason,
)

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONGEST_SHORT_BYTES = 0xFFFE
"""A value with a 16-bit length is no longer than this."""

Head = tuple[int, bytes, int, int]
"""Tag, VR (empty when the encoding has none), start of the value, its length."""

_MOST_HEADS = 1 << 14
_IMPLICIT_HEAD = struct.Struct("<HHI")
_SHORT_CODES = frozenset(vr.encode() for vr in SHORT_VRS)
_LONG_CODES = frozenset(vr.encode() for vr in LONG_VRS)


@dataclass(frozen=True)
class Encoding:
    """
    How the data set of a file is written.

    Parameters
    ----------
    syntax
        Transfer syntax UID of the three native, not deflated ones.
    read_head
        Return the `Head` at a position; `struct.error` where the bytes end.
    """

    syntax: str
    read_head: Callable[[bytes, int], Head]
    _heads: dict[tuple[int, str, int], bytes] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def is_implicit(self) -> bool:
        """Whether elements have no value representation."""
        return self.syntax == IMPLICIT_LITTLE

    @functools.cached_property
    def read_mark(self) -> Callable[[bytes, int], tuple[int, int, int]]:
        """Return group, number and length of an item or a delimiter at a position."""
        return struct.Struct(self.order + "HHI").unpack_from

    @property
    def order(self) -> str:
        """Byte order for `struct`."""
        return ">" if self.syntax == EXPLICIT_BIG else "<"

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """Return an element with its value."""
        return self.element_head(tag, vr, len(value)) + value

    def open_head(self, tag: int, vr: str) -> bytes:
        """Return the head of an element of undefined length."""
        return self.element_head(tag, vr, UNDEFINED)

    def sequence(
        self, tag: int, items: list[bytes], inner: Encoding, *, is_open: bool
    ) -> bytes:
        """
        Return a sequence.

        Parameters
        ----------
        tag
            Group << 16 | number.
        items
            Data set of each item.
        inner
            Encoding of the items; another one than this only in a sequence that was
            written as UN (PS3.5 section 6.2.2), which is open.
        is_open
            Written with undefined length and delimiter.
        """
        content: list[bytes] = []
        for item in items:
            content += (inner.mark(ITEM, len(item)), item)
        is_wrapped = inner is not self
        if is_open or is_wrapped:
            content.append(inner.mark(SEQUENCE_END, 0))
            length = UNDEFINED
        else:
            length = sum(map(len, content))
        head = self.element_head(tag, "UN" if is_wrapped else "SQ", length)
        return b"".join([head, *content])

    def mark(self, tag: int, length: int) -> bytes:
        """Return the head of an item or a delimiter (PS3.5 section 7.5)."""
        key = tag, "", length
        head = self._heads.get(key)
        if head is None:
            pattern = self.order + "HHI"
            head = struct.pack(pattern, tag >> 16, tag & 0xFFFF, length)
            self._remember(key, head)
        return head

    def element_head(self, tag: int, vr: str, length: int) -> bytes:
        """Return the head of an element whose value has a length."""
        key = tag, vr, length
        head = self._heads.get(key)
        if head is None:
            head = self._element_head(tag, vr, length)
            self._remember(key, head)
        return head

    def _remember(self, key: tuple[int, str, int], head: bytes) -> None:
        if len(self._heads) > _MOST_HEADS:
            self._heads.clear()
        self._heads[key] = head

    def _element_head(self, tag: int, vr: str, length: int) -> bytes:
        group, number = tag >> 16, tag & 0xFFFF
        if self.is_implicit:
            return struct.pack("<HHI", group, number, length)
        code = vr.encode()
        if vr in LONG_VRS:
            return struct.pack(self.order + "HH2sHI", group, number, code, 0, length)
        return struct.pack(self.order + "HH2sH", group, number, code, length)


@functools.cache
def encoding_of(syntax: str) -> Encoding:
    """Return the encoding of a transfer syntax; all compressed ones are explicit."""
    if syntax == IMPLICIT_LITTLE:
        return Encoding(IMPLICIT_LITTLE, _read_implicit)
    if syntax == EXPLICIT_BIG:
        return Encoding(EXPLICIT_BIG, _explicit_reader(">"))
    if syntax == EXPLICIT_LITTLE:
        return Encoding(EXPLICIT_LITTLE, _explicit_reader("<"))
    return encoding_of(EXPLICIT_LITTLE)


def encode_meta(sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """
    Return preamble, prefix and a new file meta group (PS3.10 section 7.1).

    Parameters
    ----------
    sop_class, sop_instance
        They equal the data set's.
    syntax
        Transfer syntax of the data set.
    """
    encoding = encoding_of(EXPLICIT_LITTLE)
    uids = {2: sop_class, 3: sop_instance, 0x10: syntax, 0x12: IMPLEMENTATION_UID}
    parts = [encoding.element(0x00020001, "OB", b"\0\1")]
    for number, uid in uids.items():
        value = uid.encode() + b"\0" * (len(uid) % 2)
        parts.append(encoding.element(0x00020000 | number, "UI", value))
    content = b"".join(parts)
    length = encoding.element(0x00020000, "UL", struct.pack("<I", len(content)))
    return b"".join([bytes(128), b"DICM", length, content])


def join_elements(elements: dict[int, bytes]) -> bytes:
    """Return elements in the order of their tags."""
    return b"".join([elements[tag] for tag in sorted(elements)])


def _read_implicit(data: bytes, position: int) -> Head:
    group, number, length = _IMPLICIT_HEAD.unpack_from(data, position)
    return group << 16 | number, b"", position + 8, length


def _explicit_reader(order: str) -> Callable[[bytes, int], Head]:
    unpack = struct.Struct(order + "HH2sH").unpack_from
    unpack_long = struct.Struct(order + "I").unpack_from
    short, long = _SHORT_CODES, _LONG_CODES

    def read_head(data: bytes, position: int) -> Head:
        group, number, code, length = unpack(data, position)
        if code in short:
            return group << 16 | number, code, position + 8, length
        if code in long:
            (length,) = unpack_long(data, position + 8)
            return group << 16 | number, code, position + 12, length
        if group == 0xFFFE:
            (length,) = unpack_long(data, position + 4)
            return group << 16 | number, b"", position + 8, length
        raise BadDicom(Reason.BROKEN, "unknown value representation")

    return read_head
