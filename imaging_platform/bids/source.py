"""The DICOM files of a session: each read once, sorted into what can be converted."""

from __future__ import annotations

import functools
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.bids.accounting import SeriesFacts
from imaging_platform.bids.completeness import SourceFile, find_incomplete
from imaging_platform.files.digests import RECORD_NAME, digest_file


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
    left_out: Mapping[str, str]
    duplicates: int
    unreadable: Mapping[str, int]
    others: int

    @property
    def is_clean(self) -> bool:
        """True when the converter may see the folder as it is."""
        return not (self.left_out or self.duplicates or self.unreadable)

    @property
    def converted(self) -> tuple[SourceFile, ...]:
        """The files that the converter may see."""
        return tuple(
            file for file in self.files if file.header.sop_uid not in self.left_out
        )

    @functools.cached_property
    def by_series(self) -> Mapping[str, tuple[SourceFile, ...]]:
        """Series UID -> its files, both in order."""
        members: dict[str, list[SourceFile]] = defaultdict(list)
        for file in self.files:
            members[file.header.series_uid].append(file)
        return {uid: tuple(group) for uid, group in sorted(members.items())}

    @functools.cached_property
    def series(self) -> tuple[SeriesFacts, ...]:
        """The series of the session with their instances."""
        return tuple(
            SeriesFacts(
                uid=uid,
                study_uid=group[0].header.study_uid,
                number=group[0].header.series_number or 0,
                description=group[0].header.series_description,
                instances=tuple(sorted(file.header.sop_uid for file in group)),
                is_image=any(file.is_image for file in group),
            )
            for uid, group in self.by_series.items()
        )


def read_source(source: Path) -> Intake:
    """
    Read the header of every file under `source` once.

    A second file of the same instance is counted and not converted: the same
    volume would appear twice.
    """
    from imaging_platform.dicom.instances import Instance, read_instances
    from imaging_platform.dicom.structure import Reason

    found: dict[str, list[SourceFile]] = {}
    unreadable: Counter[str] = Counter()
    others = 0
    paths = sorted(list_files(source.absolute()))
    for path, read in zip(paths, read_instances(paths), strict=True):
        if isinstance(read, Instance):
            found.setdefault(read.sop_uid, []).append(SourceFile(path, read))
        elif read.reason in {Reason.NOT_DICOM, Reason.DIRECTORY}:
            others += 1
        else:
            unreadable[str(read.reason)] += 1
    files = sorted((_first_copy(group) for group in found.values()), key=_order)
    return Intake(
        files=tuple(files),
        left_out=find_incomplete(files),
        duplicates=sum(map(len, found.values())) - len(found),
        unreadable=dict(sorted(unreadable.items())),
        others=others,
    )


def list_files(folder: Path) -> Iterator[str]:
    """Yield the path of each file under `folder` but its record, in no order."""
    record = str(folder / RECORD_NAME)
    folders = [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file() and entry.path != record:
                    yield entry.path


def link_files(files: Sequence[SourceFile], folder: Path) -> None:
    """Fill the new `folder` with links to files, whose paths are absolute."""
    folder.mkdir()
    for number, file in enumerate(files):
        (folder / f"{number:07d}.dcm").symlink_to(file.path)


def _first_copy(group: Sequence[SourceFile]) -> SourceFile:
    if len(group) == 1:
        return group[0]
    return min(group, key=lambda file: digest_file(Path(file.path)))


def _order(file: SourceFile) -> tuple[str, int, str]:
    header = file.header
    return (header.series_uid, header.instance_number or 0, header.sop_uid)
