"""
Where things lie in the identified zone of a study, and who may write when.

::

    <zone>/ledger.jsonl                     sessions in order of arrival
    <zone>/imported.json                    sessions that an import brought
    <zone>/resolutions.jsonl                what people decided about files
    <zone>/store/<aa>/<sha256>              every file that ever arrived, by content
    <zone>/incoming/<drop_id>/<n>/          the n-th arrival, until it is indexed
    <zone>/waiting/<drop_id>                files wait for labels; version last tried
    <zone>/marks/                           where to look for a session (`marks`)
    <zone>/moving/<session>                 its files go to where its studies went
    <zone>/drops/<drop_id>/receipt.jsonl    what became of each file
    <zone>/drops/<drop_id>/index.parquet    header facts of the accepted files
    <zone>/drops/<drop_id>/companions.jsonl files that can be attached, if it has any
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.model.ids import parse_drop_id


@dataclass(frozen=True)
class DropFolder:
    """
    The folder of one drop.

    Parameters
    ----------
    path
        ``<zone>/drops/<drop_id>``.
    """

    path: Path

    @property
    def drop_id(self) -> str:
        """Identifier of the drop."""
        return self.path.name

    @property
    def zone(self) -> Path:
        """The identified zone that it lies in."""
        return self.path.parents[1]

    @property
    def incoming(self) -> Path:
        """
        Arrivals that were claimed and are not yet indexed.

        Beside the drops, so that what was interrupted is found without looking
        into each of them.
        """
        return self.path.parents[1] / "incoming" / self.drop_id

    @property
    def waiting(self) -> Path:
        """Is there while files of the drop wait for labels."""
        return self.path.parents[1] / "waiting" / self.drop_id

    @property
    def unpacked(self) -> Path:
        """Scratch for members of archives; empty between runs."""
        return self.path / "unpacked"

    @property
    def receipt(self) -> Path:
        """What became of each file, one JSON object a line."""
        return self.path / "receipt.jsonl"

    @property
    def index(self) -> Path:
        """Header facts of the accepted files."""
        return self.path / "index.parquet"

    @property
    def companions(self) -> Path:
        """Files that can be attached to a session; absent when there are none."""
        return self.path / "companions.jsonl"

    @property
    def lock(self) -> Path:
        """Held while the drop is being indexed."""
        return self.path / "lock"


def drop_folder(zone: Path, drop_id: str) -> DropFolder:
    """
    Return the place of a drop; nothing is made.

    Raises
    ------
    BadInput
        The text is no drop identifier.
    """
    return DropFolder(zone / "drops" / parse_drop_id(drop_id))


def drop_folders(zone: Path) -> tuple[DropFolder, ...]:
    """Return the drops of a zone in order of their identifiers."""
    drops = zone / "drops"
    if not drops.is_dir():
        return ()
    return tuple(DropFolder(path) for path in sorted(drops.glob("drop-*")))


def telling(zone: Path) -> AbstractContextManager[int]:
    """
    Hold the right to tell what became of drops.

    Whoever looks and tells under it tells in the order of what was seen: the last
    word about a session is the one that knows most of it.
    """
    return locked(zone / "telling.lock")


def interrupted_drops(zone: Path) -> tuple[str, ...]:
    """Return the drops that were claimed and have not been told of since."""
    incoming = zone / "incoming"
    if not incoming.is_dir():
        return ()
    return tuple(sorted(parse_drop_id(path.name) for path in incoming.iterdir()))


def waiting_drops(zone: Path) -> dict[str, str]:
    """Return the drops whose files wait for labels, and which version was tried."""
    waiting = zone / "waiting"
    if not waiting.is_dir():
        return {}
    return {
        parse_drop_id(path.name): path.read_text()
        for path in sorted(waiting.glob("drop-*"))
    }


def store_path(zone: Path, sha256: str) -> Path:
    """Return where the content with this digest (64 hex digits) lies."""
    return zone / "store" / sha256[:2] / sha256


def ledger_path(zone: Path) -> Path:
    """Return the list of sessions in order of arrival."""
    return zone / "ledger.jsonl"


def imported_path(zone: Path) -> Path:
    """Return the list of sessions that came from existing datasets."""
    return zone / "imported.json"


def moving_path(zone: Path) -> Path:
    """Return the folder of sessions whose studies were moved, until files follow."""
    return zone / "moving"


def marks_path(zone: Path) -> Path:
    """Return the folder of empty files that say where to look (`marks`)."""
    return zone / "marks"


def resolutions_path(zone: Path) -> Path:
    """Return the list of what people decided about files."""
    return zone / "resolutions.jsonl"


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """
    Hold an exclusive lock on a file, made when absent; yield its descriptor.

    The lock ends with the process, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        # flock, not lockf: two threads of one process must exclude each other too.
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)
