"""dcm2niix on a session: one call, and one a series only when that call fails."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.bids.completeness import SourceFile
from imaging_platform.bids.outputs import Scratch, read_scratch
from imaging_platform.bids.source import Intake, link_files
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
    if not intake.is_clean:
        source = workplace / "whole"
        link_files(files, source)
    folder = workplace / "converted"
    folder.mkdir()
    try:
        done = dcm2niix.convert_folder(source, folder, timeout_s=timeout_s)
    except ToolFailed as error:
        return _convert_each(files, workplace, error, timeout_s)
    return Converted(folder, read_scratch(folder), count_used(done.stdout))


def _convert_each(
    files: Sequence[SourceFile], workplace: Path, first: ToolFailed, timeout_s: float
) -> Converted:
    """Convert run by run, so that one bad series does not cost the others."""
    together = workplace / "each"
    together.mkdir()
    used: dict[str, int] = {}
    failures: dict[str, str] = {}
    runs = _group_runs(files)
    for number, members in enumerate(runs):
        seen, folder = workplace / f"run-{number}", workplace / f"made-{number}"
        link_files(members, seen)
        folder.mkdir()
        try:
            done = dcm2niix.convert_folder(seen, folder, timeout_s=timeout_s)
        except ToolFailed as error:
            failures |= {file.header.series_uid: str(error) for file in members}
            continue
        used |= count_used(done.stdout)
        for path in folder.iterdir():
            path.rename(together / path.name)
    if len(failures) == len({file.header.series_uid for file in files}):
        raise first
    return Converted(together, read_scratch(together), used, failures)


def _group_runs(files: Sequence[SourceFile]) -> list[list[SourceFile]]:
    """Keep a series whole, and with it the series that make one run with it."""
    run_of: dict[str, tuple[str, int, str]] = {}
    runs: dict[tuple[str, int, str], list[SourceFile]] = defaultdict(list)
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
