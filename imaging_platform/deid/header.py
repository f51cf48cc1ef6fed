"""The elements of a file's top level, decoded when they are asked for."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from imaging_platform.deid.elements import ascii_text, public_vr
from imaging_platform.deid.encoding import Encoding
from imaging_platform.dicom.structure import NATIVE_SYNTAXES


@dataclass(frozen=True)
class PixelPlace:
    """
    Where the pixel data of a file stand.

    Parameters
    ----------
    tag, vr
        Of the element; the representation is empty where the file has none.
    start, stop
        Of the value; of encapsulated data with item heads, without the delimiter.
    is_open
        Written with undefined length: encapsulated fragments.
    """

    tag: int
    vr: str
    start: int
    stop: int
    is_open: bool


@dataclass
class Header:
    """
    What the gate asks of an original.

    Parameters
    ----------
    syntax
        Transfer syntax UID under which the file is written again.
    encoding
        Encoding of the data set.
    raws
        Bytes of each element of the top level before the pixel data; none of the
        largest.
    pixels
        None without pixel data.
    asked
        The elements that were asked for.
    """

    syntax: str
    encoding: Encoding
    raws: dict[int, bytes] = field(default_factory=dict)
    pixels: PixelPlace | None = None
    asked: set[int] = field(default_factory=set)

    @property
    def is_encapsulated(self) -> bool:
        """Whether pixel data are compressed fragments."""
        return self.syntax not in NATIVE_SYNTAXES

    @property
    def is_big_endian(self) -> bool:
        """Whether binary values have their first byte first."""
        return self.encoding.order == ">"

    def text(self, tag: int) -> str:
        """Return the ASCII text of an element, stripped; empty if absent."""
        return ascii_text(self._value(tag)[1])

    def number(self, tag: int) -> int | None:
        """Return a US or IS as a number, None if absent or not one."""
        vr, value = self._value(tag)
        if vr in ("US", "SS", "UN", "OW") and len(value) >= 2:
            return struct.unpack_from(self.encoding.order + "H", value)[0]
        text = ascii_text(value).split("\\")[0].strip()
        return int(text) if text.isascii() and text.lstrip("+-").isdigit() else None

    def _value(self, tag: int) -> tuple[str, bytes]:
        self.asked.add(tag)
        raw = self.raws.get(tag)
        if not raw:
            return "", b""
        _, code, start, _ = self.encoding.read_head(raw, 0)
        return code.decode("latin-1") or public_vr(tag), raw[start:]
