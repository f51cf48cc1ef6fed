"""
What became of elements that were met before, found by their bytes.

What an element becomes depends on its bytes, on the encoding, on the character set
and, for a private one, on its creator, and on nothing else. So an element that was
met before costs a look-up; and a stretch of a header that the files of a series
repeat to the byte costs one comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

MAX_REMEMBERED_BYTES = 24 << 20
"""What is kept of elements; then all is forgotten and begins anew."""

SHORTEST_RUN = 8
"""Elements of a run; fewer are found as fast one by one."""

_RUNS_AFTER_AN_ELEMENT = 64
_ENTRIES_BEFORE_SUMMING = 4096
_BYTES_OF_AN_ENTRY = 500


Name = int | tuple[int, int, str, str]
"""Of an element: the tag; of a private one group, low byte, creator, representation."""


class Entry:
    """What became of an element: name, bytes (none when it went), how, how often."""

    __slots__ = ("inside", "is_written", "name", "out", "times", "what")

    def __init__(
        self,
        name: Name | None,
        out: bytes,
        what: Sequence[str] = (),
        inside: Inside | None = None,
    ) -> None:
        self.name = name
        self.out = out
        self.what = what
        self.inside = inside
        self.times = 0
        self.is_written = False

    def count(self, times: int, counts: Counter[str]) -> None:
        """Add how the element, and all inside of it, was treated."""
        for what in self.what:
            counts[what] += times
        if self.inside is not None:
            for what, n_times in self.inside.counts.items():
                counts[what] += n_times * times

    def tell_names(self, names: set[Name]) -> None:
        """Add the names of the element and of all inside of it."""
        if self.name is not None:
            names.add(self.name)
        if self.inside is not None:
            names |= self.inside.names


class Inside:
    """Names and treatments of the elements of a sequence, at all depths."""

    __slots__ = ("_met", "_summed")

    def __init__(self) -> None:
        self._summed: tuple[Counter[str], set[Name]] | None = None
        self._met: list[Entry] = []

    def add(self, entries: Sequence[Entry]) -> None:
        """Take up what became of the elements of an item."""
        self._met += entries
        if len(self._met) > _ENTRIES_BEFORE_SUMMING:
            self._sum_up()

    @property
    def counts(self) -> Counter[str]:
        """How many elements were treated how."""
        return self._sum_up()[0]

    @property
    def names(self) -> set[Name]:
        """Names of the elements."""
        return self._sum_up()[1]

    def _sum_up(self) -> tuple[Counter[str], set[Name]]:
        counts, names = self._summed = self._summed or (Counter(), set())
        for entry, times in Counter(self._met).items():
            entry.count(times, counts)
            entry.tell_names(names)
        self._met.clear()
        return counts, names


@dataclass(slots=True)
class Step:
    """An element of the top level as it was walked."""

    tag: int
    raw: bytes
    entry: Entry
    creator: str | None
    generation: int


@dataclass(slots=True)
class Context:
    """
    What the elements that follow depend on, besides their bytes.

    Parameters
    ----------
    encoding, charset
        Of the data set.
    creators
        Private creators so far, by group << 16 | block.
    """

    encoding: object
    charset: str
    creators: dict[int, str]

    def copy(self) -> Context:
        """Return the context as it is now."""
        return Context(self.encoding, self.charset, dict(self.creators))


@dataclass(slots=True)
class Run:
    """
    Consecutive elements of the top level.

    Parameters
    ----------
    raw
        Their bytes.
    context
        In which they were met.
    entries, raws
        What became of each, and its bytes, by tag.
    kept
        Bytes of each that stays, by tag.
    creators
        The private creators among them.
    """

    raw: bytes
    context: Context
    entries: list[tuple[int, Entry]]
    raws: dict[int, bytes]
    kept: dict[int, bytes]
    creators: dict[int, str]
    times: int = 0
    is_written: bool = False


@dataclass
class Memory:
    """
    The elements and runs of one session, bounded.

    Parameters
    ----------
    counts
        How many elements were treated how, once `settle` was called.
    names
        The elements of the files that were written.
    generation
        Grows whenever all was forgotten.
    """

    counts: Counter[str] = field(default_factory=Counter)
    names: set[Name] = field(default_factory=set)
    generation: int = 0
    _entries: dict[object, dict[object, Entry]] = field(default_factory=dict)
    _lengths: dict[int, list[int]] = field(default_factory=dict)
    _runs: dict[int, list[Run]] = field(default_factory=dict)
    _n_bytes: int = 0

    def of(self, surroundings: object) -> dict[object, Entry]:
        """Return the entries of an encoding and character set."""
        return self._entries.setdefault(surroundings, {})

    def open_lengths(self, tag: int) -> list[int]:
        """Return how long open sequences of a tag were lately; to be changed."""
        return self._lengths.setdefault(tag, [])

    def remember(
        self, entries: dict[object, Entry], key: object, size: int, entry: Entry
    ) -> None:
        """Keep an entry whose element has `size` bytes."""
        self._n_bytes += size + len(entry.out) + _BYTES_OF_AN_ENTRY
        if self._n_bytes > MAX_REMEMBERED_BYTES:
            self.settle()
        entries[key] = entry

    def find_run(
        self, data: bytes, position: int, previous: int, context: Context
    ) -> Run | None:
        """Return the run that stands behind an element, None if none is known."""
        runs = self._runs.get(previous)
        if runs is None:
            return None
        for index, run in enumerate(runs):
            if _is_at(data, position, run.raw) and run.context == context:
                if index:
                    # The next file is most often of the same series.
                    runs.insert(0, runs.pop(index))
                return run
        return None

    def learn(self, start: Context, steps: Sequence[Step | Run]) -> None:
        """Make runs of the known elements of a file."""
        for previous, context, stretch in _stretches(start, steps):
            run = Run(
                b"".join(step.raw for step in stretch),
                context,
                [(step.tag, step.entry) for step in stretch],
                {step.tag: step.raw for step in stretch},
                {step.tag: step.entry.out for step in stretch if step.entry.out},
                {s.tag: s.creator for s in stretch if s.creator is not None},
            )
            self._n_bytes += len(run.raw) + _BYTES_OF_AN_ENTRY * len(stretch)
            known = self._runs.setdefault(previous, [])
            known.insert(0, run)
            for old in known[_RUNS_AFTER_AN_ELEMENT:]:
                self._settle_run(old)
            del known[_RUNS_AFTER_AN_ELEMENT:]

    def note_written(self, steps: Sequence[Step | Run]) -> None:
        """Count the elements of a file that was written."""
        for step in steps:
            if isinstance(step, Run):
                step.times += 1
                if not step.is_written:
                    step.is_written = True
                    for _, entry in step.entries:
                        self._note_names(entry)
                continue
            self._note_names(step.entry)
            if step.generation == self.generation:
                step.entry.times += 1
            else:
                step.entry.count(1, self.counts)

    def settle(self) -> None:
        """Add all to the counts, and forget it."""
        for run in (run for runs in self._runs.values() for run in runs):
            self._settle_run(run)
        for entries in self._entries.values():
            for entry in entries.values():
                if entry.times:
                    entry.count(entry.times, self.counts)
            entries.clear()
        self._runs.clear()
        self._n_bytes = 0
        self.generation += 1

    def _settle_run(self, run: Run) -> None:
        if run.times:
            for _, entry in run.entries:
                entry.count(run.times, self.counts)

    def _note_names(self, entry: Entry) -> None:
        if not entry.is_written:
            entry.is_written = True
            entry.tell_names(self.names)


def _is_at(data: bytes, position: int, raw: bytes) -> bool:
    if isinstance(data, bytes):
        return data.startswith(raw, position)
    return data[position : position + len(raw)] == raw


def _stretches(
    context: Context, steps: Sequence[Step | Run]
) -> Iterator[tuple[int, Context, list[Step]]]:
    """Yield consecutive known elements, with the element and the context before."""
    previous = last = 0
    before, stretch = context.copy(), []
    for step in steps:
        is_single = isinstance(step, Step)
        if is_single and step.entry.times and step.raw:
            stretch.append(step)
            last = step.tag
            if step.creator is not None:
                context.creators[step.tag] = step.creator
            continue
        if len(stretch) >= SHORTEST_RUN:
            yield previous, before, stretch
        if isinstance(step, Run):
            context.creators.update(step.creators)
            last = step.entries[-1][0]
        else:
            last = step.tag
            if step.creator is not None:
                context.creators[step.tag] = step.creator
        previous, before, stretch = last, context.copy(), []
    if len(stretch) >= SHORTEST_RUN:
        yield previous, before, stretch
