"""Archives unpacked in a process of limited memory, processor time and file size."""

from __future__ import annotations

import dataclasses
import errno
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imaging_platform.files.unpacking import (
    ArchiveReason,
    BadArchive,
    Member,
    Unpacked,
    UnpackingCaps,
    unpack_archive,
)
from imaging_platform.model.errors import ToolFailed
from imaging_platform.tools.isolated import call_isolated

_DATA_BYTES = 512 << 20
_SLOWEST_BYTES_PER_S = 5e6
_LEAST_S = 600


def unpack_apart(archive: Path, target: Path, *, caps: UnpackingCaps) -> Unpacked:
    """
    Do what `unpack_archive` does, in a process of its own that may die of it.

    Raises
    ------
    BadArchive
        As `unpack_archive`; also when the process did not survive the archive.
    OSError
        The disk is full, or refuses; no fault of the archive.
    """
    try:
        reply: Any = call_isolated(  # Any: an object that came through JSON.
            f"{__name__}:unpack_in_limits",
            {
                "archive": str(archive),
                "target": str(target),
                "caps": dataclasses.asdict(caps),
            },
            timeout_s=_LEAST_S + _most_bytes(archive, caps) / _SLOWEST_BYTES_PER_S,
        )
    except ToolFailed:
        raise BadArchive(ArchiveReason.UNREADABLE) from None
    if reply["errno"]:
        raise OSError(reply["errno"], os.strerror(reply["errno"]))
    if reply["reason"]:
        raise BadArchive(ArchiveReason(reply["reason"]))
    members = (Member(target / file, name) for file, name in reply["members"])
    return Unpacked(tuple(members), tuple(reply["refused"]))


def unpack_in_limits(
    archive: str, target: str, caps: Mapping[str, Any]
) -> dict[str, object]:
    """Unpack in this process, limiting it first (`call_isolated`)."""
    known = UnpackingCaps(**caps)
    n_bytes = _most_bytes(Path(archive), known)
    _limit(resource.RLIMIT_DATA, _DATA_BYTES)
    _limit(resource.RLIMIT_CPU, _LEAST_S + int(n_bytes / _SLOWEST_BYTES_PER_S))
    _limit(resource.RLIMIT_FSIZE, known.max_bytes + 1)
    reply = {"errno": 0, "reason": "", "members": [], "refused": []}
    try:
        unpacked = unpack_archive(Path(archive), Path(target), caps=known)
    except BadArchive as error:
        return {**reply, "reason": str(error.reason)}
    except OSError as error:
        return {**reply, "errno": error.errno or errno.EIO}
    members = [(member.path.name, member.name) for member in unpacked.members]
    return {**reply, "members": members, "refused": unpacked.refused}


def _most_bytes(archive: Path, caps: UnpackingCaps) -> int:
    return min(caps.max_bytes, int(archive.stat().st_size * caps.max_ratio))


def _limit(kind: int, amount: int) -> None:
    _, hard = resource.getrlimit(kind)
    allowed = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (allowed, hard))
