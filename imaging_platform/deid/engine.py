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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from imaging_platform.deid import philips
from imaging_platform.deid.actions import Actions, Subject, padded
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
    encode_meta,
    encoding_of,
    join_elements,
)
from imaging_platform.deid.guard import Evidence
from imaging_platform.deid.header import Header, PixelPlace
from imaging_platform.deid.identifiers import Gathering
from imaging_platform.deid.imprint import imprint
from imaging_platform.deid.mask_recipes import MaskRecipe
from imaging_platform.deid.masking import find_mask
from imaging_platform.deid.memory import (
    SHORTEST_RUN,
    Context,
    Entry,
    Inside,
    Memory,
    Name,
    Run,
    Step,
)
from imaging_platform.deid.policy import Action, Decision
from imaging_platform.deid.pseudonyms import new_uid
from imaging_platform.deid.screen import Screen
from imaging_platform.deid.tables import code_meaning
from imaging_platform.dicom.structure import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    NATIVE_SYNTAXES,
    BadDicom,
    Reason,
    find_start,
    fitting_syntax,
)

MAX_DEPTH = 16
MAX_ELEMENTS = 4_000_000
_LARGEST_REMEMBERED_BYTES = 1 << 18
_OPEN_LENGTHS_TRIED = 4
_LONGEST_IN_A_RUN = 1 << 12
_CHARSET, _MEANING = 0x00080005, 0x00080104
_OWN_TAGS = frozenset({0x00100010, 0x00100020})
_FIRST_DELIMITER = 0xFFFE0000
_FUNCTIONAL_GROUPS = 0x5200_0000


# Where elements of a unit can stand: in any block of their groups.
_MAYBE_UNITS = frozenset(
    group << 16 | block << 8 | low
    for group, _, low in philips.DIFFUSION
    for block in range(0x10, 0x100)
)


class _Frame:
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
    _imprints: dict[tuple[str, bool], dict[int, bytes]] = field(default_factory=dict)
    _n_elements: int = 0

    def __post_init__(self) -> None:
        self._actions = Actions(self.subject, self.screen)

    @property
    def names(self) -> frozenset[Name]:
        """The elements of the files that were written, at all depths."""
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
            self._walk_top(
                self._frame(data, header.encoding, is_kept=False),
                start,
                header,
                before=_FUNCTIONAL_GROUPS,
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
        frame = self._frame(data, header.encoding, is_kept=True)
        with _truncation_told():
            steps = self._walk_top(frame, start, header)
        return self._assemble(header, self._elements_of(frame, steps), steps)

    def _frame(self, data: bytes, encoding: Encoding, *, is_kept: bool) -> _Frame:
        return _Frame(data, encoding, "", 0, is_kept, self._memory)

    def _open(self, data: bytes) -> tuple[dict[int, str], int]:
        """Return the texts of the meta group, and where the data set starts."""
        if len(data) == 0:
            raise BadDicom(Reason.EMPTY)
        self._n_elements = 0
        start, _ = find_start(data)
        with _truncation_told():
            meta, start = self._read_meta(data, start)
        if meta.get(0x00020002) == "1.2.840.10008.1.3.10":
            raise BadDicom(Reason.DIRECTORY)
        if start == len(data):
            raise BadDicom(Reason.BROKEN, "no data set")
        return meta, start

    def _assemble(
        self, header: Header, elements: dict[int, bytes], steps: list[Step | Run]
    ) -> Rewritten:
        secret, old_uid = self.subject.secret, header.text(0x00080018)
        uid, series_uid = (
            new_uid(secret, o) for o in (old_uid, header.text(0x0020000E))
        )
        is_retained = self.subject.policy.settings.uids == "retain"
        mask = find_mask(header, self.subject.policy.settings)
        said_of = self._imprint(header.encoding, mask is not None)
        named = {tag: elements[tag] for tag in _OWN_TAGS if tag in elements}
        elements |= said_of
        elements |= named
        written_uid = old_uid if is_retained else uid
        meta = encode_meta(header.text(0x00080016), written_uid, header.syntax)
        head = [meta, *[elements[tag] for tag in sorted(elements)]]
        return Rewritten(head, header, uid, series_uid, mask, steps)

    def _imprint(self, encoding: Encoding, is_masked: bool) -> dict[int, bytes]:
        key = (encoding.syntax, is_masked)
        said = self._imprints.get(key)
        if said is None:
            said = imprint(self.subject, encoding, is_masked=is_masked)
            self._imprints[key] = said
        return said

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
            texts[tag] = ascii_text(value)
        return texts, position

    def _walk_top(
        self, frame: _Frame, position: int, header: Header, *, before: int = 1 << 32
    ) -> list[Step | Run]:
        """
        Walk the top level up to the pixel data, or to the first tag from `before` on.

        Returns
        -------
        list
            What became of each element in the order of the file, private creators
            too.
        """
        data, end, previous = frame.data, len(frame.data), 0
        read_head = frame.encoding.read_head
        context = Context(frame.encoding, frame.charset, {})
        begin = context.copy()
        steps: list[Step | Run] = []
        n_in_row = longest = 0
        while position < end:
            run = self._memory.find_run(data, position, previous, context)
            if run is not None and frame.is_kept:
                steps.append(run)
                n_in_row = 0
                header.raws.update(run.raws)
                context.creators.update(run.creators)
                position += len(run.raw)
                previous = run.entries[-1][0]
                continue
            tag, code, start, length = read_head(data, position)
            if tag >= before:
                break
            if tag in PIXEL_TAGS:
                header.pixels = _place_pixels(frame, tag, code, start, length, end)
                break
            entry, stop = self._step(
                frame, context.creators, tag, code, position, start, length, end
            )
            raw = data[position:stop] if stop - position < _LONGEST_IN_A_RUN else b""
            header.raws[tag] = raw
            if tag == _CHARSET:
                # What follows depends on it, so no run may reach over it.
                context.charset = begin.charset = frame.charset
                raw = b""
            is_remembered = stop - position <= _LARGEST_REMEMBERED_BYTES
            generation = self._memory.generation if is_remembered else -1
            creator = context.creators.get(tag)
            steps.append(Step(tag, raw, entry, creator, generation))
            n_in_row = n_in_row + 1 if entry.times and raw else 0
            longest = max(longest, n_in_row)
            position, previous = stop, tag
        if longest >= SHORTEST_RUN:
            self._memory.learn(begin, steps)
        return steps

    def _walk(
        self, frame: _Frame, position: int, end: int, *, is_open: bool = False
    ) -> tuple[list[tuple[int, Entry]], int]:
        """Walk an item to `end`, or to its delimiter; return where it ends, too."""
        data, read_head = frame.data, frame.encoding.read_head
        creators: dict[int, str] = {}
        entries: list[tuple[int, Entry]] = []
        while position < end:
            tag, code, start, length = read_head(data, position)
            if tag == ITEM_END and is_open:
                return self._counted(entries), position + 8
            entry, position = self._step(
                frame, creators, tag, code, position, start, length, end
            )
            entries.append((tag, entry))
        if is_open:
            raise _overrun(data, end)
        return self._counted(entries), position

    def _step(
        self,
        frame: _Frame,
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
        if tag == _CHARSET and length < 1024:
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
        if length > _LARGEST_REMEMBERED_BYTES:
            return self._meet(frame, tag, code, start, stop, owner), stop
        raw = data[position:stop]
        key = (owner, raw) if owner else raw
        entry = known.get(key)
        if entry is None:
            entry = self._meet(frame, tag, code, start, stop, owner)
            self._memory.remember(known, key, len(raw), entry)
        return entry, stop

    def _counted(self, entries: list[tuple[int, Entry]]) -> list[tuple[int, Entry]]:
        self._n_elements += len(entries)
        if self._n_elements > MAX_ELEMENTS:
            raise BadDicom(Reason.MANY_ELEMENTS, f"more than {MAX_ELEMENTS}")
        return entries

    def _elements_of(self, frame: _Frame, steps: list[Step | Run]) -> dict[int, bytes]:
        """Return the elements of the top level that stay, by tag."""
        kept: dict[int, bytes] = {}
        for step in steps:
            if isinstance(step, Run):
                kept.update(step.kept)
            elif step.entry.out:
                kept[step.tag] = step.entry.out
        return self._completed(frame, kept, lambda: _entries_of(steps))

    def _data_set(
        self, frame: _Frame, entries: list[tuple[int, Entry]]
    ) -> dict[int, bytes]:
        """Return the elements of an item that stay, by tag; of two the last."""
        kept = {tag: entry.out for tag, entry in entries if entry.out}
        return self._completed(frame, kept, lambda: entries)

    def _completed(
        self,
        frame: _Frame,
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
        self, frame: _Frame, tag: int, code: bytes, start: int, stop: int, owner: str
    ) -> Entry:
        """Decide about an element of known length."""
        vr = code.decode("latin-1") or _implicit_vr(tag, owner)
        if vr == "SQ":
            return self._known_sequence(frame, tag, start, stop, owner, frame.encoding)
        decision = self._decide(tag, owner, vr)
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
        new = self._actions.apply(decision, tag, vr, value, frame.charset)
        name, what = _name_of(tag, owner, vr), (decision.action.value,)
        if decision.action is Action.RECURSE and not value:
            empty = frame.encoding.sequence(tag, [], frame.encoding, is_open=False)
            return Entry(name, empty, what)
        what += self._actions.notes_of_last()
        if new is None:
            return Entry(name, b"", what)
        if vr not in LONG_VRS and len(new) > LONGEST_SHORT_BYTES:
            new = b""
        if tag not in _OWN_TAGS:
            self.evidence.add(vr, new)
        return Entry(name, frame.encoding.element(tag, vr, new), what)

    def _known_sequence(
        self,
        frame: _Frame,
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
        frame: _Frame,
        tag: int,
        code: bytes,
        position: int,
        start: int,
        end: int,
        owner: str,
    ) -> tuple[Entry, int]:
        """Decide about a sequence of undefined length; return where it ends, too."""
        data, known = frame.data, frame.known
        lengths = self._memory.open_lengths(tag)
        for length in lengths:
            entry = known.get((owner, data[position : position + length]))
            if entry is not None:
                return entry, position + length
        if code not in (b"SQ", b"UN", b""):
            raise BadDicom(Reason.BROKEN, "undefined length outside a sequence")
        inner = encoding_of(IMPLICIT_LITTLE) if code == b"UN" else frame.encoding
        entry, stop = self._sequence(frame, tag, start, end, owner, inner, is_open=True)
        size = stop - position
        if size <= _LARGEST_REMEMBERED_BYTES:
            self._memory.remember(known, (owner, data[position:stop]), size, entry)
            lengths[:] = [size, *(n for n in lengths if n != size)]
            del lengths[_OPEN_LENGTHS_TRIED:]
        return entry, stop

    def _sequence(
        self,
        frame: _Frame,
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
        within = _Frame(
            frame.data, inner, frame.charset, frame.depth + 1, is_kept, self._memory
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
        self, frame: _Frame, position: int, end: int, *, is_open: bool
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


@contextlib.contextmanager
def _truncation_told() -> Iterator[None]:
    try:
        yield
    except struct.error:
        raise BadDicom(Reason.TRUNCATED) from None


def _place_pixels(
    frame: _Frame, tag: int, code: bytes, start: int, length: int, end: int
) -> PixelPlace:
    vr = code.decode("latin-1")
    if length == UNDEFINED:
        stop = _end_of_fragments(frame, start, end)
        return PixelPlace(tag, vr, start, stop, True)
    if start + length > end:
        raise BadDicom(Reason.TRUNCATED)
    return PixelPlace(tag, vr, start, start + length, False)


def _end_of_fragments(frame: _Frame, position: int, end: int) -> int:
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


def _entries_of(steps: list[Step | Run]) -> list[tuple[int, Entry]]:
    entries: list[tuple[int, Entry]] = []
    for step in steps:
        entries += step.entries if isinstance(step, Run) else [(step.tag, step.entry)]
    return entries


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
