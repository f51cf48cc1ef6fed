"""The files of a session as stacks: what one orientation, echo and kind share."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from imaging_platform.dicom.header_index import Instance

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
_CUT_BY_SLICE = ("CANON", "TOSHIBA")
_POSITION_DECIMALS = 2
_COSINE_DECIMALS = 3
_ECHO_TYPE = re.compile(r"\\TE\d+")

Run = tuple[str, int, str]
"""Study, number and description of the series of a run."""


class SourceFile(NamedTuple):
    """
    One DICOM file of the session.

    Parameters
    ----------
    path
        Where it lies; never part of a report.
    header
        Its facts.
    """

    path: str
    header: Instance

    @property
    def run(self) -> Run:
        """What files of one run share, even where each volume is its own series."""
        header = self.header
        if self.is_xa_slice:
            return name_xa_run(header.series_time)
        return (header.study_uid, header.series_number or 0, header.series_description)

    @property
    def is_xa_slice(self) -> bool:
        """
        True for a file of Siemens XA in classic DICOM.

        There each volume is a series with a UID, a number and instance numbers of its
        own (7001, 7002, ...); the volumes of a run share the time of the series, and
        by it alone dcm2niix joins them (rordenlab/dcm2niix#236).
        """
        header = self.header
        return (
            header.software_versions.startswith("syngo MR XA")
            and header.sop_class_uid == _MR_IMAGE
            and bool(header.series_time)
        )

    @property
    def number(self) -> int | None:
        """Number of the instance in its run, as dcm2niix counts; None when unknown."""
        own = self.header.instance_number
        if own is not None and self.is_xa_slice:
            return 1000 * (self.header.series_number or 0) + own
        return own

    @property
    def is_image(self) -> bool:
        """True for pixels of a body; False for reports, spectra, screenshots."""
        header = self.header
        return header.has_pixels and not header.sop_class_uid.startswith(
            _SECONDARY_CAPTURE
        )


Stack = Sequence[SourceFile]


def name_xa_run(series_time: str) -> Run:
    """Return the run of Siemens XA in classic DICOM whose series have this time."""
    return ("", 0, f"series of {series_time}")


class Surplus(NamedTuple):
    """
    Files of a stack that are in no whole volume.

    Parameters
    ----------
    files
        The files; empty when all volumes are whole.
    why
        The reason, as a sentence.
    missing
        Which slices there are not, in words; empty when that cannot be told.
    """

    files: Stack
    why: str
    missing: tuple[str, ...] = ()


def group_stacks(files: Sequence[SourceFile]) -> list[list[SourceFile]]:
    """
    Return the images of each run, by orientation, echo and image type.

    Where each volume is a series of its own, the run takes them all; a series that
    has several volumes is a run for itself, whatever its number and name.
    """
    stacks: dict[tuple[object, ...], list[SourceFile]] = defaultdict(list)
    for file in files:
        if file.is_image:
            stacks[(*file.run, *describe_kind(file.header))].append(file)
    return [part for stack in stacks.values() for part in _part_series(stack)]


def _part_series(stack: list[SourceFile]) -> list[list[SourceFile]]:
    members = split_series(stack)
    if len(members) > 1 and any(_has_volumes(one) for one in members):
        return [stack] if _is_cut_by_slice(stack) else members
    return [stack]


def find_cut_by_slice(files: Sequence[SourceFile]) -> list[list[SourceFile]]:
    """
    Return the stacks of which each slice position is a series of its own.

    So some Canon scanners write runs in classic DICOM (rordenlab/dcm2niix#495).
    """
    own = [file for file in files if _may_cut(file)]
    return [stack for stack in group_stacks(own) if _is_cut_by_slice(stack)]


def find_joined_kinds(files: Sequence[SourceFile]) -> list[list[SourceFile]]:
    """
    Return the images of Siemens XA in classic DICOM that dcm2niix would join.

    Series of one time are one run to it, also an image with and one without
    normalization, or two maps (`SourceFile.is_xa_slice`).
    """
    kinds: dict[Run, dict[str, list[SourceFile]]] = {}
    for file in files:
        if file.is_xa_slice and file.is_image:
            kind = _ECHO_TYPE.sub("", file.header.image_type)
            kinds.setdefault(file.run, {}).setdefault(kind, []).append(file)
    return [own for each in kinds.values() if len(each) > 1 for own in each.values()]


def _may_cut(file: SourceFile) -> bool:
    return file.header.manufacturer.upper().startswith(_CUT_BY_SLICE)


def _is_cut_by_slice(stack: Stack) -> bool:
    if not _may_cut(stack[0]):
        return False
    members = split_series(stack)
    places = [set(map(read_place, one)) for one in members]
    numbers = {file.header.instance_number for file in stack}
    return (
        len(members) > 1
        and all(len(own) == 1 for own in places)
        and len(set[object]().union(*places)) == len(members)
        and len(numbers) == len(stack)
    )


def split_series(stack: Stack) -> list[list[SourceFile]]:
    """Return the files of each series of a stack."""
    members: dict[str, list[SourceFile]] = defaultdict(list)
    for file in stack:
        members[file.header.series_uid].append(file)
    return list(members.values())


def _has_volumes(files: Stack) -> bool:
    """Tell whether some place occurs more than once."""
    return max(Counter(map(read_place, files)).values()) > 1


def describe_kind(header: Instance, *, with_echo: bool = True) -> tuple[object, ...]:
    """Return what the slices of one image share, its echo among it or not."""
    echo = (header.echo_number, header.echo_time_ms) if with_echo else ()
    # Siemens names the echo in the type, too.
    kind = header.image_type if with_echo else _ECHO_TYPE.sub("", header.image_type)
    return (
        read_numbers(header.image_orientation, _COSINE_DECIMALS),
        *echo,
        kind,
        header.rows,
        header.columns,
        header.n_frames > 1,
    )


@functools.lru_cache(maxsize=4096)
def read_numbers(text: str, decimals: int) -> tuple[float, ...]:
    """Return the rounded numbers of a text of DICOM; none when it has others."""
    try:
        return tuple(round(float(part), decimals) + 0.0 for part in text.split("\\"))
    except ValueError:
        return ()


def read_place(file: SourceFile) -> tuple[float, ...]:
    """Return the position of a slice in mm (LPS); empty when unknown."""
    return read_numbers(file.header.image_position, _POSITION_DECIMALS)


def measure_along_normal(stack: Stack) -> list[float]:
    """Return the places of slices along their normal, in mm; empty when unknown."""
    cosines = read_numbers(stack[0].header.image_orientation, 6)
    places = [read_place(file) for file in stack]
    if len(cosines) != 6 or any(len(place) != 3 for place in places):
        return []
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return [sum(x * n for x, n in zip(place, normal, strict=True)) for place in places]
