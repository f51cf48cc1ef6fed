"""Which instances make whole volumes: an interrupted scan never reaches dcm2niix."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from imaging_platform.dicom.frames import count_positions
from imaging_platform.dicom.stacks import (
    SourceFile,
    Stack,
    Surplus,
    measure_along_normal,
    read_place,
    split_series,
)
from imaging_platform.dicom.volumes import find_short_echoes

CUT_SHORT = "The run was interrupted: its last volume lacks slices."
HOLE = (
    "A volume of the run lacks slices: only the longest stretch of whole volumes is "
    "converted."
)
NO_ORDER = (
    "Some slices of the run are missing, and nothing tells its volumes apart: "
    "nothing is converted."
)
SAME_NUMBERS = (
    "Instances of several volumes have the same number, by which the converter tells "
    "its slices apart: nothing is converted."
)
GAP = "Slices inside the volume are missing: nothing is converted."
CUT_FRAMES = (
    "The frames of a file do not make whole volumes: the run was interrupted, and "
    "the file is not converted."
)
SHORT_SERIES = "The series lacks slices that others of its run have."
FEW_FRAMES = "A file of the run holds fewer frames than the others."

_FEWEST_MOVING_VOLUMES = 5
_FEWEST_FRAMES = 6
_ON_LINE_MM = 0.05

Volumes = Mapping[int, Stack]


WHOLE = Surplus((), "")


def find_incomplete(stacks: Sequence[Stack]) -> dict[str, str]:
    """
    Return the instances that belong to no whole volume, with the reason.

    A stack is what shares run, orientation, echo and image type; each of its slice
    positions must occur equally often. Of a stack with volumes that lack slices the
    longest stretch of whole volumes stays, the first of equally long ones. Then the
    echoes of an acquisition must have the same slices and volumes.

    Parameters
    ----------
    stacks
        All images of the session (`group_stacks`). Mosaics hold one whole volume each.
    """
    return {
        file.header.sop_uid: surplus.why
        for surplus in find_surpluses(stacks)
        for file in surplus.files
    }


def find_surpluses(stacks: Sequence[Stack]) -> Iterator[Surplus]:
    """Yield what `find_incomplete` finds, with the slices that are missing."""
    whole: list[Stack] = []
    for stack in stacks:
        is_mosaic = "MOSAIC" in stack[0].header.image_type
        surplus = WHOLE if is_mosaic else _find_surplus(stack)
        if surplus.files:
            yield surplus
        dropped = {file.header.sop_uid for file in surplus.files}
        if rest := [file for file in stack if file.header.sop_uid not in dropped]:
            whole.append(rest)
    yield from find_short_echoes(whole)


def find_cut_frames(files: Sequence[SourceFile]) -> dict[str, str]:
    """Return the enhanced files whose frames do not make whole volumes."""
    left_out: dict[str, str] = {}
    for file in files:
        if file.is_image and file.header.n_frames > 1:
            counts = count_positions(file)
            if len(set(counts.values())) > 1:
                left_out[file.header.sop_uid] = CUT_FRAMES
            elif _has_gap(sorted(counts)):
                left_out[file.header.sop_uid] = GAP
    return left_out


def _has_gap(places: Sequence[tuple[float, ...]]) -> bool:
    """Tell whether slices on one line lie one spacing apart, but for a wider gap."""
    if len(places) < _FEWEST_FRAMES:
        return False
    start, end = places[0], places[-1]
    length = math.dist(start, end)
    along = sorted(math.dist(start, place) for place in places)
    on_line = all(
        abs(math.dist(start, place) + math.dist(place, end) - length) < _ON_LINE_MM
        for place in places
    )
    steps = [b - a for a, b in itertools.pairwise(along)]
    return on_line and max(_count_spacings(steps), default=1) > 1


def _find_surplus(stack: Stack) -> Surplus:
    """Return the files of a stack that are in no whole volume, and why."""
    if stack[0].header.n_frames > 1:
        return _find_short_files(stack)
    if not stack[0].header.image_position:
        return WHOLE
    counts = Counter(map(read_place, stack))
    times = set(counts.values())
    if max(times) > 1 and not _has_own_numbers(stack):
        return Surplus(stack, SAME_NUMBERS)
    numbered = [v for v in _number_volumes(stack) if len(v) > 1]
    if any(len(set(map(len, volumes.values()))) == 1 for volumes in numbered):
        # The scanner's own count of volumes: slices may follow a moving head.
        return WHOLE if times == {1} or len(times) > 1 else _find_gap(stack)
    if times == {1}:
        moving = next(filter(_is_mostly_whole, numbered), None)
        return _split_volumes(moving) if moving else _find_gap(stack)
    if len(times) == 1:
        return _find_gap(stack)
    for volumes in (
        *numbered,
        *_infer_volumes(stack, len(counts)),
        *_interleave_volumes(stack, max(times)),
    ):
        if max(map(len, volumes.values())) == len(counts) and _has_no_twins(volumes):
            return _split_volumes(volumes)
    if surplus := _find_short_series(stack, len(counts)):
        return surplus
    most = max(times)
    ordered = _order_places(stack)
    lacking = [
        f"slice {number} of {len(ordered)}: {counts[place]} of {most} volumes"
        for number, place in enumerate(ordered, start=1)
        if counts[place] < most
    ]
    return Surplus(stack, NO_ORDER, tuple(lacking))


def _has_own_numbers(stack: Stack) -> bool:
    """
    Tell whether each instance has a number that no other of its series has.

    dcm2niix sorts by it: of numbers that begin again in each volume it makes volumes
    with slices of several, whatever the acquisition numbers say. Only of Philips it
    asks the temporal position.
    """
    headers = [file.header for file in stack]
    numbers = {
        ("" if file.is_xa_slice else file.header.series_uid, file.number)
        for file in stack
    }
    if len(numbers) == len(stack) and all(n is not None for _, n in numbers):
        return True
    moments = {(h.temporal_position, h.image_position) for h in headers}
    is_philips = headers[0].manufacturer.startswith("Philips")
    return is_philips and len(moments) == len(stack)


def _find_short_files(stack: Stack) -> Surplus:
    """Find files with fewer frames than most files of the run have."""
    frames = Counter(file.header.n_frames for file in stack)
    usual, n_usual = max(frames.items(), key=lambda pair: (pair[1], pair[0]))
    if 2 * n_usual <= len(stack):
        return WHOLE
    short = [file for file in stack if file.header.n_frames < usual]
    lacking = [f"a file of {f.header.n_frames} of {usual} frames" for f in short]
    return Surplus(short, FEW_FRAMES, tuple(lacking))


def _find_short_series(stack: Stack, n_slices: int) -> Surplus | None:
    """Find series that lack slices, where each series is one volume."""
    members = split_series(stack)
    short = [one for one in members if len(one) < n_slices]
    if len(short) == len(members) or max(map(len, members)) > n_slices:
        return None
    lacking = [f"a series of {len(one)} of {n_slices} slices" for one in short]
    return Surplus([f for one in short for f in one], SHORT_SERIES, tuple(lacking))


def _number_volumes(stack: Stack) -> Iterator[Volumes]:
    """Yield the volumes by each number that the scanner gives to volumes."""
    for name in ("temporal_position", "acquisition_number"):
        numbers = [getattr(file.header, name) for file in stack]
        if None not in numbers:
            yield _group(stack, numbers)


def _infer_volumes(stack: Stack, n_slices: int) -> Iterator[Volumes]:
    """
    Yield the volumes by instance number, volume after volume.

    The number at which a volume begins is not written anywhere. It is taken from
    the slices, which are numbered along the normal; where they are not, a run must
    begin at 1 or 0. A wrong beginning would mix the slices of two volumes.
    """
    numbers = [file.header.instance_number or 0 for file in stack]
    if len(set(numbers)) < len(stack):
        return
    for first in (min(numbers), 1, max(numbers) + 1):
        volumes = _group(stack, [(number - first) // n_slices for number in numbers])
        if first == min(numbers) in {0, 1} or _is_along_normal(volumes):
            yield volumes


def _interleave_volumes(stack: Stack, n_volumes: int) -> Iterator[Volumes]:
    """
    Yield the volumes by instance number, slice after slice, as Philips counts.

    Then each stretch of as many numbers as there are volumes must be at one place,
    which a wrong beginning would contradict. A last place that lacks volumes proves
    nothing: more places may have been lost behind it.
    """
    numbers = [file.header.instance_number for file in stack]
    if None in numbers or len(set(numbers)) < len(stack):
        return
    first = min(1, *(n or 0 for n in numbers))
    steps = [divmod((n or 0) - first, n_volumes) for n in numbers]
    stretches = [stretch for stretch, _ in steps]
    pairs = set(zip(stretches, map(read_place, stack), strict=True))
    is_whole_at_end = stretches.count(max(stretches)) == n_volumes
    n_places = len({place for _, place in pairs})
    if is_whole_at_end and len(pairs) == len(set(stretches)) == n_places:
        yield _group(stack, [volume for _, volume in steps])


def _is_along_normal(volumes: Volumes) -> bool:
    """Tell whether the slices of all volumes are numbered in one direction."""
    directions: set[bool] = set()
    for volume in volumes.values():
        ordered = sorted(volume, key=lambda file: file.header.instance_number or 0)
        places = measure_along_normal(ordered)
        directions.update(b > a for a, b in itertools.pairwise(places))
    return len(directions) == 1


def _group(stack: Stack, numbers: Sequence[int]) -> Volumes:
    volumes: dict[int, list[SourceFile]] = defaultdict(list)
    for file, number in zip(stack, numbers, strict=True):
        volumes[number].append(file)
    return volumes


def _has_no_twins(volumes: Volumes) -> bool:
    """Tell whether no volume has two slices at one place."""
    return all(len(set(map(read_place, v))) == len(v) for v in volumes.values())


def _is_mostly_whole(volumes: Volumes) -> bool:
    sizes = Counter(map(len, volumes.values()))
    usual = max(sizes)
    return (
        len(volumes) >= _FEWEST_MOVING_VOLUMES
        and 2 * sizes[usual] > len(volumes)
        and _has_no_twins(volumes)
    )


def _split_volumes(volumes: Volumes) -> Surplus:
    """Return the files outside the longest stretch of whole volumes, and why."""
    whole = max(map(len, volumes.values()))
    numbers = sorted(volumes)
    step = min((b - a for a, b in itertools.pairwise(numbers)), default=1)
    best: list[int] = []
    stretch: list[int] = []
    for number in numbers:
        if len(volumes[number]) < whole:
            stretch = []
            continue
        follows = bool(stretch) and number - stretch[-1] == step
        stretch = [*stretch, number] if follows else [number]
        best = stretch if len(stretch) > len(best) else best
    dropped = [file for n in numbers if n not in set(best) for file in volumes[n]]
    why = CUT_SHORT if best == numbers[:-1] else HOLE
    return Surplus(dropped, why, tuple(_list_lacking(volumes, whole)))


def _list_lacking(volumes: Volumes, whole: int) -> Iterator[str]:
    """Say of each volume that is not whole which slices it lacks."""
    ordered = _order_places([file for volume in volumes.values() for file in volume])
    for place, volume in sorted(volumes.items()):
        if len(volume) == whole:
            continue
        number = place - min(volumes) + 1
        there = set(map(read_place, volume))
        lacking = [n for n, at in enumerate(ordered, start=1) if at not in there]
        if len(ordered) > whole:
            # Slices that follow a moving head stand elsewhere in each volume.
            yield f"volume {number}: {whole - len(volume)} of {whole} slices"
        else:
            yield f"volume {number}: {_say_slices(lacking)} of {whole}"


def _say_slices(numbers: Sequence[int]) -> str:
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][-1] + 1:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    said = [f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in stretches]
    return f"{'slice' if len(numbers) == 1 else 'slices'} {', '.join(said)}"


def _order_places(stack: Stack) -> list[tuple[float, ...]]:
    """Return the slice positions of a stack along their normal, each once."""
    along = measure_along_normal(stack)
    places = list(map(read_place, stack))
    if not along:
        return sorted(set(places))
    return sorted(set(places), key=dict(zip(places, along, strict=True)).__getitem__)


def _find_gap(stack: Stack) -> Surplus:
    """
    Find a volume that lacks slices in its middle.

    Two witnesses are needed, since a protocol may leave a space between slices: the
    instance numbers must jump by as much as the places do. Of a run the first
    volume is looked at.
    """
    first: dict[tuple[float, ...], SourceFile] = {}
    for file in sorted(stack, key=lambda file: file.header.instance_number or 0):
        first.setdefault(read_place(file), file)
    volume = list(first.values())
    places = measure_along_normal(volume)
    numbers = [file.header.instance_number for file in volume]
    if len(places) < 3 or None in numbers:
        return WHOLE
    order = sorted(zip(places, [n or 0 for n in numbers], strict=True))
    steps = [(b[0] - a[0], abs(b[1] - a[1])) for a, b in itertools.pairwise(order)]
    multiples = _count_spacings([step for step, _ in steps])
    jump = min(jump for _, jump in steps)
    has_jumps = [own for _, own in steps] == [jump * m for m in multiples]
    if has_jumps and max(multiples) > 1:
        ends = list(itertools.accumulate(multiples, initial=1))
        lacking = sorted({*range(1, ends[-1] + 1)} - {*ends})
        return Surplus(stack, GAP, (f"{_say_slices(lacking)} of {ends[-1]}",))
    return WHOLE


def _count_spacings(steps_mm: Sequence[float]) -> list[int]:
    """Return each step between slices in spacings; none when they are irregular."""
    spacing = statistics.median(steps_mm)
    if spacing <= 0:
        return []
    multiples = [step / spacing for step in steps_mm]
    is_regular = all(abs(m - round(m)) < 0.05 and m > 0.5 for m in multiples)
    return list(map(round, multiples)) if is_regular else []
