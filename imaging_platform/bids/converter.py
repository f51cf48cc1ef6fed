"""dcm2niix on a session: one call, and one a series only when that call fails."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from imaging_platform.bids.merged import name_series
from imaging_platform.bids.outputs import Scratch, read_scratch
from imaging_platform.bids.par_rec import Pair, name_outputs, write_pair
from imaging_platform.bids.source import Intake, link_files
from imaging_platform.dicom.stacks import (
    Run,
    SourceFile,
    find_cut_by_slice,
    find_joined_kinds,
)
from imaging_platform.model.errors import ToolFailed
from imaging_platform.tools import dcm2niix

_COUNT_LINE = re.compile(r"(?:\d+:)?Convert (\d+) DICOM as (.*) \([\dx]+\)")


@dataclass(frozen=True)
class Converted:
    """
    What dcm2niix made of a session.

    Parameters
    ----------
    folder
        Where its files are.
    scratch
        What they are.
    used
        Stem of an output -> how many files dcm2niix says it took for it.
    failures
        Series UID -> why the converter failed on that series alone.
    """

    folder: Path
    scratch: Scratch
    used: Mapping[str, int]
    failures: Mapping[str, str] = field(default_factory=dict)


def run_converter(
    source: Path, intake: Intake, workplace: Path, *, timeout_s: float
) -> Converted:
    """
    Convert all files of a session that may be converted.

    Parameters
    ----------
    source
        Folder of the session.
    intake
        Its files. When some of them must not be seen, dcm2niix gets a folder of
        links to the others.
    workplace
        Existing empty folder; what is made in it is the caller's to remove.
    timeout_s
        Wall-clock limit of one call, in seconds.

    Raises
    ------
    ToolFailed
        dcm2niix failed on the session and on each of its series.
    """
    files = intake.converted
    folder = workplace / "converted"
    folder.mkdir()
    used, failures = dict[str, int](), dict[str, str]()
    if files:
        used, failures = _convert_files(source, intake, folder, timeout_s)
    for pair in intake.pairs:
        if not pair.fault:
            failures |= _convert_pair(pair, folder, timeout_s)
    scratch = read_scratch(folder)
    outputs = name_series(scratch.outputs, intake.series)
    return Converted(folder, replace(scratch, outputs=outputs), used, failures)


def _convert_files(
    source: Path, intake: Intake, folder: Path, timeout_s: float
) -> tuple[dict[str, int], dict[str, str]]:
    """Convert the DICOM files; return the counts of files and the failures."""
    used, failures, apart = _convert_apart(intake, folder, timeout_s)
    files = [f for f in intake.converted if f.header.sop_uid not in apart]
    if not files:
        return used, failures
    if apart or not intake.is_clean:
        source = folder.with_name("whole")
        link_files(files, source, folders=intake.folders)
    made = folder.with_name("together")
    made.mkdir()
    try:
        done = dcm2niix.convert_folder(source, made, timeout_s=timeout_s)
    except ToolFailed as error:
        each, failed = _convert_each(files, folder, timeout_s)
        if not used and set(failed) == {file.header.series_uid for file in files}:
            raise error
        return used | each, failures | failed
    _move_all(made, folder)
    return used | count_used(done.stdout), failures


def _convert_apart(
    intake: Intake, folder: Path, timeout_s: float
) -> tuple[dict[str, int], dict[str, str], set[str]]:
    """
    Convert in a call of its own what a call for all would tear apart or join.

    Returns
    -------
    tuple
        Counts of files, failures, and the SOP instance UIDs that are done.
    """
    used, failures, done = dict[str, int](), dict[str, str](), set[str]()
    cut = find_cut_by_slice(intake.converted)
    stacks = [*cut, *find_joined_kinds(intake.converted)]
    for number, stack in enumerate(stacks):
        seen = folder.with_name(f"apart-{number}")
        made = folder.with_name(f"made-apart-{number}")
        link_files(stack, seen)
        made.mkdir()
        done |= {file.header.sop_uid for file in stack}
        try:
            call = dcm2niix.convert_folder(
                seen,
                made,
                timeout_s=timeout_s,
                mark=f"_{number}",
                is_one_series=number < len(cut),
            )
        except ToolFailed as error:
            failures |= {file.header.series_uid: str(error) for file in stack}
            continue
        used |= count_used(call.stdout)
        _move_all(made, folder)
    return used, failures, done


def _convert_pair(pair: Pair, folder: Path, timeout_s: float) -> dict[str, str]:
    """Convert a PAR/REC pair alone: dcm2niix gives all of them the same names."""
    seen, made = folder.with_name(f"pair-{pair.uid}"), folder.with_name(pair.uid)
    write_pair(pair, seen)
    made.mkdir()
    try:
        dcm2niix.convert_folder(seen, made, timeout_s=timeout_s)
    except ToolFailed as error:
        return {pair.uid: str(error)}
    name_outputs(pair, made, folder)
    return {}


def _move_all(made: Path, folder: Path) -> None:
    for path in made.iterdir():
        path.rename(folder / path.name)


def _convert_each(
    files: Sequence[SourceFile], folder: Path, timeout_s: float
) -> tuple[dict[str, int], dict[str, str]]:
    """Convert run by run, so that one bad series does not cost the others."""
    used: dict[str, int] = {}
    failures: dict[str, str] = {}
    for number, members in enumerate(_group_runs(files)):
        seen = folder.with_name(f"run-{number}")
        made = folder.with_name(f"made-{number}")
        link_files(members, seen)
        made.mkdir()
        try:
            done = dcm2niix.convert_folder(seen, made, timeout_s=timeout_s)
        except ToolFailed as error:
            failures |= {file.header.series_uid: str(error) for file in members}
            continue
        used |= count_used(done.stdout)
        _move_all(made, folder)
    return used, failures


def _group_runs(files: Sequence[SourceFile]) -> list[list[SourceFile]]:
    """Keep a series whole, and with it the series that make one run with it."""
    run_of: dict[str, Run] = {}
    runs: dict[Run, list[SourceFile]] = defaultdict(list)
    for file in files:
        runs[run_of.setdefault(file.header.series_uid, file.run)].append(file)
    return [runs[run] for run in sorted(runs)]


def count_used(printed: str) -> dict[str, int]:
    """Return, for each output that dcm2niix names, how many files it took."""
    used: dict[str, int] = {}
    for line in printed.splitlines():
        if found := _COUNT_LINE.match(line):
            used[Path(found.group(2)).name] = int(found.group(1))
    return used
