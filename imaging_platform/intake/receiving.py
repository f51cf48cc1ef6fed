"""
Files that come over the network, collected beside the inbox, then moved in whole.

What a peer sends within one stretch of work is one drop: it grows in a hidden
folder of the inbox, which no sensor looks at, and gets its name with one rename
when the peer has no association open and has been idle. A file counts as
received when it is whole in that folder; only then is the peer told so.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.dicom.network import PART_PREFIX, Refusal
from imaging_platform.intake.admission import free_bytes
from imaging_platform.intake.arrivals import MARKER_NAME, rename_to_free_name
from imaging_platform.intake.index import find_instances
from imaging_platform.model.errors import Held

_RECEIVING = ".receiving-"
_DROP_NAME = "received"


@dataclass(frozen=True)
class Route:
    """
    Where what is sent to one AE title goes.

    Parameters
    ----------
    study
        Name of the study.
    inbox, zone
        Its inbox and its identified zone.
    calling_titles
        AE titles of those who may send.
    idle_s
        Seconds after the last association of a peer that end its drop.
    min_free_bytes
        What must stay free on the disk of the inbox.
    """

    study: str
    inbox: Path
    zone: Path
    calling_titles: frozenset[str]
    idle_s: float
    min_free_bytes: int


@dataclass
class _Growing:
    """A drop that a peer may still add to."""

    folder: str
    n_open: int = 0
    n_files: int = 0
    last_s: float = 0.0


@dataclass(frozen=True)
class Reception:
    """
    The drops that are being received; one a study and peer. Safe for threads.

    Parameters
    ----------
    routes
        Route by called AE title.
    clock
        Seconds that only grow.
    """

    routes: Mapping[str, Route]
    clock: Callable[[], float]
    _growing: dict[tuple[str, str], _Growing] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def refusal(self, called: str, calling: str) -> Refusal | None:
        """Return why an association is refused, or None when it is welcome."""
        route = self.routes.get(called)
        if route is None:
            return Refusal.CALLED
        if calling not in route.calling_titles:
            return Refusal.CALLING
        if free_bytes(route.inbox) < route.min_free_bytes:
            return Refusal.NO_ROOM
        return None

    def begin(self, called: str, calling: str) -> Path:
        """Note a new association; return the folder that its files grow in."""
        route = self.routes[called]
        with self._lock:
            growing = self._growing.get((called, calling))
            if growing is None:
                route.inbox.mkdir(parents=True, exist_ok=True)
                folder = tempfile.mkdtemp(prefix=_RECEIVING, dir=route.inbox)
                growing = _Growing(folder)
                self._growing[called, calling] = growing
            growing.n_open += 1
            return Path(growing.folder)

    def keep(self, called: str, calling: str, part: str, sop_uid: str) -> None:
        """
        Take a file that is whole.

        Raises
        ------
        Held
            The disk of the inbox is too full; the file was not taken.
        """
        growing = self._growing[called, calling]
        free = shutil.disk_usage(growing.folder).free
        if free < self.routes[called].min_free_bytes:
            raise Held(
                "The disk of the inbox is too full to receive.",
                fix="Free some space or lower intake.min_free_bytes.",
            )
        with self._lock:
            place = _free_place(growing.folder, received_name(sop_uid))
            os.replace(part, place)  # noqa: PTH105 - a tenth of the time of a small file
            growing.n_files += 1

    def end(self, called: str, calling: str) -> None:
        """Note that an association is over, however it ended."""
        with self._lock:
            growing = self._growing[called, calling]
            growing.n_open -= 1
            growing.last_s = self.clock()

    def settle(self) -> dict[str, int]:
        """Move the drops of idle peers into the inbox; return files by study."""
        moved: dict[str, int] = {}
        with self._lock:
            for (called, calling), growing in list(self._growing.items()):
                route = self.routes[called]
                is_idle = self.clock() - growing.last_s >= route.idle_s
                if growing.n_open > 0 or not is_idle:
                    continue
                _publish(Path(growing.folder), route.inbox)
                del self._growing[called, calling]
                if growing.n_files:
                    moved[route.study] = moved.get(route.study, 0) + growing.n_files
        return moved

    def recover(self) -> None:
        """
        Move what is whole of every drop that is growing into the inbox.

        For the end of the service, and for its start after it was killed: peers
        were told that these files are safe.
        """
        with self._lock:
            self._growing.clear()
            for inbox in {route.inbox for route in self.routes.values()}:
                for folder in sorted(inbox.glob(f"{_RECEIVING}*")):
                    _publish(folder, inbox)

    def safe(self, called: str, sop_uids: Iterable[str]) -> frozenset[str]:
        """
        Return which instances will not be lost, wherever they are by now.

        They lie in a drop that grows, in the inbox, claimed, or in the store.
        """
        route = self.routes[called]
        by_name = {received_name(uid): uid for uid in sop_uids}
        with self._lock:
            found = {
                by_name[path.stem]
                for path in _received_files(route)
                if path.stem in by_name and _flush(path)
            }
        missing = frozenset(by_name.values()) - found
        return frozenset(found | find_instances(route.zone, missing))


def received_name(sop_uid: str) -> str:
    """Return the name, without suffix, under which an instance is received."""
    return hashlib.sha256(sop_uid.encode()).hexdigest()[:32]


def _received_files(route: Route) -> Iterable[Path]:
    claimed = route.zone / "incoming"
    return itertools.chain(
        route.inbox.glob(f"{_RECEIVING}*/*.dcm"),
        route.inbox.glob(f"{_DROP_NAME}*/*.dcm"),
        claimed.glob(f"*/*/{_DROP_NAME}*/*.dcm"),
    )


def _free_place(folder: str, name: str) -> str:
    """Return a place for a file; an instance that comes again gets a number."""
    place = f"{folder}/{name}.dcm"
    for number in itertools.count(2):
        if not os.path.lexists(place):
            return place
        place = f"{folder}/{name}-{number}.dcm"
    raise AssertionError("there is always another number")


def _publish(folder: Path, inbox: Path) -> None:
    """Give a drop its name in the inbox, without what is half; drop what is empty."""
    for part in folder.glob(f"{PART_PREFIX}*"):
        part.unlink()
    files = list(folder.glob("*.dcm"))
    if not files:
        shutil.rmtree(folder)
        return
    for path in files:
        _flush(path)
    (folder / MARKER_NAME).touch()
    folder.chmod(inbox.stat().st_mode & 0o7777)
    rename_to_free_name(folder, inbox, _DROP_NAME)


def _flush(path: Path) -> bool:
    """Bring a file to the disk; False when it was moved on meanwhile."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return True
