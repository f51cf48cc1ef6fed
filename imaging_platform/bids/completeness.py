"""Which instances make whole volumes: an interrupted scan never reaches dcm2niix."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imaging_platform.bids.accounting import SeriesFacts
from imaging_platform.files.digests import digest_file, sorted_files

if TYPE_CHECKING:
    from imaging_platform.dicom.headers import Header

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_POSITION_DECIMALS = 2
_COSINE_DECIMALS = 3


@dataclass(frozen=True)
class SourceFile:
    """
    One DICOM file of the session.

    Parameters
    ----------
    path
        Where it lies; never part of a report.
    header
        Its facts.
    """

    path: Path
    header: Header

    @property
    def run(self) -> tuple[str, int, str]:
        """What files of one run share, even where each volume is its own series."""
        header = self.header
        return (header.study_uid, header.series_number or 0, header.series_description)

    @property
    def is_image(self) -> bool:
        """True for pixels of a body; False for reports, spectra, screenshots."""
        header = self.header
        return header.has_pixels and not header.sop_class_uid.startswith(
            _SECONDARY_CAPTURE
        )


@dataclass(frozen=True)
class Intake:
    """
    The files of a session, sorted into what can be converted and what cannot.

    Parameters
    ----------
    files
        One file an instance, by series, instance number and UID.
    left_out
        SOP instance UIDs that must not reach dcm2niix -> the reason.
    duplicates
        How many further copies of instances there were.
    unreadable
        Category of damage -> how many files.
    others
        How many files were no DICOM instances (DICOMDIR, texts).
    """

    files: tuple[SourceFile, ...]
    left_out: dict[str, str]
    duplicates: int
    unreadable: dict[str, int]
    others: int

    @property
    def series(self) -> tuple[SeriesFacts, ...]:
        """The series of the session with their instances."""
        members: dict[str, list[SourceFile]] = defaultdict(list)
        for file in self.files:
            members[file.header.series_uid].append(file)
        return tuple(
            SeriesFacts(
                uid=uid,
                study_uid=group[0].header.study_uid,
                number=group[0].header.series_number or 0,
                description=group[0].header.series_description,
                instances=tuple(sorted(file.header.sop_uid for file in group)),
                is_image=any(file.is_image for file in group),
            )
            for uid, group in sorted(members.items())
        )


def read_source(source: Path) -> Intake:
    """
    Read the header of every file under `source` once.

    A second file of the same instance is counted and not converted: the same
    volume would appear twice.
    """
    from imaging_platform.dicom.headers import read_header
    from imaging_platform.dicom.structure import BadDicom, Reason

    found: dict[str, list[SourceFile]] = defaultdict(list)
    unreadable: Counter[str] = Counter()
    others = 0
    for path in sorted_files(source):
        try:
            header = read_header(path)
        except BadDicom as error:
            if error.reason in {Reason.NOT_DICOM, Reason.DIRECTORY}:
                others += 1
            else:
                unreadable[str(error.reason)] += 1
            continue
        found[header.sop_uid].append(SourceFile(path, header))
    copies = sum(len(group) - 1 for group in found.values())
    files = sorted((_first_copy(group) for group in found.values()), key=_order)
    return Intake(
        files=tuple(files),
        left_out=find_incomplete(files),
        duplicates=copies,
        unreadable=dict(sorted(unreadable.items())),
        others=others,
    )


def _first_copy(group: Sequence[SourceFile]) -> SourceFile:
    if len(group) == 1:
        return group[0]
    return min(group, key=lambda file: digest_file(file.path))


def _order(file: SourceFile) -> tuple[str, int, str]:
    header = file.header
    return (header.series_uid, header.instance_number or 0, header.sop_uid)


def find_incomplete(files: Sequence[SourceFile]) -> dict[str, str]:
    """
    Return the instances that belong to no whole volume, with the reason.

    A stack is what shares run, orientation, echo and image type; each of its slice
    positions must occur equally often. When only the last volume is short, its
    slices are left out; when a volume in the middle is, the whole run is.

    Parameters
    ----------
    files
        Files of the session, one an instance. Multi-frame files and mosaics hold
        whole volumes and are not looked at.
    """
    runs: dict[tuple[str, int, str], list[SourceFile]] = defaultdict(list)
    for file in files:
        if file.is_image and file.header.n_frames == 1 and file.header.image_position:
            runs[file.run].append(file)
    left_out: dict[str, str] = {}
    for members in runs.values():
        left_out.update(_find_short_volumes(members))
    return left_out


def _find_short_volumes(members: Sequence[SourceFile]) -> dict[str, str]:
    stacks: dict[tuple[object, ...], list[SourceFile]] = defaultdict(list)
    for file in members:
        stacks[_stack(file)].append(file)
    left_out: dict[str, str] = {}
    for stack in stacks.values():
        dropped, is_at_end = _find_surplus(stack)
        if dropped and not is_at_end:
            why = (
                "A volume in the middle of the run lacks slices: nothing is converted."
            )
            return {file.header.sop_uid: why for file in members}
        why = "The run was interrupted: its last volume lacks slices."
        left_out.update({file.header.sop_uid: why for file in dropped})
    return left_out


def _find_surplus(stack: Sequence[SourceFile]) -> tuple[list[SourceFile], bool]:
    if "MOSAIC" in stack[0].header.image_type or _has_equal_volumes(stack):
        return [], True
    positions: dict[tuple[float, ...], list[SourceFile]] = defaultdict(list)
    for file in stack:
        place = _numbers(file.header.image_position, _POSITION_DECIMALS)
        positions[place].append(file)
    whole = min(len(group) for group in positions.values())
    if all(len(group) == whole for group in positions.values()):
        return [], True
    rank = _time_rank(stack)
    kept: list[SourceFile] = []
    dropped: list[SourceFile] = []
    for group in positions.values():
        ordered = sorted(group, key=rank)
        kept += ordered[:whole]
        dropped += ordered[whole:]
    return dropped, max(map(rank, kept)) < min(map(rank, dropped))


def _has_equal_volumes(stack: Sequence[SourceFile]) -> bool:
    """Trust the scanner's own count of volumes: slices may follow a moving head."""
    for name in ("temporal_position", "acquisition_number"):
        sizes = Counter(getattr(file.header, name) for file in stack)
        if None not in sizes and len(sizes) > 1:
            return len(set(sizes.values())) == 1
    return False


def _time_rank(stack: Sequence[SourceFile]) -> Callable[[SourceFile], Any]:
    """Return the key that counts volumes: the first one that differs inside a stack."""
    for name in ("temporal_position", "acquisition_number", "instance_number"):
        values = [getattr(file.header, name) for file in stack]
        if None not in values and len(set(values)) > 1:
            return lambda file: getattr(file.header, name)
    return lambda file: file.header.acquired


def _stack(file: SourceFile) -> tuple[object, ...]:
    header = file.header
    return (
        _numbers(header.image_orientation, _COSINE_DECIMALS),
        header.echo_number,
        header.echo_time_ms,
        header.image_type,
        header.rows,
        header.columns,
    )


def _numbers(text: str, decimals: int) -> tuple[float, ...]:
    try:
        return tuple(round(float(part), decimals) + 0.0 for part in text.split("\\"))
    except ValueError:
        return ()


def link_files(intake: Intake, folder: Path) -> None:
    """Fill `folder` with links to the files that dcm2niix may see."""
    for number, file in enumerate(intake.files):
        if file.header.sop_uid not in intake.left_out:
            (folder / f"{number:07d}.dcm").symlink_to(file.path.resolve())
