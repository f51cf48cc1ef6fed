"""The DICOM files of a session, sorted into what can be converted and what cannot."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imaging_platform.bids.accounting import SeriesFacts
from imaging_platform.bids.par_rec import Pair, is_par_or_rec, read_pairs
from imaging_platform.dicom.completeness import (
    SourceFile,
    find_cut_frames,
    find_incomplete,
)
from imaging_platform.dicom.header_index import Instance, read_header_index
from imaging_platform.dicom.stacks import group_stacks
from imaging_platform.dicom.volumes import find_skipped
from imaging_platform.files.digests import digest_file, list_files

if TYPE_CHECKING:
    from imaging_platform.dicom.structure import BadDicom

_NUMBERS = (
    "acquisition_number",
    "columns",
    "echo_number",
    "images_in_acquisition",
    "instance_number",
    "rows",
    "temporal_position",
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
    pairs
        PAR/REC pairs; each counts as one instance of a series of its own.
    has_pair_files
        Whether there is any PAR or REC file, be it readable or not.
    skipped
        Series UID -> what says that whole volumes are missing inside it.
    folders
        Path of each folder without folders in it -> how many files it has.
    """

    files: tuple[SourceFile, ...]
    left_out: Mapping[str, str]
    duplicates: int
    unreadable: Mapping[str, int]
    others: int
    pairs: tuple[Pair, ...] = ()
    has_pair_files: bool = False
    skipped: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """True when the converter may see the folder as it is."""
        return not (
            self.left_out or self.duplicates or self.unreadable or self.has_pair_files
        )

    @property
    def converted(self) -> tuple[SourceFile, ...]:
        """The DICOM files that the converter may see."""
        hidden = {*self.left_out, *(pair.uid for pair in self.pairs)}
        return tuple(file for file in self.files if file.header.sop_uid not in hidden)

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
                run=group[0].run,
                number=group[0].header.series_number or 0,
                description=group[0].header.series_description,
                instances=tuple(sorted(file.header.sop_uid for file in group)),
                is_image=any(file.is_image for file in group),
            )
            for uid, group in self.by_series.items()
        )


def read_source(source: Path) -> Intake:
    """
    Sort the files under `source` by their header index, or by reading each once.

    A second file of the same instance is counted and not converted: the same
    volume would appear twice.
    """
    from imaging_platform.dicom.structure import Reason

    source = source.absolute()
    listed = sorted(list_files(source))
    in_pairs = [path for path in listed if is_par_or_rec(path)]
    pairs = read_pairs(in_pairs)
    paths = [path for path in listed if not is_par_or_rec(path)]
    found: dict[str, list[SourceFile]] = {}
    unreadable = Counter(pairs.unreadable)
    others = 0
    for path, read in zip(paths, _read_headers(source, paths), strict=True):
        if isinstance(read, Instance):
            found.setdefault(read.sop_uid, []).append(SourceFile(path, read))
        elif read.reason in {Reason.NOT_DICOM, Reason.DIRECTORY}:
            others += 1
        else:
            unreadable[str(read.reason)] += 1
    files = sorted((_first_copy(group) for group in found.values()), key=_order)
    faults = {pair.uid: pair.fault for pair in pairs.pairs if pair.fault}
    stacks = group_stacks(files)
    return Intake(
        files=(*files, *map(_as_file, pairs.pairs)),
        left_out=find_incomplete(stacks) | find_cut_frames(files) | faults,
        duplicates=sum(map(len, found.values())) - len(found) + pairs.duplicates,
        unreadable=dict(sorted(unreadable.items())),
        others=others,
        pairs=pairs.pairs,
        has_pair_files=bool(in_pairs),
        skipped=find_skipped(stacks),
        folders=_count_leaves(listed),
    )


def _read_headers(source: Path, paths: Sequence[str]) -> Iterable[Instance | BadDicom]:
    """Return the facts of each file: from the header index, or from the file."""
    indexed = read_header_index(source, paths)
    if indexed is not None:
        return indexed
    # Here: it loads numpy, which takes as long as a small session.
    from imaging_platform.dicom.instances import read_instances

    return read_instances(paths)


def _count_leaves(paths: Sequence[str]) -> dict[str, int]:
    """Return the number of files of each folder that has no folder with files in it."""
    counts = Counter(path.rpartition("/")[0] for path in paths)
    above: set[str] = set()
    for folder in counts:
        while (folder := folder.rpartition("/")[0]) and folder not in above:
            above.add(folder)
    return {folder: n for folder, n in counts.items() if folder not in above}


def _as_file(pair: Pair) -> SourceFile:
    """Return a pair as the one instance of a series."""
    unknown: dict[str, object] = dict.fromkeys(Instance._fields, "")
    unknown |= dict.fromkeys(_NUMBERS)
    facts = {
        "sop_uid": pair.uid,
        "series_uid": pair.uid,
        "series_number": pair.number,
        "series_description": pair.description,
        "manufacturer": "Philips",
        "n_frames": 1,
        "has_pixels": True,
    }
    values = unknown | facts
    return SourceFile(
        str(pair.rec), Instance._make(values[f] for f in Instance._fields)
    )


def link_files(
    files: Sequence[SourceFile],
    folder: Path,
    *,
    folders: Mapping[str, int] | None = None,
) -> None:
    """
    Fill the new `folder` with links to files, whose paths are absolute.

    A link costs as much as converting a small file, so one stands for all files of
    a folder of `folders` (path -> how many files it has) that are all wanted.
    """
    folder.mkdir()
    wanted: dict[str, list[str]] = defaultdict(list)
    for file in files:
        wanted[file.path.rpartition("/")[0]].append(file.path)
    targets: list[str] = []
    for parent, paths in sorted(wanted.items()):
        is_whole = (folders or {}).get(parent) == len(paths)
        targets += [parent] if is_whole else paths
    for number, target in enumerate(targets):
        (folder / f"{number:07d}").symlink_to(target)


def _first_copy(group: Sequence[SourceFile]) -> SourceFile:
    if len(group) == 1:
        return group[0]
    return min(group, key=lambda file: digest_file(Path(file.path)))


def _order(file: SourceFile) -> tuple[str, int, str]:
    header = file.header
    return (header.series_uid, header.instance_number or 0, header.sop_uid)
