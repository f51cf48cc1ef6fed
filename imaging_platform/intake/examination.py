"""Reading every file of an arrival once: its digest, its structure, its header."""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imaging_platform.dicom.headers import Header, read_header
from imaging_platform.dicom.structure import BadDicom, Reason, StructureLimits
from imaging_platform.files.digests import digest_file
from imaging_platform.model.errors import ToolFailed
from imaging_platform.tools.isolated import call_isolated

if TYPE_CHECKING:  # Settings would double the start of each such process.
    from imaging_platform.intake.settings import IntakeSettings

_READER_DATA_BYTES = 896 << 20
_SLOWEST_BYTES_PER_S = 5e6
_LARGEST_BATCH = 20_000


@dataclasses.dataclass(frozen=True)
class Examined:
    """
    What reading one file gave.

    Parameters
    ----------
    sha256, n_bytes
        Digest and size of the content.
    modified_ns
        Modification time before the file was read, ns since 1970.
    header
        Its header; None when `reason` says why there is none.
    reason
        "" or a `Reason`.
    """

    sha256: str
    n_bytes: int
    modified_ns: int
    header: Header | None = dataclasses.field(repr=False)
    reason: str


def examine_files(
    paths: Sequence[Path], *, settings: IntakeSettings, jobs: int
) -> list[Examined]:
    """
    Examine files in a process of limited memory; many of them in `jobs` such.

    Parameters
    ----------
    paths
        Regular files.
    settings
        Limits of a DICOM file, and from how many files on processes pay.
    jobs
        Processes at the same time, 1 or more.

    Returns
    -------
    list
        One result a path, in the same order.

    Raises
    ------
    OSError
        A file cannot be opened or read.
    """
    limits = StructureLimits(
        max_depth=settings.max_depth,
        max_elements=settings.max_elements,
        max_inflated_bytes=settings.max_inflated_bytes,
    )
    if not paths:
        return []
    if len(paths) < settings.parallel_from_files:
        return _examine_apart(paths, limits)
    n_batches = max(jobs, -(-len(paths) // _LARGEST_BATCH))
    # Dealt like cards: neighbours are alike in size, so each batch gets its share.
    batches = [paths[start::n_batches] for start in range(n_batches)]
    with ThreadPoolExecutor(max_workers=jobs) as threads:
        done = list(threads.map(lambda batch: _examine_apart(batch, limits), batches))
    by_path = {
        path: result
        for batch, results in zip(batches, done, strict=True)
        for path, result in zip(batch, results, strict=True)
    }
    return [by_path[path] for path in paths]


def examine_in_limits(
    paths: Sequence[str], limits: Mapping[str, int]
) -> dict[str, Any]:
    """Examine files in this process, limiting its memory first (`call_isolated`)."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = _READER_DATA_BYTES
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    known = StructureLimits(**limits)
    examined = (_examine(Path(path), known) for path in paths)
    return {"files": [_to_plain(result) for result in examined]}


def _examine_apart(paths: Sequence[Path], limits: StructureLimits) -> list[Examined]:
    """Examine in a process; a file on which the process dies is found by halving."""
    n_bytes = sum(path.lstat().st_size for path in paths)
    try:
        reply = call_isolated(
            f"{__name__}:examine_in_limits",
            {"paths": [str(path) for path in paths], "limits": vars(limits)},
            timeout_s=600 + n_bytes / _SLOWEST_BYTES_PER_S,
        )
    except ToolFailed:
        if len(paths) == 1:
            return [_examine_unread(paths[0])]
        middle = len(paths) // 2
        return [
            *_examine_apart(paths[:middle], limits),
            *_examine_apart(paths[middle:], limits),
        ]
    files: Any = reply["files"]  # Any: objects that came through JSON.
    return [_from_plain(entry) for entry in files]


def _examine(path: Path, limits: StructureLimits) -> Examined:
    status = path.stat(follow_symlinks=False)
    sha256 = digest_file(path)
    try:
        header, reason = read_header(path, limits=limits), ""
    except BadDicom as error:
        header, reason = None, str(error.reason)
    return Examined(sha256, status.st_size, status.st_mtime_ns, header, reason)


def _examine_unread(path: Path) -> Examined:
    status = path.stat(follow_symlinks=False)
    return Examined(
        sha256=digest_file(path),
        n_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        header=None,
        reason=str(Reason.UNREADABLE),
    )


def _to_plain(result: Examined) -> dict[str, object]:
    header = vars(result.header) if result.header else None
    return {**vars(result), "header": header}


def _from_plain(entry: Any) -> Examined:  # Any: an object that came through JSON.
    header = entry["header"]
    return Examined(**{**entry, "header": Header(**header) if header else None})
