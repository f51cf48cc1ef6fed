"""
De-identifying the elements of a file in one pass over its bytes.

The files of a session repeat most of their elements to the byte. So what became of
an element is remembered by its bytes, and an element, or a whole sequence, that was
met before costs a look-up. What was not met is decided by the policy, changed by
`imaging_platform.deid.actions`, noted for what it tells of the subject, and laid
down where the echo guard will search it.
"""

from __future__ import annotations

import contextlib
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from imaging_platform.deid.actions import Actions, Subject
from imaging_platform.deid.assembly import Assembly
from imaging_platform.deid.elements import (
    PIXEL_TAGS,
    UNDEFINED,
    ascii_text,
)
from imaging_platform.deid.encoding import (
    Encoding,
    encode_meta,
    encoding_of,
)
from imaging_platform.deid.frames import Frame
from imaging_platform.deid.guard import Evidence
from imaging_platform.deid.header import Header, PixelPlace, find_series
from imaging_platform.deid.identifiers import Gathering
from imaging_platform.deid.layouts import Name, Run, Step
from imaging_platform.deid.mask_recipes import MaskRecipe
from imaging_platform.deid.masking import find_mask
from imaging_platform.deid.memory import Memory
from imaging_platform.deid.pseudonyms import new_uid
from imaging_platform.deid.screen import Screen
from imaging_platform.deid.walking import Walker, end_of_fragments
from imaging_platform.dicom.structure import (
    EXPLICIT_LITTLE,
    NATIVE_SYNTAXES,
    BadDicom,
    Reason,
    find_start,
    fitting_syntax,
)

# MediaStorageSOPClassUID, TransferSyntaxUID.
_TOLD_OF_META = (0x00020002, 0x00020010)
_FUNCTIONAL_GROUPS = 0x5200_0000


@dataclass(frozen=True)
class Rewritten:
    """
    A file as it will be written, but for its pixel data.

    Parameters
    ----------
    head
        All bytes before the pixel data, in parts.
    header
        Facts of the original, for the gate.
    uid, series_uid
        New UIDs of the instance and of its series.
    mask
        Recipe that its pixels need; the head says that they are cleaned.
    steps
        What became of each element, for `Engine.note_written`.
    """

    head: list[bytes]
    header: Header
    uid: str
    series_uid: str
    mask: MaskRecipe | None
    steps: list[Step | Run] = field(repr=False)


@dataclass
class Engine:
    """
    The one pass, for files of one session.

    Parameters
    ----------
    subject
        The session's subject.
    screen
        What must not remain.
    told
        Gets what the files tell of their subject.
    evidence
        Gets what is written, for the guard.
    """

    subject: Subject
    screen: Screen
    told: Gathering
    evidence: Evidence
    _memory: Memory = field(default_factory=Memory)
    _met_meta: set[tuple[int, bytes]] = field(default_factory=set)
    _met_series: set[bytes] = field(default_factory=set)
    _series_uids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._assembly = Assembly(self.subject)
        self._walker = Walker(
            self.subject,
            Actions(self.subject, self.screen),
            self.told,
            self.evidence,
            self._memory,
        )

    @property
    def names(self) -> frozenset[Name]:
        """The elements of the files that were written, at all depths."""
        self._memory.settle()
        return frozenset(self._memory.names)

    def counts(self) -> Counter[str]:
        """Return how many elements of written files were treated how, by `Action`."""
        self._memory.settle()
        return +self._memory.counts

    def note_written(self, rewritten: Rewritten) -> None:
        """Count the elements of a file that was written."""
        self._memory.note_written(rewritten.steps)

    def survey(self, data: bytes) -> None:
        """
        Note what a file tells of its subject before its functional groups.

        Raises
        ------
        BadDicom
            It is not DICOM or its structure is broken.
        """
        meta, start = self._open(data)
        found = fitting_syntax(meta.get(0x00020010, ""), data[start : start + 6])
        header = Header(found, encoding_of(found))
        with _truncation_told():
            self._walker.walk(
                self._frame(data, start, header.encoding, is_kept=False),
                start,
                len(data),
                lambda tag: tag >= _FUNCTIONAL_GROUPS,
            )

    def rewrite(self, data: bytes) -> Rewritten:
        """
        Rewrite a file that was read, or memory-mapped, whole.

        Raises
        ------
        BadDicom
            It is not DICOM or its structure is broken.
        """
        meta, start = self._open(data)
        declared = meta.get(0x00020010, "")
        found = fitting_syntax(declared, data[start : start + 6])
        is_native = declared in NATIVE_SYNTAXES or not declared
        header = Header(found if is_native else declared, encoding_of(found))
        frame = self._frame(data, start, header.encoding, is_kept=True)
        with _truncation_told():
            steps, stop = self._walker.walk(
                frame, start, len(data), PIXEL_TAGS.__contains__
            )
            header.take(data, steps)
            if stop < len(data):
                header.pixels = _place_pixels(frame, stop)
        return self._assemble(header, steps)

    def _frame(
        self, data: bytes, start: int, encoding: Encoding, *, is_kept: bool
    ) -> Frame:
        series = find_series(data, start, encoding)
        if series not in self._met_series:
            # First files resemble each other, should each be a series of its own.
            self._met_series.add(series)
            series = b""
        return Frame(data, encoding, "", 0, is_kept, self._memory, series)

    def _open(self, data: bytes) -> tuple[dict[int, str], int]:
        """Return the texts of the meta group, and where the data set starts."""
        if len(data) == 0:
            raise BadDicom(Reason.EMPTY)
        self._walker.n_elements = 0
        start, _ = find_start(data)
        with _truncation_told():
            meta, start = self._read_meta(data, start)
        if meta.get(0x00020002) == "1.2.840.10008.1.3.10":
            raise BadDicom(Reason.DIRECTORY)
        if start == len(data):
            raise BadDicom(Reason.BROKEN, "no data set")
        return meta, start

    def _assemble(self, header: Header, steps: list[Step | Run]) -> Rewritten:
        old_uid, old_series_uid = header.text(0x00080018), header.text(0x0020000E)
        uid = new_uid(self.subject.secret, old_uid)
        series_uid = self._series_uids.get(old_series_uid)
        if series_uid is None:
            series_uid = new_uid(self.subject.secret, old_series_uid)
            self._series_uids[old_series_uid] = series_uid
        is_retained = self.subject.policy.settings.uids == "retain"
        mask = find_mask(header, self.subject.policy.settings)
        written_uid = old_uid if is_retained else uid
        meta = encode_meta(header.text(0x00080016), written_uid, header.syntax)
        is_masked = mask is not None
        parts = self._assembly.parts(header.encoding, steps, is_masked=is_masked)
        return Rewritten([meta, *parts], header, uid, series_uid, mask, steps)

    def _read_meta(self, data: bytes, position: int) -> tuple[dict[int, str], int]:
        """Read group 0002, explicit little endian; return texts and where it ends."""
        texts: dict[int, str] = {}
        read_head = encoding_of(EXPLICIT_LITTLE).read_head
        while data[position : position + 2] == b"\x02\0":
            tag, code, start, length = read_head(data, position)
            position = start + length
            if length == UNDEFINED or position > len(data):
                raise BadDicom(Reason.TRUNCATED, "file meta information")
            value = data[start:position]
            if (tag, value) not in self._met_meta:
                self._met_meta.add((tag, value))
                self.told.add(tag, code.decode("latin-1"), value, "")
            if tag in _TOLD_OF_META:
                texts[tag] = ascii_text(value)
        return texts, position


@contextlib.contextmanager
def _truncation_told() -> Iterator[None]:
    try:
        yield
    except struct.error:
        raise BadDicom(Reason.TRUNCATED) from None


def _place_pixels(frame: Frame, position: int) -> PixelPlace:
    end = len(frame.data)
    tag, code, start, length = frame.encoding.read_head(frame.data, position)
    vr = code.decode("latin-1")
    if length == UNDEFINED:
        stop = end_of_fragments(frame, start, end)
        return PixelPlace(tag, vr, start, stop, True)
    if start + length > end:
        raise BadDicom(Reason.TRUNCATED)
    return PixelPlace(tag, vr, start, start + length, False)
