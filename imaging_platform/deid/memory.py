"""
What became of elements that were met before, found by their bytes.

What an element becomes depends on its bytes, on the encoding, on the character set
and, for a private one, on its creator, and on nothing else. So an element that was
met before costs a look-up; and what the data sets of one origin repeat to the byte
costs one comparison (`imaging_platform.deid.layouts`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from imaging_platform.deid.layouts import (
    BYTES_OF_AN_ENTRY,
    Entry,
    Inside,
    Kind,
    Layout,
    Name,
    Run,
    Step,
)

MAX_REMEMBERED_BYTES = 24 << 20
"""What is kept of elements; then all is forgotten and begins anew."""


@dataclass
class Memory:
    """
    The elements of one session, bounded.

    Parameters
    ----------
    counts
        How many elements were treated how, once `settle` was called.
    names
        The elements of the files that were written, once `settle` was called.
    """

    counts: Counter[str] = field(default_factory=Counter)
    names: set[Name] = field(default_factory=set)
    _entries: dict[object, dict[object, Entry]] = field(default_factory=dict)
    _lengths: dict[int, list[int]] = field(default_factory=dict)
    _layouts: dict[object, Layout] = field(default_factory=dict)
    _kinds: dict[object, Kind] = field(default_factory=dict)
    _written: Counter[Kind | Run] = field(default_factory=Counter)
    _n_bytes: int = 0

    def of(self, surroundings: object) -> dict[object, Entry]:
        """Return the entries of an encoding and character set."""
        return self._entries.setdefault(surroundings, {})

    def layout(self, surroundings: object, origin: object) -> Layout:
        """Return what is known of the data sets of one origin."""
        key = surroundings, origin
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layouts[key] = Layout()
            self._take(BYTES_OF_AN_ENTRY)
        return layout

    def open_lengths(self, tag: int) -> list[int]:
        """Return how long open sequences of a tag were lately; to be changed."""
        return self._lengths.setdefault(tag, [])

    def kind(
        self, name: Name | None, what: tuple[str, ...], inside: Inside | None = None
    ) -> Kind:
        """Return the kind of elements with a name, treatment and content."""
        few = inside.few if inside else ()
        if few is None:
            return Kind(name, what, inside)
        kind = self._kinds.get((name, what, few))
        if kind is None:
            kind = self._kinds[name, what, few] = Kind(name, what, inside)
            self._take(BYTES_OF_AN_ENTRY)
        return kind

    def remember(
        self, entries: dict[object, Entry], key: object, size: int, entry: Entry
    ) -> None:
        """Keep an entry whose element has `size` bytes."""
        self._take(size + len(entry.out) + BYTES_OF_AN_ENTRY)
        entries[key] = entry

    def learn(
        self,
        layout: Layout,
        data: bytes,
        steps: Sequence[Step | Run],
        previous: int,
        creators: dict[int, str],
    ) -> None:
        """Tell a layout of a data set (`Layout.learn`)."""
        n_bytes = layout.n_bytes
        layout.learn(data, steps, previous, creators)
        self._take(layout.n_bytes - n_bytes)

    def note_written(self, steps: Sequence[Step | Run]) -> None:
        """Count the elements of a file that was written."""
        self._written.update(
            [step if isinstance(step, Run) else step[1].kind for step in steps]
        )

    def settle(self) -> None:
        """Add all to the counts, and forget it."""
        for kind, times in self._written.items():
            kind.count(times, self.counts, self.names)
        self._written.clear()
        for entries in self._entries.values():
            entries.clear()
        self._layouts.clear()
        self._kinds.clear()
        self._n_bytes = 0

    def _take(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes
        if self._n_bytes > MAX_REMEMBERED_BYTES:
            self.settle()
