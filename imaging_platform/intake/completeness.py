"""
What a session lacks by the scanner's own counts: images, volumes, slices.

Counts come from the index. A count that a scanner leaves out proves nothing, and
more images than counted are no fault: derived images share their series.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.dicom.completeness import (
    SourceFile,
    Stack,
    Surplus,
    find_cut_frames,
    find_surpluses,
)
from imaging_platform.dicom.frames import count_positions
from imaging_platform.dicom.headers import Header
from imaging_platform.dicom.instances import describe_header
from imaging_platform.dicom.stacks import Run, group_stacks
from imaging_platform.intake.index import IndexRow
from imaging_platform.intake.zone import store_path

MOST_NAMED = 20
"""Volumes or slices that are named; the others are counted."""


@dataclass(frozen=True)
class Shortfall:
    """
    What one series lacks; holds no identity.

    Parameters
    ----------
    series_number
        (0020,0011), None when absent.
    n_instances
        Files of the series that came.
    why
        What is wrong, as a sentence.
    missing
        Volumes and slices that did not come, in words; empty when only their
        number is known.
    """

    series_number: int | None
    n_instances: int
    why: str
    missing: tuple[str, ...] = ()


def find_shortfalls(rows: Sequence[IndexRow], zone: Path) -> tuple[Shortfall, ...]:
    """
    Return what the series of a session lack, in order of series.

    Three witnesses are asked: each slice position must occur equally often, as in
    conversion; images of an acquisition are as many as (0020,1002) says, or so many
    a volume; volumes are as many as (0020,0105), or for PET slices times frames as
    (0054,0081) and (0054,0101) say.

    Parameters
    ----------
    rows
        All files of one session, one an instance.
    zone
        Holds the store: the frames of multi-frame files are counted in it.
    """
    runs: defaultdict[Run, list[IndexRow]] = defaultdict(list)
    for row in rows:
        if row.header.has_pixels:
            runs[_source(row, zone).run].append(row)
    found = [
        Shortfall(run[0].header.series_number, len(run), why, missing)
        for run in sorted(runs.values(), key=_order)
        for why, missing in _shortfalls_of(run, zone)
    ]
    return tuple(found)


def _order(run: Sequence[IndexRow]) -> tuple[int, str]:
    first = run[0].header
    return (first.series_number or 0, first.series_description)


def _shortfalls_of(
    run: Sequence[IndexRow], zone: Path
) -> Iterator[tuple[str, tuple[str, ...]]]:
    files = [_source(row, zone) for row in run]
    surpluses = [*find_surpluses(group_stacks(files)), *_cut_frames(files)]
    for surplus in surpluses:
        yield surplus.why, _abridge(surplus.missing)
    headers = [row.header for row in run]
    counted = _count_images(headers) or _count_pet(headers)
    if not counted and not surpluses:
        counted = _count_volumes(files, headers)
    if counted:
        yield counted, ()


def _source(row: IndexRow, zone: Path) -> SourceFile:
    path = str(store_path(zone, row.sha256))
    return SourceFile(path, describe_header(row.header))


def _cut_frames(files: Stack) -> Iterator[Surplus]:
    cut = find_cut_frames(files)
    for why in sorted(set(cut.values())):
        yield Surplus([f for f in files if f.header.sop_uid in cut], why)


def _abridge(missing: Sequence[str]) -> tuple[str, ...]:
    more = len(missing) - MOST_NAMED
    return (*missing[:MOST_NAMED], *([f"and {more} more"] if more > 0 else []))


def _count_images(headers: Sequence[Header]) -> str:
    """
    Compare images of an acquisition with what the scanner counted.

    Philips counts all images of the series in (0020,1002), GE those of one volume.
    """
    by_acquisition: defaultdict[int | None, list[Header]] = defaultdict(list)
    for header in headers:
        by_acquisition[header.acquisition_number].append(header)
    for own in by_acquisition.values():
        n_came = sum(header.n_frames for header in own)
        a_volume = max(header.images_in_acquisition or 0 for header in own)
        n_volumes = max(header.n_temporal_positions or 1 for header in own)
        expected = a_volume if n_came <= a_volume else a_volume * n_volumes
        if n_came < expected:
            return f"{n_came} of {expected} images of an acquisition came."
    return ""


def _count_pet(headers: Sequence[Header]) -> str:
    n_slices = max(header.n_slices or 0 for header in headers)
    expected = n_slices * max(header.n_time_slices or 1 for header in headers)
    n_came = sum(header.n_frames for header in headers)
    return f"{n_came} of {expected} slices came." if n_came < expected else ""


def _count_volumes(files: Stack, headers: Sequence[Header]) -> str:
    expected = {header.sop_uid: header.n_temporal_positions or 1 for header in headers}
    for stack in group_stacks(files):
        wanted = max(expected[file.header.sop_uid] for file in stack)
        # What a scanner computes of a run repeats its count, and is one volume.
        if wanted == 1 or not stack[0].header.image_type.startswith("ORIGINAL"):
            continue
        n_came = _volumes_in(stack)
        if n_came is not None and n_came < wanted:
            return f"{n_came} of {wanted} volumes came."
    return ""


def _volumes_in(stack: Stack) -> int | None:
    """Return how many volumes the files make, at most; None when it is not known."""
    if stack[0].header.n_frames > 1:
        counts = list(map(count_positions, stack))
        if not all(counts):
            return None
        return sum(max(count.values()) for count in counts)
    if "MOSAIC" in stack[0].header.image_type:
        return len(stack)
    if not stack[0].header.image_position:
        return None
    at_one_place = max(Counter(file.header.image_position for file in stack).values())
    # Slices that follow a moving head stand nowhere twice.
    numbers = [
        len({getattr(file.header, name) for file in stack})
        for name in ("temporal_position", "acquisition_number")
    ]
    return max(at_one_place, *numbers)
