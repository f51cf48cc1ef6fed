"""Taking arrivals out of the inbox into the identified zone, each exactly once."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.files.digests import digest_file
from imaging_platform.files.unpacking import (
    BadArchive,
    UnpackingCaps,
    is_archive_name,
)
from imaging_platform.intake.archives import unpack_apart
from imaging_platform.intake.arrivals import MARKER_NAME, walk_entries
from imaging_platform.intake.zone import DropFolder
from imaging_platform.model.errors import Held

NOT_REGULAR = "not a regular file"
NESTED_ARCHIVE = "archive inside an archive"
EMPTY_ARCHIVE = "archive without files"
LITTER = "left by an operating system"

_LITTER_NAMES = frozenset({".ds_store", "thumbs.db", "desktop.ini", "dicomdir"})
_LITTER_FOLDERS = frozenset(
    {"__macosx", ".spotlight-v100", ".trashes", ".fseventsd", "$recycle.bin"}
)
_COPYING = ".copying"
_CLAIMED = ".claimed-"
_REMOVING = ".removing-"


@dataclass(frozen=True, repr=False)
class FoundFile:
    """
    One file of a claimed arrival.

    Parameters
    ----------
    path
        Where it lies; None for what is no regular file.
    name
        Relative name as it came; may identify the subject.
    reason
        Why it is not to be read as DICOM; "" when it is.
    is_litter
        Whether `reason` is harmless.
    """

    path: Path | None
    name: str
    reason: str = ""
    is_litter: bool = False


def claim_arrivals(
    arrivals: Sequence[Path], drop: DropFolder, *, first_number: int
) -> None:
    """
    Move arrivals to ``incoming/<n>/<name>``; one that is gone was claimed before.

    On one file system that is a rename. Else the arrival is copied, compared
    with its source by content, and then removed.

    Parameters
    ----------
    arrivals
        Entries of an inbox.
    drop
        The drop they belong to, whose lock the caller holds.
    first_number
        Number of the first arrival; higher than any number used before.

    Raises
    ------
    Held
        An arrival changed while it was copied; it stays in the inbox.
    """
    drop.incoming.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(drop.incoming / _COPYING, ignore_errors=True)
    for inbox in {arrival.parent for arrival in arrivals}:
        _sweep(inbox)
    number = first_number
    for arrival in arrivals:
        if not os.path.lexists(arrival):
            continue
        # First: a marker that outlived its drop would vouch for the next one.
        _remove_marker_beside(arrival)
        place = drop.incoming / str(number)
        place.mkdir()
        try:
            arrival.rename(place / arrival.name)
        except OSError as error:
            place.rmdir()
            if error.errno != errno.EXDEV:
                raise
            _claim_by_copy(arrival, place, drop)
        number += 1


def list_claimed(drop: DropFolder) -> list[tuple[int, Path]]:
    """Return number and folder of each claimed arrival, in order."""
    if not drop.incoming.is_dir():
        return []
    return sorted(
        (int(path.name), path)
        for path in drop.incoming.iterdir()
        if path.name.isdecimal()
    )


def remove_claimed(place: Path) -> None:
    """
    Remove a claimed arrival whose files are in the store; links are not followed.

    Each folder is first moved to the top, so that neither the depth of folders nor
    the length of their names matters.
    """
    numbers = itertools.count()
    waiting = [place]
    while waiting:
        folder = waiting.pop()
        folder.chmod(0o700)
        with os.scandir(folder) as entries:
            for entry in list(entries):
                if not entry.is_dir(follow_symlinks=False):
                    Path(entry.path).unlink()
                elif folder == place and entry.name.startswith(_REMOVING):
                    waiting.append(Path(entry.path))
                else:
                    waiting.append(_move_up(Path(entry.path), place, numbers))
        if folder != place:
            folder.rmdir()
    place.rmdir()


def _move_up(folder: Path, place: Path, numbers: Iterator[int]) -> Path:
    # A folder that may not be written to may not be moved either.
    folder.chmod(0o700)
    target = next(
        target
        for number in numbers
        if not os.path.lexists(target := place / f"{_REMOVING}{number}")
    )
    return folder.rename(target)


def find_files(place: Path, scratch: Path, *, caps: UnpackingCaps) -> list[FoundFile]:
    """
    Return every file of a claimed arrival, with the members of its archives.

    An archive that unpacks whole is replaced by its members; one that does not
    is itself the file, with the reason. Archives inside archives stay as they
    are.

    Parameters
    ----------
    place
        The claimed arrival.
    scratch
        An empty folder for members.
    caps
        Bounds for each archive.
    """
    found: list[FoundFile] = []
    for name, status in sorted(
        walk_entries(os.fspath(place)), key=lambda entry: os.fsencode(entry[0])
    ):
        path = place / name
        if stat.S_ISDIR(status.st_mode) or _is_marker(name):
            continue
        if not stat.S_ISREG(status.st_mode):
            found.append(FoundFile(None, name, NOT_REGULAR))
        elif is_litter(name):
            found.append(FoundFile(path, name, LITTER, is_litter=True))
        elif is_archive_name(name):
            found += _unpack(path, name, scratch / str(len(found)), caps)
        else:
            found.append(FoundFile(path, name))
    return found


def _unpack(
    archive: Path, name: str, target: Path, caps: UnpackingCaps
) -> list[FoundFile]:
    target.mkdir(parents=True)
    try:
        unpacked = unpack_apart(archive, target, caps=caps)
    except BadArchive as error:
        shutil.rmtree(target)
        return [FoundFile(archive, name, str(error.reason))]
    if not unpacked.members and not unpacked.refused:
        return [FoundFile(archive, name, EMPTY_ARCHIVE)]
    found = [
        FoundFile(None, f"{name}!/{inner}", NOT_REGULAR) for inner in unpacked.refused
    ]
    for member in unpacked.members:
        full_name = f"{name}!/{member.name}"
        if is_litter(member.name):
            found.append(FoundFile(member.path, full_name, LITTER, is_litter=True))
        elif is_archive_name(member.name):
            found.append(FoundFile(member.path, full_name, NESTED_ARCHIVE))
        else:
            found.append(FoundFile(member.path, full_name))
    return found


def _is_marker(name: str) -> bool:
    """Say whether a name below a claimed arrival is the marker at the drop's top."""
    return name.count("/") == 1 and name.endswith(f"/{MARKER_NAME}")


def is_litter(name: str) -> bool:
    """Return whether a relative name is one that operating systems and media leave."""
    *folders, last = name.replace("\\", "/").lower().split("/")
    return (
        last in _LITTER_NAMES
        or last.startswith("._")
        or any(folder in _LITTER_FOLDERS for folder in folders)
    )


def _remove_marker_beside(arrival: Path) -> None:
    marker = arrival.with_name(arrival.name + MARKER_NAME)
    try:
        marker.unlink(missing_ok=True)
    except OSError as error:
        # The longest names leave no room for that of a marker.
        if error.errno != errno.ENAMETOOLONG:
            raise


def _claim_by_copy(arrival: Path, place: Path, drop: DropFolder) -> None:
    """Copy, compare, give the copy its number, remove the source."""
    staging = drop.incoming / _COPYING
    staging.mkdir()
    copy = staging / arrival.name
    _copy_entries(arrival, copy)
    if _fingerprint(arrival) != _fingerprint(copy):
        shutil.rmtree(staging)
        raise Held(
            "A drop changed while it was copied from the inbox.",
            fix="Wait until the upload has ended; the drop is still in the inbox.",
        )
    staging.rename(place)
    # Hidden at once: half removed, it would stand in the inbox as another drop.
    arrival.rename(arrival.with_name(f"{_CLAIMED}{drop.drop_id}-{place.name}"))
    _sweep(arrival.parent)


def _sweep(inbox: Path) -> None:
    """Remove sources whose copy was claimed; another process may do so meanwhile."""
    for source in inbox.glob(f"{_CLAIMED}*"):
        try:
            if stat.S_ISDIR(source.lstat().st_mode):
                remove_claimed(source)
            else:
                source.unlink()
        except FileNotFoundError:
            continue


def _entries(top: Path) -> list[tuple[str, os.stat_result]]:
    status = top.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return [("", status)]
    return sorted(walk_entries(os.fspath(top)), key=lambda entry: entry[0])


def _copy_entries(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
    for name, status in _entries(source):
        old, new = source / name, target / name
        if stat.S_ISDIR(status.st_mode):
            new.mkdir(parents=True, exist_ok=True)
            continue
        new.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            shutil.copyfile(old, new, follow_symlinks=False)
        else:
            # A socket or device cannot be copied; a pipe stands for it, so that
            # the receipt still names it.
            os.mkfifo(new)


def _fingerprint(top: Path) -> list[tuple[str, str]]:
    """Return name and content digest of each file; links and pipes have none."""
    return [
        (name, digest_file(top / name) if stat.S_ISREG(status.st_mode) else "")
        for name, status in _entries(top)
        if not stat.S_ISDIR(status.st_mode)
    ]
