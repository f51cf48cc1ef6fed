"""What a run of whole volumes lacks: volumes of one echo, or numbers left out."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from imaging_platform.dicom.stacks import (
    Run,
    Stack,
    Surplus,
    describe_kind,
    read_place,
)

SHORT_ECHO = "The echo lacks slices that another echo of its acquisition has."
LONE_ECHO = "The volume lacks an echo that the others of its run have."

_FEWEST_NUMBERED_VOLUMES = 4


def find_short_echoes(stacks: Sequence[Stack]) -> Iterator[Surplus]:
    """
    Yield what one echo of an acquisition has, or lacks, unlike the others.

    An echo without some slices is no image of the grid of the others; a volume
    without one of its echoes cannot be combined.

    Parameters
    ----------
    stacks
        Stacks of whole volumes.
    """
    families: dict[tuple[object, ...], list[Stack]] = defaultdict(list)
    for stack in stacks:
        header = stack[0].header
        series = {file.header.series_uid for file in stack}
        if header.n_frames == 1 and header.image_position:
            kind = describe_kind(header, with_echo=False)
            is_own = len(series) == 1 and not stack[0].is_xa_slice
            own = series.pop() if is_own else ""
            families[*stack[0].run, own, *kind].append(stack)
    for echoes in families.values():
        if len(echoes) > 1:
            yield from _compare_echoes(echoes)


def _compare_echoes(echoes: Sequence[Stack]) -> Iterator[Surplus]:
    places = [frozenset(map(read_place, echo)) for echo in echoes]
    most = max(places, key=len)
    short = [echo for echo, own in zip(echoes, places, strict=True) if own < most]
    for echo in short:
        n_lacking = len(most) - len(set(map(read_place, echo)))
        yield Surplus(echo, SHORT_ECHO, (f"{n_lacking} of {len(most)} slices",))
    alike = [echo for echo, own in zip(echoes, places, strict=True) if own == most]
    if len(set(map(len, alike))) > 1:
        yield from _find_lone_volumes(alike)


def _find_lone_volumes(echoes: Sequence[Stack]) -> Iterator[Surplus]:
    """Find volumes that not all echoes have, by the scanner's number of a volume."""
    for name in ("temporal_position", "acquisition_number"):
        numbers = [[getattr(f.header, name) for f in echo] for echo in echoes]
        shared = set(numbers[0]).intersection(*numbers[1:])
        if not shared or any(None in own for own in numbers):
            continue
        if any(own.count(n) != numbers[0].count(n) for own in numbers for n in shared):
            continue
        lone = [
            file
            for echo, own in zip(echoes, numbers, strict=True)
            for file, number in zip(echo, own, strict=True)
            if number not in shared
        ]
        if lone:
            n_volumes = len({getattr(file.header, name) for file in lone})
            yield Surplus(lone, LONE_ECHO, (f"an echo of {n_volumes} volumes",))
            return


def find_skipped(stacks: Sequence[Stack]) -> dict[str, str]:
    """
    Return series UID -> a sentence that says which instance numbers were skipped.

    Of a run that lost a whole volume in its middle all other volumes are whole. The
    numbers of its instances tell: at each place they grow by the same step, but
    where volumes were lost, and no other image of the run has the numbers between.

    Parameters
    ----------
    stacks
        All images of the session (`group_stacks`).
    """
    used: dict[Run, set[int]] = defaultdict(set)
    for stack in stacks:
        used[stack[0].run].update(file.number or 0 for file in stack)
    found: dict[str, str] = {}
    for stack in stacks:
        if n_lost := _count_lost_volumes(stack, used[stack[0].run]):
            noun = "volume is" if n_lost == 1 else "volumes are"
            why = f"By the numbers of the instances {n_lost} {noun} missing inside it."
            found |= {file.header.series_uid: why for file in stack}
    return found


def _count_lost_volumes(stack: Stack, used: set[int]) -> int:
    numbers: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for file in stack:
        numbers[read_place(file)].append(file.number or 0)
    columns = [sorted(own) for own in numbers.values()]
    steps = {tuple(b - a for a, b in itertools.pairwise(own)) for own in columns}
    pattern = next(iter(steps))
    if len(steps) > 1 or len(pattern) + 1 < _FEWEST_NUMBERED_VOLUMES:
        return 0
    base = min(pattern)
    if base <= 0 or any(step % base for step in pattern):
        return 0
    if 2 * pattern.count(base) <= len(pattern):
        return 0
    lost = {
        number
        for own in columns
        for a, b in itertools.pairwise(own)
        for number in range(a + base, b, base)
    }
    return 0 if lost & used else sum(step // base - 1 for step in pattern)
