"""What becomes of each element of a data set and of its items, at every depth."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from imaging_platform.deid.actions import Actions, Subject, padded
from imaging_platform.deid.assembly import OWN_TAGS, joined
from imaging_platform.deid.decision import Action, Decision
from imaging_platform.deid.elements import (
    CHARSET,
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
)
from imaging_platform.deid.frames import Frame
from imaging_platform.deid.guard import Evidence
from imaging_platform.deid.identifiers import Gathering
from imaging_platform.deid.layouts import (
    LARGEST_REMEMBERED_BYTES,
    Entry,
    Inside,
    Kind,
    Name,
    Run,
    Step,
)
from imaging_platform.deid.memory import Memory
from imaging_platform.dicom.structure import IMPLICIT_LITTLE, BadDicom, Reason

MAX_DEPTH = 16
MAX_ELEMENTS = 4_000_000
_OPEN_LENGTHS_TRIED = 4
# More than a volume has slices: elements that are new that often repeat none before.
_MOST_MISSES = 512
_FIRST_DELIMITER = 0xFFFE0000
_FIRST_END = 0x52000000
_NESTED_PIXELS = "pixel data in an item, which no gate has seen"

_NAMELESS = Kind(None, (), None)
_NOTHING = Entry(_NAMELESS, b"")


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
    _judged: dict[tuple[int, str, str], tuple[Decision | None, Kind]] = field(
        default_factory=dict, repr=False
    )

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
        if length == UNDEFINED:
            return self._meet_open(frame, tag, code, position, start, end, owner)
        if stop > end:
            raise _overrun(data, end)
        misses = frame.layout.misses
        n_misses = misses.get(tag, 0)
        if length > LARGEST_REMEMBERED_BYTES or n_misses > _MOST_MISSES:
            return self._meet(frame, tag, code, start, stop, owner), stop
        raw = data[position:stop]
        key = (owner, raw) if owner else raw
        entry = frame.known.get(key)
        if entry is None:
            misses[tag] = n_misses + 1
            entry = self._meet(frame, tag, code, start, stop, owner)
            self.memory.remember(frame.known, key, len(raw), entry)
        elif n_misses:
            misses[tag] = 0
        return entry, stop

    def walk(
        self, frame: Frame, position: int, end: int, until: Callable[[int], bool]
    ) -> tuple[list[Step | Run], int]:
        """
        Walk a data set.

        Parameters
        ----------
        frame
            Its surroundings.
        position, end
            Where it begins, and where it ends at the latest.
        until
            Whether the data set ends before an element of a tag; asked for the high
            ones only, `_FIRST_END` and above.

        Returns
        -------
        tuple
            What became of each element in the order of the file, private creators
            too; and where it ends.
        """
        data, read_head, step = frame.data, frame.encoding.read_head, self.step
        layout, creators = frame.layout, {}
        runs, varying = layout.runs, layout.varying
        steps: list[Step | Run] = []
        begin = previous = n_more = 0
        before: dict[int, str] = {}
        is_new = False
        while position < end:
            run = runs.get(previous)
            stop = run.end_at(data, position, end, creators) if run else 0
            if run and stop:
                steps.append(run)
                position, previous = stop, run.last
                n_more += len(run.entries) - 1
                if run.creators:
                    creators.update(run.creators)
                continue
            tag, code, start, length = read_head(data, position)
            if tag >= _FIRST_END and until(tag):
                break
            entry, stop = step(frame, creators, tag, code, position, start, length, end)
            creator = creators.get(tag) if tag & 0x10000 else None
            steps.append((tag, entry, creator, position, stop))
            position, previous = stop, tag
            if tag not in varying:
                is_new = True
            elif tag == CHARSET:
                layout, begin, before = frame.layout, len(steps), dict(creators)
                runs, varying = layout.runs, layout.varying
        if is_new:
            after = CHARSET if begin else 0
            self.memory.learn(layout, data, steps[begin:], after, before)
        self.n_elements += len(steps) + n_more
        if self.n_elements > MAX_ELEMENTS:
            raise BadDicom(Reason.MANY_ELEMENTS, f"more than {MAX_ELEMENTS}")
        return steps, position

    def _item(
        self, frame: Frame, position: int, end: int, *, is_open: bool
    ) -> tuple[list[Step | Run], int]:
        """Walk an item to `end`, or over its delimiter; return where it ends, too."""
        if not is_open:
            return self.walk(frame, position, end, _never)
        steps, position = self.walk(frame, position, end, _ends_item)
        if position >= end:
            raise _overrun(frame.data, end)
        return steps, position + 8

    def _meet(
        self, frame: Frame, tag: int, code: bytes, start: int, stop: int, owner: str
    ) -> Entry:
        """Decide about an element of known length."""
        vr = code.decode("latin-1") or _implicit_vr(tag, owner)
        if vr == "SQ":
            return self._known_sequence(frame, tag, start, stop, owner, frame.encoding)
        decision, kind = self._judge(tag, owner, vr)
        if tag in PIXEL_TAGS and frame.depth:
            decision = Decision(Action.REMOVE, _NESTED_PIXELS)
            kind = self.memory.kind(tag, (Action.REMOVE.value,))
        if vr == "UN" and stop - start >= 8 and _is_sequence(tag, owner, decision):
            inner = encoding_of(IMPLICIT_LITTLE)
            with contextlib.suppress(BadDicom, struct.error):
                return self._known_sequence(frame, tag, start, stop, owner, inner)
        value = frame.data[start:stop]
        self.told.add(tag, vr, value, frame.charset)
        if not frame.is_kept:
            return _NOTHING
        if decision is None:
            # A private creator stays while an element of its block does.
            return Entry(_NAMELESS, frame.encoding.element(tag, "LO", _creator(value)))
        new = self.actions.apply(decision, tag, vr, value, frame.charset)
        if decision.action is Action.RECURSE and not value:
            empty = frame.encoding.sequence(tag, [], frame.encoding, is_open=False)
            return Entry(kind, empty)
        notes = self.actions.notes_of_last()
        if notes:
            kind = self.memory.kind(kind.name, (*kind.what, *notes))
        if new is None:
            return Entry(kind, b"")
        if vr not in LONG_VRS and len(new) > LONGEST_SHORT_BYTES:
            new = b""
        if tag not in OWN_TAGS:
            self.evidence.add(vr, new)
        return Entry(kind, frame.encoding.element(tag, vr, new))

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
        data, known, misses = frame.data, frame.known, frame.layout.misses
        n_misses = misses.get(tag, 0)
        is_remembered = n_misses <= _MOST_MISSES
        lengths = self.memory.open_lengths(tag)
        for length in lengths if is_remembered else ():
            entry = known.get((owner, data[position : position + length]))
            if entry is not None:
                misses[tag] = 0
                return entry, position + length
        misses[tag] = n_misses + 1
        if tag in PIXEL_TAGS:
            # In an item, such as an icon's: no gate has seen them.
            kind = self.memory.kind(tag, (Action.REMOVE.value,))
            return Entry(kind, b""), 8 + end_of_fragments(frame, start, end)
        if code not in (b"SQ", b"UN", b""):
            raise BadDicom(Reason.BROKEN, "undefined length outside a sequence")
        inner = encoding_of(IMPLICIT_LITTLE) if code == b"UN" else frame.encoding
        entry, stop = self._sequence(frame, tag, start, end, owner, inner, is_open=True)
        size = stop - position
        if is_remembered and size <= LARGEST_REMEMBERED_BYTES:
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
        decision, kind = self._judge(tag, owner, "SQ")
        action = Action.REMOVE if decision is None else decision.action
        recurses = action in (Action.RECURSE, Action.RETAIN)
        is_kept = frame.is_kept and recurses
        within = frame.inside(tag, inner, is_kept=is_kept)
        items, met, stop = self._items(within, start, end, is_open=is_open)
        if not frame.is_kept:
            return _NOTHING, stop
        if not recurses and action not in (Action.EMPTY, Action.DUMMY):
            return Entry(kind, b""), stop
        out = frame.encoding.sequence(tag, items, inner, is_open=is_open)
        return Entry(self.memory.kind(kind.name, kind.what, met), out), stop

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
        read_mark = frame.encoding.read_mark
        items: list[bytes] = []
        met = Inside()
        while position < end:
            if end - position < 8:
                raise _overrun(data, end)
            group, number, length = read_mark(data, position)
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
            steps, position = self._item(frame, position, stop, is_open=is_open_item)
            if frame.is_kept:
                met.add([s if isinstance(s, Run) else s[1].kind for s in steps])
                items.append(joined(frame.encoding, steps))
        if is_open:
            raise _overrun(data, end)
        return items, met, position

    def _judge(self, tag: int, owner: str, vr: str) -> tuple[Decision | None, Kind]:
        """Return the decision of the policy, and how it is counted."""
        key = tag, owner, vr
        judged = self._judged.get(key)
        if judged is None:
            decision = self._decide(tag, owner, vr)
            action = Action.REMOVE if decision is None else decision.action
            kind = self.memory.kind(_name_of(tag, owner, vr), (action.value,))
            judged = self._judged[key] = decision, kind
        return judged

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


def _never(tag: int) -> bool:
    del tag  # An item of known length.
    return False


def _ends_item(tag: int) -> bool:
    return tag == ITEM_END


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


def _overrun(data: bytes, end: int) -> BadDicom:
    if end < len(data):
        return BadDicom(Reason.BROKEN, "an element is longer than its item")
    return BadDicom(Reason.TRUNCATED)
