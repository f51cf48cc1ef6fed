"""
The skeleton of a DICOM file, walked exactly to its last byte (PS3.5 section 7).

Readers of DICOM accept a file that was cut off, inflate without a limit and
recurse as deep as the file asks for. So every file is walked here first: each
tag, length, sequence, item and fragment, under limits, copying nothing but the
values that the caller asked for.
"""

from __future__ import annotations

import functools
import mmap
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imaging_platform.dicom.dictionary import public_entries
from imaging_platform.model.errors import BadInput

UNDEFINED_LENGTH = 0xFFFFFFFF
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
NATIVE_SYNTAXES = frozenset(
    {IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED_LITTLE, EXPLICIT_BIG}
)
"""Transfer syntaxes whose pixel data are not encapsulated (PS3.5 annex A)."""

_PREAMBLE_BYTES = 128
_KEPT_VALUE_BYTES = 16384
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
# PS3.5 section 7.1.2: these have two reserved bytes and a length of 32 bits.
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
_IMPLICIT_HEAD = struct.Struct("<HHI")
_LITTLE_HEAD = struct.Struct("<HH2sH")
_BIG_HEAD = struct.Struct(">HH2sH")
_KNOWN_VRS = _LONG_VRS | _SHORT_VRS


class Reason(StrEnum):
    """Why a file is not taken as it is; a closed list, free of identity."""

    EMPTY = "empty file"
    NOT_DICOM = "not DICOM"
    TRUNCATED = "truncated"
    TRAILING = "bytes after the last element"
    BROKEN = "broken structure"
    DEEP = "nested too deeply"
    MANY_ELEMENTS = "too many elements"
    INFLATED = "inflates beyond the limit"
    DIRECTORY = "media directory"
    NO_SOP_UID = "no SOPInstanceUID"
    BAD_UID = "UID that is none"
    SHORT_PIXELS = "pixel data shorter than the image"
    UNREADABLE = "unreadable"


_FIXES = {
    Reason.DIRECTORY: "Nothing is needed: a DICOMDIR lists files and holds no image.",
    Reason.TRUNCATED: "Send the file again from its source; this copy is cut off.",
    Reason.SHORT_PIXELS: "Send the file again from its source; this copy is cut off.",
    Reason.EMPTY: "Send the file again from its source; this copy has no content.",
}


class BadDicom(BadInput):
    """
    A file that is not DICOM, or not a whole and sane DICOM file.

    Parameters
    ----------
    reason
        The category; the message says the same in a sentence.
    detail
        More words, never a value of the file and never its name.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        text = f"A file was expected to be a whole DICOM file; found: {reason}"
        super().__init__(
            f"{text} ({detail})." if detail else f"{text}.",
            fix=_FIXES.get(
                reason, "Export the file again from the archive or leave it out."
            ),
        )
        self.reason = reason


@dataclass(frozen=True)
class StructureLimits:
    """
    What a file may ask of its reader.

    Parameters
    ----------
    max_depth
        Nested sequences.
    max_elements
        Elements and items at all depths.
    max_inflated_bytes
        Size of a deflated data set after inflation.
    max_value_bytes
        How much is kept of each wanted value.
    """

    max_depth: int = 16
    max_elements: int = 4_000_000
    max_inflated_bytes: int = 256 << 20
    max_value_bytes: int = _KEPT_VALUE_BYTES


DEFAULT_LIMITS = StructureLimits()
LAST_TAG = 0xFFFFFFFF


@dataclass(frozen=True)
class Structure:
    """
    What the walk found.

    Parameters
    ----------
    transfer_syntax
        UID from the file meta information; when absent, the one that fits.
    has_preamble
        Whether the file starts with 128 bytes and ``DICM`` (PS3.10 section 7.1).
    is_big_endian
        Byte order of binary values.
    n_elements
        Elements and items at all depths, without the file meta group.
    depth
        Deepest nesting of sequences, 0 for none.
    pixel_bytes
        Length of native pixel data; None when there is none or it is encapsulated.
    has_pixels
        Whether there is a pixel data element of any kind.
    values
        Raw value by tag (group << 16 | element) of the wanted top-level elements,
        at most `StructureLimits.max_value_bytes` of each; file meta elements too.
    """

    transfer_syntax: str
    has_preamble: bool
    is_big_endian: bool
    n_elements: int
    depth: int
    pixel_bytes: int | None
    has_pixels: bool
    values: Mapping[int, bytes]


def scan_structure(
    path: Path,
    *,
    wanted: frozenset[int] = frozenset(),
    limits: StructureLimits = DEFAULT_LIMITS,
    through: int = LAST_TAG,
) -> Structure:
    """
    Walk a file from its first to its last byte, or to the last wanted tag.

    Parameters
    ----------
    path
        A regular file that nobody changes meanwhile.
    wanted
        Tags whose raw values are returned.
    limits
        Bounds on depth, elements and inflation.
    through
        The walk ends before the first element of the top level with a higher tag;
        nothing is proved of what stands there.

    Raises
    ------
    BadDicom
        The file is empty, no DICOM, cut off, longer than its elements, or
        beyond a limit.
    """
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            raise BadDicom(Reason.EMPTY)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _scan(content, wanted, limits, through)


def _scan(
    content: mmap.mmap,
    wanted: frozenset[int],
    limits: StructureLimits,
    through: int,
) -> Structure:
    start, has_preamble = find_start(content)
    meta = _Walk(content, len(content), wanted | {0x00020002, 0x00020010}, limits)
    position = meta.walk_file_meta(start)
    declared = _text(meta.values.get(0x00020010, b""))
    if _text(meta.values.get(0x00020002, b"")) == "1.2.840.10008.1.3.10":
        raise BadDicom(Reason.DIRECTORY)
    body: mmap.mmap | bytes = content
    if declared == DEFLATED_LITTLE:
        body, position = _inflate(content, position, limits), 0
    syntax = fitting_syntax(declared, body[position : position + 6])
    walk = _Walk(body, len(body), wanted, limits, syntax, through)
    walk.walk_all(position)
    return Structure(
        transfer_syntax=declared or syntax,
        has_preamble=has_preamble,
        is_big_endian=syntax == EXPLICIT_BIG,
        n_elements=walk.n_elements,
        depth=walk.depth,
        pixel_bytes=walk.pixel_bytes,
        has_pixels=walk.has_pixels,
        values={**meta.values, **walk.values},
    )


def find_start(content: mmap.mmap | bytes) -> tuple[int, bool]:
    """
    Return where the file meta group or data set starts, and if a preamble is before.

    Raises
    ------
    BadDicom
        The file is not DICOM.
    """
    if content[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == b"DICM":
        return _PREAMBLE_BYTES + 4, True
    # Written before DICOM had a file format: the data set begins at once.
    if content[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08") and len(content) >= 8:
        return 0, False
    raise BadDicom(Reason.NOT_DICOM)


def fitting_syntax(declared: str, head: bytes) -> str:
    """Name the encoding that the first element has; some files declare another."""
    if len(head) < 6:
        return declared or IMPLICIT_LITTLE
    if head[4:6] not in _KNOWN_VRS:
        return IMPLICIT_LITTLE
    if declared == EXPLICIT_BIG or (not declared and head[0] == 0):
        return EXPLICIT_BIG
    return EXPLICIT_LITTLE


def _inflate(content: mmap.mmap, start: int, limits: StructureLimits) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = engine.decompress(content[start:], limits.max_inflated_bytes + 1)
    except zlib.error:
        raise BadDicom(Reason.BROKEN, "deflated data set") from None
    if len(data) > limits.max_inflated_bytes:
        raise BadDicom(Reason.INFLATED)
    if not engine.eof:
        raise BadDicom(Reason.TRUNCATED, "deflated data set")
    # A byte may follow to make the length even (PS3.5 section A.5), and some
    # writers leave the checksum and size that end a gzip stream.
    if len(engine.unused_data) > 9:
        raise BadDicom(Reason.TRAILING)
    return data


class _Walk:
    """One pass over a data set; `values` and the counters grow on the way."""

    def __init__(
        self,
        content: mmap.mmap | bytes,
        end: int,
        wanted: frozenset[int],
        limits: StructureLimits,
        syntax: str = EXPLICIT_LITTLE,
        through: int = LAST_TAG,
    ) -> None:
        self.content = content
        self.through = through
        self.end = end
        self.wanted = wanted
        self.max_depth = limits.max_depth
        self.max_elements = limits.max_elements
        self.max_value_bytes = limits.max_value_bytes
        self.syntax = syntax
        self.values: dict[int, bytes] = {}
        self.n_elements = 0
        self.depth = 0
        self.pixel_bytes: int | None = None
        self.has_pixels = False

    def walk_file_meta(self, position: int) -> int:
        """Walk group 0002, always explicit little endian (PS3.10 section 7.1)."""
        content, end = self.content, self.end
        while content[position : position + 2] == b"\x02\x00":
            tag, _, start, length = self._read_head(position, end, EXPLICIT_LITTLE)
            if length == UNDEFINED_LENGTH:
                raise BadDicom(Reason.BROKEN, "file meta information")
            if start + length > end:
                raise BadDicom(Reason.TRUNCATED, "file meta information")
            self._keep(tag, start, length)
            position = start + length
        return position

    def walk_all(self, position: int) -> None:
        """Walk the data set, which must end where the file ends."""
        self._walk_elements(position, self.end, 0, self.syntax, is_open=False)

    def _walk_elements(
        self, position: int, end: int, depth: int, syntax: str, *, is_open: bool
    ) -> int:
        """Walk to `end`, or to the item delimiter when the item's length is open."""
        wanted = self.wanted
        seen_pixels = False
        while position < end:
            if is_open and self._is_delimiter(position, end, 0xE00D, syntax):
                return position + 8
            try:
                tag, vr, start, length = self._read_head(position, end, syntax)
            except BadDicom as error:
                if seen_pixels:
                    raise BadDicom(Reason.TRAILING) from error
                raise
            if depth == 0 and tag > self.through:
                return position
            if depth == 0 and seen_pixels and tag < 0x7FE00010:
                raise BadDicom(Reason.TRAILING)
            if length == UNDEFINED_LENGTH:
                position = self._walk_open(tag, vr, start, end, depth, syntax)
            else:
                position = start + length
                if position > end:
                    raise self._overrun(end, seen_pixels)
                if vr == b"SQ" and length:
                    self._walk_items(start, position, depth + 1, syntax, is_open=False)
                if tag in wanted and depth == 0:
                    self._keep(tag, start, length)
                if depth == 0 and tag in _PIXEL_TAGS:
                    self.pixel_bytes = length
            if depth == 0 and tag in _PIXEL_TAGS:
                seen_pixels = self.has_pixels = True
        if is_open:
            raise self._overrun(end, seen_pixels)
        return position

    def _walk_open(
        self, tag: int, vr: bytes, start: int, end: int, depth: int, syntax: str
    ) -> int:
        """Walk an element of undefined length; return where it ends."""
        if tag == 0x7FE00010 and vr in (b"OB", b"OW", b"UN", b""):
            return self._walk_fragments(start, end, syntax)
        if vr == b"UN":
            # PS3.5 section 6.2.2: its content is implicit little endian.
            syntax = IMPLICIT_LITTLE
        elif vr != b"SQ" and syntax != IMPLICIT_LITTLE:
            raise BadDicom(Reason.BROKEN, "undefined length outside a sequence")
        return self._walk_items(start, end, depth + 1, syntax, is_open=True)

    def _walk_items(
        self, position: int, end: int, depth: int, syntax: str, *, is_open: bool
    ) -> int:
        """Walk the items of a sequence (PS3.5 section 7.5)."""
        if depth > self.max_depth:
            raise BadDicom(Reason.DEEP, f"more than {self.max_depth} levels")
        self.depth = max(self.depth, depth)
        order = ">HHI" if syntax == EXPLICIT_BIG else "<HHI"
        while position < end:
            if end - position < 8:
                raise self._overrun(end, False)
            group, element, length = struct.unpack_from(order, self.content, position)
            if (group, element) == (0xFFFE, 0xE0DD):
                if is_open:
                    return position + 8
                raise BadDicom(Reason.BROKEN, "delimiter in a sequence of known length")
            if (group, element) != (0xFFFE, 0xE000):
                raise BadDicom(Reason.BROKEN, "something else where an item must be")
            self._count()
            position += 8
            if length == UNDEFINED_LENGTH:
                position = self._walk_elements(
                    position, end, depth, syntax, is_open=True
                )
                continue
            if position + length > end:
                raise self._overrun(end, False)
            stop = position + length
            position = self._walk_elements(position, stop, depth, syntax, is_open=False)
        if is_open:
            raise self._overrun(end, False)
        return position

    def _walk_fragments(self, position: int, end: int, syntax: str) -> int:
        """Walk encapsulated pixel data (PS3.5 section A.4)."""
        order = ">HHI" if syntax == EXPLICIT_BIG else "<HHI"
        while end - position >= 8:
            group, element, length = struct.unpack_from(order, self.content, position)
            if (group, element) == (0xFFFE, 0xE0DD):
                return position + 8
            if (group, element) != (0xFFFE, 0xE000) or length == UNDEFINED_LENGTH:
                raise BadDicom(Reason.BROKEN, "encapsulated pixel data")
            self._count()
            position += 8 + length
        raise self._overrun(end, False)

    def _read_head(
        self, position: int, end: int, syntax: str
    ) -> tuple[int, bytes, int, int]:
        """Return tag, VR, start of the value and its length."""
        # The hot path, some 300 calls a file: nothing here that can be elsewhere.
        self.n_elements += 1
        if self.n_elements > self.max_elements:
            raise self._too_many()
        if end - position < 8:
            raise self._overrun(end, False)
        if syntax == IMPLICIT_LITTLE:
            group, element, length = _IMPLICIT_HEAD.unpack_from(self.content, position)
            tag = group << 16 | element
            if group == 0xFFFE:
                raise BadDicom(Reason.BROKEN, "item outside a sequence")
            vr = b"SQ" if tag in _sequence_tags() else b""
            return tag, vr, position + 8, length
        is_big = syntax == EXPLICIT_BIG
        head = _BIG_HEAD if is_big else _LITTLE_HEAD
        group, element, vr, length = head.unpack_from(self.content, position)
        if vr in _SHORT_VRS:
            return group << 16 | element, vr, position + 8, length
        if vr not in _LONG_VRS:
            raise BadDicom(Reason.BROKEN, "unknown value representation")
        if end - position < 12:
            raise self._overrun(end, False)
        (length,) = struct.unpack_from(
            ">I" if is_big else "<I", self.content, position + 8
        )
        return group << 16 | element, vr, position + 12, length

    def _is_delimiter(self, position: int, end: int, element: int, syntax: str) -> bool:
        order = ">HH" if syntax == EXPLICIT_BIG else "<HH"
        mark = struct.pack(order, 0xFFFE, element)
        return position + 8 <= end and self.content[position : position + 4] == mark

    def _keep(self, tag: int, start: int, length: int) -> None:
        if tag not in self.wanted:
            return
        if tag in self.values:
            # PS3.5 section 7.1; readers differ in which one counts.
            raise BadDicom(Reason.BROKEN, "an element occurs twice")
        stop = start + min(length, self.max_value_bytes)
        self.values[tag] = bytes(self.content[start:stop])

    def _count(self) -> None:
        self.n_elements += 1
        if self.n_elements > self.max_elements:
            raise self._too_many()

    def _too_many(self) -> BadDicom:
        return BadDicom(Reason.MANY_ELEMENTS, f"more than {self.max_elements}")

    def _overrun(self, end: int, seen_pixels: bool) -> BadDicom:
        if end < self.end:
            return BadDicom(Reason.BROKEN, "an element is longer than its item")
        return BadDicom(Reason.TRAILING if seen_pixels else Reason.TRUNCATED)


def _text(value: bytes) -> str:
    return value.decode("ascii", errors="replace").strip("\0 ")


@functools.cache
def _sequence_tags() -> frozenset[int]:
    return frozenset(tag for tag, entry in public_entries().items() if entry[0] == "SQ")
