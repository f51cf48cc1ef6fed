"""The elements of a file's top level, decoded when they are asked for."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from imaging_platform.deid.elements import ascii_text, public_vr
from imaging_platform.deid.encoding import Encoding
from imaging_platform.deid.layouts import Run, Step, header_bytes
from imaging_platform.dicom.structure import NATIVE_SYNTAXES

_SEARCHED_FOR_SERIES_BYTES = 1 << 16


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

    def take(self, data: bytes, steps: Sequence[Step | Run]) -> None:
        """Take up the elements of a top level that was walked."""
        for step in steps:
            if isinstance(step, Run):
                self.raws.update(step.raws)
            else:
                tag, _, _, start, stop = step
                self.raws[tag] = header_bytes(data, start, stop)

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


def find_series(data: bytes, start: int, encoding: Encoding) -> bytes:
    """
    Return what looks like SeriesInstanceUID (0020,000E): a guess, to group files by.

    Parameters
    ----------
    data, start
        A file, and where its data set begins.
    encoding
        Of the data set.
    """
    mark = struct.pack(encoding.order + "HH", 0x0020, 0x000E)
    place = data.find(mark, start, start + _SEARCHED_FOR_SERIES_BYTES)
    return data[place + 8 : place + 56] if place >= 0 else b""
