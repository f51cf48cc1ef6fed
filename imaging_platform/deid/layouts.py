"""
What the data sets of one origin repeat to the byte: the headers of a series, the items
of a sequence.

A data set is compared with those before it, element by element. What was the same
becomes a run, which in the next data set costs one comparison, whatever it holds; what
differs is walked, and never part of a run again.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence

from imaging_platform.deid.elements import CHARSET, MEANING

LARGEST_REMEMBERED_BYTES = 1 << 18
"""Elements that are longer are decided anew each time."""

BYTES_OF_AN_ENTRY = 500
"""What an element takes in memory besides its bytes."""

_LONGEST_OF_A_HEADER = 1 << 12
_MOST_FEW = 64
_KINDS_BEFORE_SUMMING = 4096

Name = int | tuple[int, int, str, str]
"""Of an element: the tag; of a private one group, low byte, creator, representation."""


class Kind:
    """What is counted of an element: its name, how it was treated, what is inside."""

    __slots__ = ("inside", "name", "what")

    def __init__(
        self, name: Name | None, what: tuple[str, ...], inside: Inside | None
    ) -> None:
        self.name = name
        self.what = what
        self.inside = inside

    def count(self, times: int, counts: Counter[str], names: set[Name]) -> None:
        """Add the name, and how the element and all inside of it was treated."""
        for what in self.what:
            counts[what] += times
        if self.name is not None:
            names.add(self.name)
        if self.inside is not None:
            self.inside.count(times, counts, names)


class Entry:
    """What became of an element: its kind, and its bytes, none when it went."""

    __slots__ = ("kind", "out")

    def __init__(self, kind: Kind, out: bytes) -> None:
        self.kind = kind
        self.out = out


Step = tuple[int, Entry, str | None, int, int]
"""
An element that was walked.

Its tag, what became of it, the private creator if it is one, where it begins and ends.
"""


class Run:
    """
    Consecutive elements of a data set.

    Parameters
    ----------
    stretch
        The elements as they were walked, and the bytes of each.
    before
        The private creators before them.

    Attributes
    ----------
    first, last
        Tags of the first and the last of them.
    raw, n_bytes
        Their bytes, and how many.
    entries
        What became of each, with its tag.
    raws
        Bytes of each by tag; none of the largest.
    kept
        New bytes of each that stays, by tag.
    joined
        The same in their order, None when other elements decide about them or when
        that is no order of tags.
    before
        None when no private element is among them.
    creators
        The private creators among them.
    """

    __slots__ = (
        "before",
        "creators",
        "entries",
        "first",
        "joined",
        "kept",
        "last",
        "n_bytes",
        "raw",
        "raws",
    )

    def __init__(
        self, stretch: Sequence[tuple[Step, bytes]], before: dict[int, str]
    ) -> None:
        self.raw = b"".join(raw for _, raw in stretch)
        self.n_bytes = len(self.raw)
        self.entries = [(step[0], step[1]) for step, _ in stretch]
        self.first, self.last = self.entries[0][0], self.entries[-1][0]
        self.raws = {step[0]: header_bytes(raw, 0, len(raw)) for step, raw in stretch}
        self.kept = {tag: entry.out for tag, entry in self.entries if entry.out}
        self.creators = {s[0]: s[2] for s, _ in stretch if s[2] is not None}
        tags = [tag for tag, _ in self.entries]
        self.before = before if any(tag & 0x10000 for tag in tags) else None
        is_plain = all(map(is_plain_tag, self.kept)) and tags == sorted(set(tags))
        self.joined = b"".join(self.kept.values()) if is_plain else None

    def end_at(
        self, data: bytes, position: int, end: int, creators: dict[int, str]
    ) -> int:
        """Return where they end if they stand at a position behind creators, else 0."""
        stop = position + self.n_bytes
        is_same = stop <= end and data[position:stop] == self.raw
        if is_same and (self.before is None or self.before == creators):
            return stop
        return 0

    def count(self, times: int, counts: Counter[str], names: set[Name]) -> None:
        """Add the names of the elements, and how they were treated."""
        for _, entry in self.entries:
            entry.kind.count(times, counts, names)


def header_bytes(data: bytes, start: int, stop: int) -> bytes:
    """Return the bytes of an element as the gate asks for them: none of the largest."""
    return data[start:stop] if stop - start < _LONGEST_OF_A_HEADER else b""


def is_plain_tag(tag: int) -> bool:
    """Return whether an element stays whatever stays beside it."""
    return not tag & 0x10000 and tag != MEANING


class Inside:
    """Names and treatments of the elements of a sequence, at all depths."""

    __slots__ = ("_counts", "_met", "_names")

    def __init__(self) -> None:
        self._counts: Counter[str] | None = None
        self._names: set[Name] = set()
        self._met: list[Kind | Run] = []

    def add(self, kinds: Sequence[Kind | Run]) -> None:
        """Take up what became of the elements of an item."""
        self._met += kinds
        if len(self._met) > _KINDS_BEFORE_SUMMING:
            self._sum_up()

    @property
    def few(self) -> tuple[Kind | Run, ...] | None:
        """What was taken up, None when it is much."""
        is_much = self._counts is not None or len(self._met) > _MOST_FEW
        return None if is_much else tuple(self._met)

    def count(self, times: int, counts: Counter[str], names: set[Name]) -> None:
        """Add the names of the elements, and how they were treated."""
        for what, n_times in self._sum_up().items():
            counts[what] += n_times * times
        names |= self._names

    def _sum_up(self) -> Counter[str]:
        if self._counts is None:
            self._counts = Counter()
        for kind, times in Counter(self._met).items():
            kind.count(times, self._counts, self._names)
        self._met.clear()
        return self._counts


class Layout:
    """
    What the data sets of one origin have in common.

    Attributes
    ----------
    runs
        What was met behind an element, by its tag; 0 for the beginning.
    varying
        Tags of the elements that differ, or are not in each data set.
    misses
        How many elements of a tag were new since one was met again.
    n_bytes
        What it takes in memory, at most.
    """

    __slots__ = ("_raws", "misses", "n_bytes", "runs", "varying")

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}
        # What follows the character set depends on it: no run may reach over it.
        self.varying = {CHARSET}
        self.misses: dict[int, int] = {}
        self.n_bytes = 0
        self._raws: dict[int, bytes] = {}

    def learn(
        self,
        data: bytes,
        steps: Sequence[Step | Run],
        previous: int,
        creators: dict[int, str],
    ) -> None:
        """
        Make runs of the elements that repeat those before; note which do not.

        Parameters
        ----------
        data
            In which the steps stand.
        steps
            What became of a data set, or of all behind an element of it.
        previous, creators
            Tag of that element, 0 for none, and the private creators so far.
        """
        for begin, before, stretch in self._stretches(data, steps, previous, creators):
            run = Run(stretch, before)
            if begin in self.runs:
                self._note_parting(self.runs[begin], run)
            self.runs[begin] = run
            self.n_bytes += 2 * len(run.raw) + BYTES_OF_AN_ENTRY * len(stretch)

    def _note_parting(self, old: Run, new: Run) -> None:
        for tags in zip(old.raws, new.raws, strict=False):
            if tags[0] != tags[1]:
                # The lower one is not in each data set.
                self.varying.add(min(tags))
                return

    def _stretches(
        self,
        data: bytes,
        steps: Sequence[Step | Run],
        previous: int,
        creators: dict[int, str],
    ) -> Iterator[tuple[int, dict[int, str], list[tuple[Step, bytes]]]]:
        """Yield the tag and the creators before each stretch, and its elements."""
        gaps = sorted(self.varying)
        creators = dict(creators)
        begin, before = previous, creators
        stretch: list[tuple[Step, bytes]] = []
        for step in steps:
            if isinstance(step, Run):
                tag, raw, own = step.last, None, step.creators
            else:
                tag, raw = step[0], self._repeated(data, step)
                own = {} if step[2] is None else {tag: step[2]}
            is_cut = raw is None or bisect(gaps, previous) != bisect(gaps, tag)
            if stretch and is_cut:
                yield begin, before, stretch
                stretch = []
            if raw is not None and not isinstance(step, Run):
                if not stretch:
                    begin, before = previous, dict(creators)
                stretch.append((step, raw))
            creators |= own
            previous = tag
        if stretch:
            yield begin, before, stretch

    def _repeated(self, data: bytes, step: Step) -> bytes | None:
        """Return the bytes of an element that is as it was before, else None."""
        tag, _, _, start, stop = step
        if tag in self.varying:
            return None
        raw = data[start:stop] if stop - start <= LARGEST_REMEMBERED_BYTES else b""
        known = self._raws.get(tag)
        if known is None and raw:
            self._raws[tag] = raw
            self.n_bytes += len(raw) + BYTES_OF_AN_ENTRY
            return None
        if known == raw:
            return known
        self.varying.add(tag)
        self._raws.pop(tag, None)
        return None
