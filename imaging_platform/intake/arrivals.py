"""
What stands in the inbox: names, sizes and times, never content.

A sensor calls this every few seconds, so it opens no file and loads no library
of the field. Names in an inbox identify subjects: an `Arrival` does not show
its path.
"""

from __future__ import annotations

import errno
import hmac
import itertools
import os
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.model.errors import BadInput, Held

MARKER_NAME = ".complete"
"""A file of this name in a drop, or ``<drop>.complete`` beside it, ends the wait."""

MAX_FOLDER_BYTES = 2048
"""Longest relative name of a folder that is read; half of what systems allow."""

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Arrival:
    """
    One entry of an inbox: a folder, an archive, or a loose file.

    Parameters
    ----------
    path
        Where it stands; may identify the subject and is not shown.
    n_files
        Entries that are not folders, at any depth, without the marker.
    n_bytes
        Sum of the sizes of the regular files.
    newest_change_ns
        Latest modification or status change of anything in it, ns since 1970.
    changes_ns
        Latest change in each second in which something changed, ascending.
    drop_id
        ``drop-`` and 16 hex digits: the same names and sizes, the same drop.
    is_marked
        Whether the sender has marked it as whole.
    """

    path: Path = field(repr=False)
    n_files: int
    n_bytes: int
    newest_change_ns: int
    changes_ns: tuple[int, ...] = field(repr=False)
    drop_id: str
    is_marked: bool

    @property
    def newest_change_s(self) -> float:
        """Latest change in seconds since 1970."""
        return self.newest_change_ns / _NS_PER_S


def list_arrivals(inbox: Path, *, secret: bytes) -> tuple[Arrival, ...]:
    """
    Return what stands in an inbox, in order of name.

    Hidden entries, symbolic links and markers are no arrivals. No file is
    opened and no link is followed. An absent inbox is empty.

    Parameters
    ----------
    inbox
        The inbox of one study.
    secret
        Key of the study; makes `Arrival.drop_id` say nothing about the names.

    Raises
    ------
    BadInput
        The secret is empty.
    Held
        A folder of the inbox may not be read.
    """
    if not secret:
        raise BadInput(
            "A drop is named with the study's secret, which is empty.",
            fix="Restore the study's key from its backup; `study new` makes one.",
        )
    try:
        return _list(inbox, secret)
    except OSError as error:
        # Its text holds a path of the inbox.
        raise Held(
            f"An entry of the inbox cannot be listed: {error.strerror}.",
            fix="Let the platform's user read all folders of the inbox.",
        ) from None


def _list(inbox: Path, secret: bytes) -> tuple[Arrival, ...]:
    found = sorted(
        _scan_folder(os.fspath(inbox)), key=lambda entry: os.fsencode(entry.name)
    )
    names = {entry.name for entry in found}
    arrivals = (
        _look_at(
            entry, secret=secret, is_marked_beside=entry.name + MARKER_NAME in names
        )
        for entry in found
        if not entry.name.startswith(".") and not _is_marker(entry)
    )
    return tuple(arrival for arrival in arrivals if arrival is not None)


def is_settled(arrival: Arrival, *, now_s: float, quiet_s: float) -> bool:
    """
    Say whether an arrival is whole: marked, or without change for `quiet_s`.

    A change counts as recent when it lies within `quiet_s` of now on either
    side. A time further in the future was stamped by another clock (a camera's,
    or ours before it was set back), so it neither proves that somebody still
    writes nor may it hold the drop until that time comes.

    Parameters
    ----------
    arrival
        From `list_arrivals`, taken at about `now_s`. One without files is
        never settled.
    now_s
        Seconds since 1970 by the clock that stamps the inbox.
    quiet_s
        Seconds without change that prove an upload to be over.
    """
    if arrival.n_files == 0:
        return False
    if arrival.is_marked:
        return True
    return not any(
        -quiet_s < change_ns / _NS_PER_S - now_s < quiet_s
        for change_ns in arrival.changes_ns
    )


def find_settled(
    inbox: Path, *, secret: bytes, now_s: float, quiet_s: float
) -> tuple[Arrival, ...]:
    """Return the arrivals of an inbox that are whole; see `is_settled`."""
    return tuple(
        arrival
        for arrival in list_arrivals(inbox, secret=secret)
        if is_settled(arrival, now_s=now_s, quiet_s=quiet_s)
    )


def arrival_stamp(arrival: Arrival) -> str:
    """
    Return a text that changes whenever the arrival does, for run keys.

    It holds the number of files, of bytes, and the latest change in ns: nothing
    of a name or of content.
    """
    return f"{arrival.n_files}-{arrival.n_bytes}-{arrival.newest_change_ns}"


def put_in_inbox(source: Path, inbox: Path) -> Path:
    """
    Copy a folder or file into an inbox, whole or not at all, and mark it.

    The copy grows under a hidden name and gets its own with one rename, so a
    sensor sees it only when nothing is missing. The source is only read; a
    symbolic link in it is copied as a link. When the name is taken the copy is
    called ``<name>-2`` and so on, which does not change its drop.

    Returns
    -------
    pathlib.Path
        The new entry, always a folder; a single file lies inside.

    Raises
    ------
    BadInput
        The source is absent, a link, neither file nor folder, holds no file, or
        holds the inbox.
    """
    mode = source.lstat().st_mode if os.path.lexists(source) else 0
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise BadInput(
            "A drop is a folder or a file; the source is neither.",
            fix="Name an existing folder, archive or file, not a link to it.",
        )
    if inbox.resolve().is_relative_to(source.resolve()):
        raise BadInput(
            "The inbox lies inside the folder that is to be put into it.",
            fix="Name the folder of one scan session, not one that holds the inbox.",
        )
    inbox.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=".staged-", dir=inbox))
    try:
        n_files = _copy_drop(source, staged, is_folder=stat.S_ISDIR(mode))
        if n_files == 0:
            raise BadInput(
                "The folder holds no file.", fix="Name a folder that holds DICOM files."
            )
        (staged / MARKER_NAME).touch()
        staged.chmod(stat.S_IMODE(inbox.stat().st_mode))
        name = source.resolve().name.lstrip(".") or "drop"
        return rename_to_free_name(staged, inbox, name)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _is_marker(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(MARKER_NAME) and not entry.is_dir(follow_symlinks=False)


def _look_at(
    entry: os.DirEntry[str], *, secret: bytes, is_marked_beside: bool
) -> Arrival | None:
    """Return the arrival that `entry` is; None for a link or what is gone."""
    try:
        top = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(top.st_mode):
        return None
    is_folder = stat.S_ISDIR(top.st_mode)
    # What is too deep is told when the drop is taken in; others need not wait for it.
    listed = (
        list(walk_entries(entry.path, passes_deep=True))
        if is_folder
        else [(entry.name, top)]
    )
    folders = [top] if is_folder else []
    folders += [status for _, status in listed if stat.S_ISDIR(status.st_mode)]
    files = [
        (name, status)
        for name, status in listed
        if not stat.S_ISDIR(status.st_mode) and name != MARKER_NAME
    ]
    changes_ns = _thin_out([*folders, *(status for _, status in files)])
    return Arrival(
        path=Path(entry.path),
        n_files=len(files),
        n_bytes=sum(_size(status) for _, status in files),
        newest_change_ns=changes_ns[-1],
        changes_ns=changes_ns,
        drop_id=drop_id_of(
            ((name, _size(status)) for name, status in files), secret=secret
        ),
        is_marked=is_marked_beside or any(name == MARKER_NAME for name, _ in listed),
    )


def _thin_out(statuses: Iterable[os.stat_result]) -> tuple[int, ...]:
    """
    Return the latest change within each second, ascending.

    A modification time older than the change of status says nothing more: it
    was copied along with the file.
    """
    latest: dict[int, int] = {}
    for status in statuses:
        for change_ns in {
            status.st_ctime_ns,
            max(status.st_mtime_ns, status.st_ctime_ns),
        }:
            second = change_ns // _NS_PER_S
            latest[second] = max(change_ns, latest.get(second, change_ns))
    return tuple(sorted(latest.values()))


def drop_id_of(files: Iterable[tuple[str, int]], *, secret: bytes) -> str:
    """
    Return the identifier of a drop from its relative names and sizes in bytes.

    Neither the order, nor the name of the folder, nor the Unicode form of the
    names (NFC and NFD differ between file systems) makes a difference. Keyed
    (HMAC-SHA-256), so that names cannot be guessed from it.

    Examples
    --------
    >>> files = [("b.dcm", 2), ("a.dcm", 1)]
    >>> drop_id_of(files, secret=b"k") == drop_id_of(files[::-1], secret=b"k")
    True
    """
    lines = sorted(
        os.fsencode(unicodedata.normalize("NFC", name)) + b"\0%d\0" % n_bytes
        for name, n_bytes in files
    )
    keyed = hmac.new(secret, b"drop\0", "sha256")
    for line in lines:
        keyed.update(line)
    return f"drop-{keyed.hexdigest()[:16]}"


def walk_entries(
    top: str, *, passes_deep: bool = False
) -> Iterator[tuple[str, os.stat_result]]:
    """
    Yield relative POSIX name and status of all below `top`, following no link.

    Parameters
    ----------
    top
        A folder.
    passes_deep
        Folders are not entered whose name is longer than `MAX_FOLDER_BYTES`.

    Raises
    ------
    OSError
        A folder may not be read; or (ENAMETOOLONG) lies too deep and is not passed.
    """
    waiting = [("", top)]
    while waiting:
        prefix, folder = waiting.pop()
        if len(os.fsencode(prefix)) > MAX_FOLDER_BYTES:
            if passes_deep:
                continue
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        for entry in _scan_folder(folder):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield prefix + entry.name, status
            if stat.S_ISDIR(status.st_mode):
                waiting.append((f"{prefix}{entry.name}/", entry.path))


def _scan_folder(folder: str) -> list[os.DirEntry[str]]:
    """List a folder; one that is gone was moved or claimed, which its parent shows."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _size(status: os.stat_result) -> int:
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _copy_drop(source: Path, staged: Path, *, is_folder: bool) -> int:
    """Copy into `staged`; return the number of files."""
    if not is_folder:
        shutil.copyfile(source, staged / source.name, follow_symlinks=False)
        return 1
    n_files = 0
    for name, status in sorted(
        walk_entries(os.fspath(source)), key=lambda found: found[0]
    ):
        target = staged / name
        if stat.S_ISDIR(status.st_mode):
            target.mkdir(parents=True, exist_ok=True)
            continue
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target, follow_symlinks=False)
            n_files += 1
    return n_files


def rename_to_free_name(staged: Path, inbox: Path, name: str) -> Path:
    """Give a whole drop its name in the inbox, with a number when that is taken."""
    for number in itertools.count(1):
        target = inbox / (name if number == 1 else f"{name}-{number}")
        if os.path.lexists(target):
            continue
        try:
            return staged.rename(target)
        except OSError:
            # Somebody else took the name a moment ago.
            if not os.path.lexists(target):
                raise
    raise AssertionError("there is always another number")
