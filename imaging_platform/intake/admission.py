"""
What must be so before a drop is taken out of the inbox, and the way back into it.

A disk that is full or a file that may not be read is no fault of the drop. It
stays in the inbox, or goes back there, until somebody has helped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imaging_platform.intake.arrivals import walk_entries
from imaging_platform.intake.claims import list_claimed
from imaging_platform.intake.receipt import read_receipt
from imaging_platform.intake.zone import DropFolder
from imaging_platform.model.errors import Held

_MIB = 1 << 20


def free_bytes(place: Path) -> int:
    """Return what is free on the disk of a folder, which need not be there yet."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def check_admission(
    arrivals: Sequence[Path], zone: Path, *, reserve_bytes: int
) -> None:
    """
    Prove that arrivals can be read, moved and stored; nothing is changed.

    Parameters
    ----------
    arrivals
        Entries of an inbox; those that are gone are passed over.
    zone
        The study's identified zone.
    reserve_bytes
        What must stay free on the disk of the zone.

    Raises
    ------
    Held
        Files may not be read, folders may not be moved or lie too deep, or the disk
        is too full.
    """
    there = [arrival for arrival in arrivals if os.path.lexists(arrival)]
    if not there:
        return
    entries = [entry for arrival in there for entry in _entries(arrival)]
    n_refused = sum(not _is_open_to_us(path, status) for path, status in entries)
    if n_refused:
        raise Held(
            f"{n_refused} file(s) or folder(s) of the drop may not be read or moved.",
            fix=(
                "Give the platform's user the right to read the files and to write "
                "to the folders; the drop is still in the inbox."
            ),
        )
    free = free_bytes(zone)
    needed = reserve_bytes + sum(_bytes_to_copy(a, zone) for a in there)
    if free < needed:
        raise Held(
            f"The disk of the identified zone has {free // _MIB} MiB free; taking "
            f"the drop in needs {needed // _MIB} MiB.",
            fix=(
                "Free some space or lower intake.min_free_bytes, then start the run "
                "again; the drop is still in the inbox."
            ),
        )


@contextmanager
def giving_back(drop: DropFolder, arrivals: Sequence[Path]) -> Iterator[None]:
    """
    Put what was claimed back into the inbox when the system refuses to go on.

    Arrivals that a kill left behind in an earlier call stay where they are, for
    their inbox is not known; so do those whose name was taken meanwhile.
    """
    inboxes = {arrival.name: arrival.parent for arrival in arrivals}
    try:
        yield
    except OSError:
        done = {line.arrival for line in read_receipt(drop)}
        for number, place in list_claimed(drop):
            if number not in done:
                _give_back(place, inboxes)
        with contextlib.suppress(OSError):
            drop.incoming.rmdir()
        raise


def _give_back(place: Path, inboxes: dict[str, Path]) -> None:
    for entry in place.iterdir():
        inbox = inboxes.get(entry.name)
        if inbox is not None and not os.path.lexists(inbox / entry.name):
            # Another file system cannot be renamed to: it stays claimed, not lost.
            with contextlib.suppress(OSError):
                entry.rename(inbox / entry.name)
    with contextlib.suppress(OSError):
        place.rmdir()


def _entries(arrival: Path) -> list[tuple[Path, os.stat_result]]:
    top = arrival.lstat()
    if not stat.S_ISDIR(top.st_mode):
        return [(arrival, top)]
    if not os.access(arrival, os.R_OK | os.X_OK):
        return [(arrival, top)]
    try:
        below = list(walk_entries(os.fspath(arrival)))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Held(
                "Folders of the drop are nested so deeply that their files cannot "
                "be named.",
                fix="Send the files in fewer folders; the drop stays in the inbox.",
            ) from None
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise
        raise Held(
            "A folder of the drop may not be read.",
            fix="Give the platform's user the right to read it; the drop stays.",
        ) from None
    return [(arrival, top), *((arrival / name, status) for name, status in below)]


def _is_open_to_us(path: Path, status: os.stat_result) -> bool:
    if stat.S_ISDIR(status.st_mode):
        return os.access(path, os.R_OK | os.W_OK | os.X_OK)
    return not stat.S_ISREG(status.st_mode) or os.access(path, os.R_OK)


def _bytes_to_copy(arrival: Path, zone: Path) -> int:
    """Return the bytes of an arrival on another file system; else it is renamed."""
    while not zone.exists():
        zone = zone.parent
    if arrival.lstat().st_dev == zone.stat().st_dev:
        return 0
    return sum(
        status.st_size
        for _, status in _entries(arrival)
        if stat.S_ISREG(status.st_mode)
    )
