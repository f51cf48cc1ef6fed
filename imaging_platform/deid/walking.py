"""What becomes of each element of a data set and of its items, at every depth."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

from imaging_platform.deid import philips
from imaging_platform.deid.actions import Actions, Subject, padded
from imaging_platform.deid.decision import Action, Decision
from imaging_platform.deid.elements import (
    LONG_VRS,
    PIXEL_TAGS,
    UNDEFINED,
    ascii_text,
    private_vr,
    public_vr,
)
from imaging_platform.deid.encoding import (
    ITEM,
    ITEM_END,
    LONGEST_SHORT_BYTES,
    SEQUENCE_END,
    Encoding,
    encoding_of,
    join_elements,
)
from imaging_platform.deid.guard import Evidence
from imaging_platform.deid.identifiers import Gathering
from imaging_platform.deid.memory import Entry, Inside, Memory, Name
from imaging_platform.deid.tables import code_meaning
from imaging_platform.dicom.structure import IMPLICIT_LITTLE, BadDicom, Reason

MAX_DEPTH = 16
MAX_ELEMENTS = 4_000_000
LARGEST_REMEMBERED_BYTES = 1 << 18
"""Elements that are longer are decided anew each time."""

_OPEN_LENGTHS_TRIED = 4
OWN_TAGS = frozenset({0x00100010, 0x00100020})
"""PatientName and PatientID: the pseudonym."""

CHARSET = 0x00080005
_MEANING = 0x00080104
_FIRST_DELIMITER = 0xFFFE0000
_NESTED_PIXELS = "pixel data in an item, which no gate has seen"

# Where elements of a unit can stand: in any block of their groups.
_MAYBE_UNITS = frozenset(
    group << 16 | block << 8 | low
    for group, _, low in philips.DIFFUSION
    for block in range(0x10, 0x100)
)


class Frame:
    """The surroundings of a data set: what its elements mean depends on them alone."""

    __slots__ = ("_charset", "_memory", "data", "depth", "encoding", "is_kept", "known")

    def __init__(
        self,
        data: bytes,
        encoding: Encoding,
        charset: str,
        depth: int,
        is_kept: bool,
        memory: Memory,
    ) -> None:
        self.data = data
        self.encoding = encoding
        self.depth = depth
        self.is_kept = is_kept
        self._memory = memory
        self.charset = charset

    @property
    def charset(self) -> str:
        """SpecificCharacterSet (0008,0005) in force."""
        return self._charset

    @charset.setter
    def charset(self, charset: str) -> None:
        self._charset = charset
        self.known = self._memory.of((self.encoding.syntax, charset, self.is_kept))


@dataclass
class Walker:
    """
    Walks data sets, element by element.

    Parameters
    ----------
    subject
        The session's subject.
    actions
        What is done to values.
    told
        Gets what the elements tell of their subject.
    evidence
        Gets what is written, for the guard.
    memory
        What became of elements before.
    """

    subject: Subject
    actions: Actions
    told: Gathering
    evidence: Evidence
    memory: Memory
    n_elements: int = 0

    def step(
        self,
        frame: Frame,
        creators: dict[int, str],
        tag: int,
        code: bytes,
        position: int,
        start: int,
        length: int,
        end: int,
    ) -> tuple[Entry, int]:
        """Return what becomes of the element at a position, and where it ends."""
        # The hot path, some 300 times a file: nothing here that can be elsewhere.
        if tag >= _FIRST_DELIMITER and tag >> 16 == 0xFFFE:
            raise BadDicom(Reason.BROKEN, "item outside a sequence")
        data, stop = frame.data, start + length
        if tag == CHARSET and length < 1024:
            frame.charset = ascii_text(data[start:stop])
        owner = ""
        if tag & 0x10000:
            block = tag & 0xFFFF
            if 0x10 <= block <= 0xFF and stop <= end:
                creators[tag] = ascii_text(data[start:stop])
            owner = creators.get(tag & 0xFFFF0000 | block >> 8, "")
        known = frame.known
        if length == UNDEFINED:
            return self._meet_open(frame, tag, code, position, start, end, owner)
        if stop > end:
            raise _overrun(data, end)
        if length > LARGEST_REMEMBERED_BYTES:
            return self._meet(frame, tag, code, start, stop, owner), stop
        raw = data[position:stop]
        key = (owner, raw) if owner else raw
        entry = known.get(key)
        if entry is None:
            entry = self._meet(frame, tag, code, start, stop, owner)
            self.memory.remember(known, key, len(raw), entry)
        return entry, stop

    def _walk(
        self, frame: Frame, position: int, end: int, *, is_open: bool = False
    ) -> tuple[list[tuple[int, Entry]], int]:
        """Walk an item to `end`, or to its delimiter; return where it ends, too."""
        data, read_head = frame.data, frame.encoding.read_head
        creators: dict[int, str] = {}
        entries: list[tuple[int, Entry]] = []
        while position < end:
            tag, code, start, length = read_head(data, position)
            if tag == ITEM_END and is_open:
                return self._counted(entries), position + 8
            entry, position = self.step(
                frame, creators, tag, code, position, start, length, end
            )
            entries.append((tag, entry))
        if is_open:
            raise _overrun(data, end)
        return self._counted(entries), position

    def _counted(self, entries: list[tuple[int, Entry]]) -> list[tuple[int, Entry]]:
        self.n_elements += len(entries)
        if self.n_elements > MAX_ELEMENTS:
            raise BadDicom(Reason.MANY_ELEMENTS, f"more than {MAX_ELEMENTS}")
        return entries

    def _data_set(
        self, frame: Frame, entries: list[tuple[int, Entry]]
    ) -> dict[int, bytes]:
        """Return the elements of an item that stay, by tag; of two the last."""
        kept = {tag: entry.out for tag, entry in entries if entry.out}
        return self.completed(frame, kept, lambda: entries)

    def completed(
        self,
        frame: Frame,
        kept: dict[int, bytes],
        entries: Callable[[], list[tuple[int, Entry]]],
    ) -> dict[int, bytes]:
        """Return elements with all and only the creators, units and meanings due."""
        private = [tag for tag in kept if tag & 0x10000]
        if private:
            if not kept.keys().isdisjoint(_MAYBE_UNITS):
                for tag in _parts_of_broken_units(entries()):
                    del kept[tag]
                private = [tag for tag in private if tag in kept]
            blocks = {
                tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8
                for tag in private
                if tag & 0xFFFF > 0xFF
            }
            for tag in private:
                if tag & 0xFFFF <= 0xFF and tag not in blocks:
                    del kept[tag]
        if _MEANING in kept:
            kept[_MEANING] = _meaning(kept, frame.encoding)
        return kept

    def _meet(
        self, frame: Frame, tag: int, code: bytes, start: int, stop: int, owner: str
    ) -> Entry:
        """Decide about an element of known length."""
        vr = code.decode("latin-1") or _implicit_vr(tag, owner)
        if vr == "SQ":
            return self._known_sequence(frame, tag, start, stop, owner, frame.encoding)
        decision = self._decide(tag, owner, vr)
        if tag in PIXEL_TAGS and frame.depth:
            decision = Decision(Action.REMOVE, _NESTED_PIXELS)
        if vr == "UN" and stop - start >= 8 and _is_sequence(tag, owner, decision):
            inner = encoding_of(IMPLICIT_LITTLE)
            with contextlib.suppress(BadDicom, struct.error):
                return self._known_sequence(frame, tag, start, stop, owner, inner)
        value = frame.data[start:stop]
        self.told.add(tag, vr, value, frame.charset)
        if not frame.is_kept:
            return Entry(None, b"")
        if decision is None:
            # A private creator stays while an element of its block does.
            return Entry(None, frame.encoding.element(tag, "LO", _creator(value)))
        new = self.actions.apply(decision, tag, vr, value, frame.charset)
        name, what = _name_of(tag, owner, vr), (decision.action.value,)
        if decision.action is Action.RECURSE and not value:
            empty = frame.encoding.sequence(tag, [], frame.encoding, is_open=False)
            return Entry(name, empty, what)
        what += self.actions.notes_of_last()
        if new is None:
            return Entry(name, b"", what)
        if vr not in LONG_VRS and len(new) > LONGEST_SHORT_BYTES:
            new = b""
        if tag not in OWN_TAGS:
            self.evidence.add(vr, new)
        return Entry(name, frame.encoding.element(tag, vr, new), what)

    def _known_sequence(
        self,
        frame: Frame,
        tag: int,
        start: int,
        stop: int,
        owner: str,
        inner: Encoding,
    ) -> Entry:
        """Decide about a sequence of known length."""
        entry, _ = self._sequence(frame, tag, start, stop, owner, inner, is_open=False)
        return entry

    def _meet_open(
        self,
        frame: Frame,
        tag: int,
        code: bytes,
        position: int,
        start: int,
        end: int,
        owner: str,
    ) -> tuple[Entry, int]:
        """Decide about a sequence of undefined length; return where it ends, too."""
        data, known = frame.data, frame.known
        lengths = self.memory.open_lengths(tag)
        for length in lengths:
            entry = known.get((owner, data[position : position + length]))
            if entry is not None:
                return entry, position + length
        if tag in PIXEL_TAGS:
            # In an item, such as an icon's: no gate has seen them.
            return Entry(tag, b"", (Action.REMOVE.value,)), 8 + end_of_fragments(
                frame, start, end
            )
        if code not in (b"SQ", b"UN", b""):
            raise BadDicom(Reason.BROKEN, "undefined length outside a sequence")
        inner = encoding_of(IMPLICIT_LITTLE) if code == b"UN" else frame.encoding
        entry, stop = self._sequence(frame, tag, start, end, owner, inner, is_open=True)
        size = stop - position
        if size <= LARGEST_REMEMBERED_BYTES:
            self.memory.remember(known, (owner, data[position:stop]), size, entry)
            lengths[:] = [size, *(n for n in lengths if n != size)]
            del lengths[_OPEN_LENGTHS_TRIED:]
        return entry, stop

    def _sequence(
        self,
        frame: Frame,
        tag: int,
        start: int,
        end: int,
        owner: str,
        inner: Encoding,
        *,
        is_open: bool,
    ) -> tuple[Entry, int]:
        decision = self._decide(tag, owner, "SQ")
        action = Action.REMOVE if decision is None else decision.action
        recurses = action in (Action.RECURSE, Action.RETAIN)
        is_kept = frame.is_kept and recurses
        within = Frame(
            frame.data, inner, frame.charset, frame.depth + 1, is_kept, self.memory
        )
        items, met, stop = self._items(within, start, end, is_open=is_open)
        if not frame.is_kept:
            return Entry(None, b""), stop
        name, what = _name_of(tag, owner, "SQ"), (action.value,)
        if not recurses and action not in (Action.EMPTY, Action.DUMMY):
            return Entry(name, b"", what), stop
        out = frame.encoding.sequence(tag, items, inner, is_open=is_open)
        return Entry(name, out, what, met), stop

    def _items(
        self, frame: Frame, position: int, end: int, *, is_open: bool
    ) -> tuple[list[bytes], Inside, int]:
        """
        Walk the items of a sequence (PS3.5 section 7.5).

        Returns
        -------
        tuple
            Data sets of the items, what became of their elements, and where the
            sequence ends.
        """
        if frame.depth > MAX_DEPTH:
            raise BadDicom(Reason.DEEP, f"more than {MAX_DEPTH} levels")
        data, charset = frame.data, frame.charset
        item_head = struct.Struct(frame.encoding.order + "HHI")
        items: list[bytes] = []
        met = Inside()
        while position < end:
            if end - position < 8:
                raise _overrun(data, end)
            group, number, length = item_head.unpack_from(data, position)
            mark = group << 16 | number
            position += 8
            if mark == SEQUENCE_END and is_open:
                return items, met, position
            if mark != ITEM:
                raise BadDicom(Reason.BROKEN, "something else where an item must be")
            is_open_item = length == UNDEFINED
            stop = end if is_open_item else position + length
            if stop > end:
                raise _overrun(data, end)
            if frame.charset != charset:
                frame.charset = charset
            entries, position = self._walk(frame, position, stop, is_open=is_open_item)
            if frame.is_kept:
                met.add([entry for _, entry in entries])
                items.append(join_elements(self._data_set(frame, entries)))
        if is_open:
            raise _overrun(data, end)
        return items, met, position

    def _decide(self, tag: int, owner: str, vr: str) -> Decision | None:
        """Return the decision of the policy, None for a private creator."""
        policy = self.subject.policy
        if not tag & 0x10000:
            return policy.public(tag)
        number = tag & 0xFFFF
        if number == 0:
            return Decision(Action.REMOVE, "group length")
        if 0x10 <= number <= 0xFF:
            return None
        if not owner or number < 0x1000:
            return Decision(Action.REMOVE, "private element without a creator")
        return policy.private(tag >> 16, number, owner, vr)


def end_of_fragments(frame: Frame, position: int, end: int) -> int:
    """Return where encapsulated pixel data end (PS3.5 section A.4)."""
    item_head = struct.Struct(frame.encoding.order + "HHI")
    while end - position >= 8:
        group, number, length = item_head.unpack_from(frame.data, position)
        mark = group << 16 | number
        if mark == SEQUENCE_END:
            return position
        if mark != ITEM or length == UNDEFINED:
            raise BadDicom(Reason.BROKEN, "encapsulated pixel data")
        position += 8 + length
    raise BadDicom(Reason.TRUNCATED)


def _parts_of_broken_units(entries: list[tuple[int, Entry]]) -> list[int]:
    """Return what must go since another part of its unit goes (`philips`)."""
    names = {
        tag: (entry.name[0], entry.name[2].strip().lower(), entry.name[1])
        for tag, entry in entries
        if isinstance(entry.name, tuple)
    }
    present = philips.DIFFUSION.intersection(names.values())
    if not present:
        return []
    kept = frozenset(names[tag] for tag, entry in entries if entry.out and tag in names)
    broken = philips.incomplete(present, kept)
    return [tag for tag, name in names.items() if name in broken]


def _name_of(tag: int, owner: str, vr: str) -> Name:
    """Return the name under which the policy was asked about an element."""
    if not tag & 0x10000:
        return tag
    return tag >> 16, tag & 0xFF, owner, vr


def _implicit_vr(tag: int, owner: str) -> str:
    if not tag & 0x10000:
        return "UL" if tag & 0xFFFF == 0 else public_vr(tag)
    if tag & 0xFFFF <= 0xFF:
        return "LO" if tag & 0xFFFF >= 0x10 else "UL"
    return private_vr(tag, owner) if owner else "UN"


def _is_sequence(tag: int, owner: str, decision: Decision | None) -> bool:
    """Return whether an element of unknown representation holds items."""
    if not tag & 0x10000:
        return public_vr(tag) == "SQ"
    if decision is None or not owner:
        return False
    return "SQ" in (decision.vr, private_vr(tag, owner))


def _creator(value: bytes) -> bytes:
    return padded(ascii_text(value), "LO")


def _meaning(kept: dict[int, bytes], encoding: Encoding) -> bytes:
    """Return CodeMeaning in the standard's words, or the code itself."""
    texts = []
    for tag in (0x00080102, 0x00080100):
        raw = kept.get(tag, b"")
        start = encoding.read_head(raw, 0)[2] if raw else 0
        texts.append(ascii_text(raw[start:]))
    return encoding.element(_MEANING, "LO", padded(code_meaning(*texts), "LO"))


def _overrun(data: bytes, end: int) -> BadDicom:
    if end < len(data):
        return BadDicom(Reason.BROKEN, "an element is longer than its item")
    return BadDicom(Reason.TRUNCATED)
