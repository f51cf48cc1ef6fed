"""Putting the elements of a data set together that stay."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from imaging_platform.deid import philips
from imaging_platform.deid.actions import Subject, padded
from imaging_platform.deid.elements import MEANING, ascii_text
from imaging_platform.deid.encoding import Encoding, join_elements
from imaging_platform.deid.imprint import imprint
from imaging_platform.deid.layouts import Entry, Run, Step, is_plain_tag
from imaging_platform.deid.tables import code_meaning

OWN_TAGS = frozenset({0x00100010, 0x00100020})
"""PatientName and PatientID: the pseudonym."""

_MOST_SHAPES = 32

# Where elements of a unit can stand: in any block of their groups.
_MAYBE_UNITS = frozenset(
    group << 16 | block << 8 | low
    for group, _, low in philips.DIFFUSION
    for block in range(0x10, 0x100)
)

Part = bytes | int
"""Constant bytes, or the place of a step whose bytes are meant."""


@dataclass
class Assembly:
    """
    Puts the top level of files together.

    Files of one shape, that is of the same runs and of elements of the same tags
    between them, differ in the bytes of these elements alone; what stands between
    them is joined once.

    Parameters
    ----------
    subject
        The session's subject.
    """

    subject: Subject
    _shapes: dict[object, list[Part]] = field(default_factory=dict)
    _imprints: dict[object, dict[int, bytes]] = field(default_factory=dict)

    def parts(
        self, encoding: Encoding, steps: Sequence[Step | Run], *, is_masked: bool
    ) -> list[bytes]:
        """Return the elements as they are written, with those of the engine."""
        shape = (
            encoding.syntax,
            is_masked,
            *[s if isinstance(s, Run) else (s[0], bool(s[1].out)) for s in steps],
        )
        parts = self._shapes.get(shape)
        if parts is None:
            parts = self._join(encoding, steps, is_masked)
            if not _depend_on_values(steps):
                if len(self._shapes) >= _MOST_SHAPES:
                    self._shapes.clear()
                self._shapes[shape] = parts
        return [
            part if isinstance(part, bytes) else _out(steps[part]) for part in parts
        ]

    def _join(
        self, encoding: Encoding, steps: Sequence[Step | Run], is_masked: bool
    ) -> list[Part]:
        elements = elements_of(encoding, steps)
        named = {tag: elements[tag] for tag in OWN_TAGS if tag in elements}
        elements |= self._imprint(encoding, is_masked)
        elements |= named
        places = {
            step[0]: place
            for place, step in enumerate(steps)
            if isinstance(step, tuple)
        }
        parts: list[Part] = []
        constant: list[bytes] = []
        for tag in sorted(elements):
            place = places.get(tag)
            if place is None or _out(steps[place]) is not elements[tag]:
                constant.append(elements[tag])
                continue
            parts += (b"".join(constant), place)
            constant.clear()
        return [*parts, b"".join(constant)]

    def _imprint(self, encoding: Encoding, is_masked: bool) -> dict[int, bytes]:
        key = encoding.syntax, is_masked
        said = self._imprints.get(key)
        if said is None:
            said = imprint(self.subject, encoding, is_masked=is_masked)
            self._imprints[key] = said
        return said


def joined(encoding: Encoding, steps: Sequence[Step | Run]) -> bytes:
    """Return the elements of an item that stay; of two the last."""
    parts: list[bytes] = []
    previous = -1
    for step in steps:
        if isinstance(step, Run):
            if step.joined is None or step.first <= previous:
                break
            parts.append(step.joined)
            previous = step.last
            continue
        tag, entry = step[0], step[1]
        if tag <= previous or (entry.out and not is_plain_tag(tag)):
            break
        parts.append(entry.out)
        previous = tag
    else:
        return b"".join(parts)
    return join_elements(elements_of(encoding, steps))


def elements_of(encoding: Encoding, steps: Sequence[Step | Run]) -> dict[int, bytes]:
    """
    Return the elements that stay, by tag; of two the last.

    With all and only the private creators, parts of units and meanings of codes that
    are due.

    Parameters
    ----------
    encoding
        Of the data set.
    steps
        What became of its elements.
    """
    kept: dict[int, bytes] = {}
    for step in steps:
        if isinstance(step, Run):
            kept.update(step.kept)
        elif step[1].out:
            kept[step[0]] = step[1].out
    return _completed(encoding, kept, steps)


def _completed(
    encoding: Encoding, kept: dict[int, bytes], steps: Sequence[Step | Run]
) -> dict[int, bytes]:
    """Return elements with all and only the creators, units and meanings due."""
    if _may_have_units(tuple(kept)):
        for tag in _parts_of_broken_units(_entries_of(steps)):
            del kept[tag]
    for tag in _idle_creators(tuple(kept)):
        del kept[tag]
    if MEANING in kept:
        kept[MEANING] = _meaning(kept, encoding)
    return kept


def _out(step: Step | Run) -> bytes:
    return b"" if isinstance(step, Run) else step[1].out


def _depend_on_values(steps: Sequence[Step | Run]) -> bool:
    """Return whether the value of one element may decide about another."""
    tags = [t for s in steps for t in (s.kept if isinstance(s, Run) else s[:1])]
    return MEANING in tags or _may_have_units(tuple(tags))


@functools.lru_cache(maxsize=256)
def _may_have_units(tags: tuple[int, ...]) -> bool:
    return not _MAYBE_UNITS.isdisjoint(tags)


@functools.lru_cache(maxsize=256)
def _idle_creators(tags: tuple[int, ...]) -> tuple[int, ...]:
    """Return the private creators that have no element among these."""
    private = [tag for tag in tags if tag & 0x10000]
    blocks = {
        tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8 for tag in private if tag & 0xFFFF > 0xFF
    }
    return tuple(t for t in private if t & 0xFFFF <= 0xFF and t not in blocks)


def _entries_of(steps: Sequence[Step | Run]) -> list[tuple[int, Entry]]:
    entries: list[tuple[int, Entry]] = []
    for step in steps:
        entries += step.entries if isinstance(step, Run) else [step[:2]]
    return entries


def _parts_of_broken_units(entries: list[tuple[int, Entry]]) -> list[int]:
    """Return what must go since another part of its unit goes (`philips`)."""
    names = {
        tag: (name[0], name[2].strip().lower(), name[1])
        for tag, name in ((tag, entry.kind.name) for tag, entry in entries)
        if isinstance(name, tuple)
    }
    present = philips.DIFFUSION.intersection(names.values())
    if not present:
        return []
    kept = frozenset(names[tag] for tag, entry in entries if entry.out and tag in names)
    broken = philips.incomplete(present, kept)
    return [tag for tag, name in names.items() if name in broken]


def _meaning(kept: dict[int, bytes], encoding: Encoding) -> bytes:
    """Return CodeMeaning in the standard's words, or the code itself."""
    texts = []
    for tag in (0x00080102, 0x00080100):
        raw = kept.get(tag, b"")
        start = encoding.read_head(raw, 0)[2] if raw else 0
        texts.append(ascii_text(raw[start:]))
    return encoding.element(MEANING, "LO", padded(code_meaning(*texts), "LO"))
