"""Publishing a folder all or nothing: staged beside, then exchanged in one step."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

STAGING = ".staging"
"""Folder beside the published trees; hidden, so that BIDS tools pass it over."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


@contextlib.contextmanager
def staged_tree(area: Path, name: str) -> Iterator[Path]:
    """
    Give an empty folder to build a tree in; it is gone afterwards.

    One process at a time holds a name; another waits. What a killed process
    left under the same name is removed first.

    Parameters
    ----------
    area
        Folder on the file system of the later target; made if absent.
    name
        What is built, as a relative key; slashes are allowed.
    """
    staging = area / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    flat = name.replace("/", "--")
    with locked(staging / f"{flat}.lock"):
        workspace = staging / flat
        _remove(workspace)
        (workspace / "tree").mkdir(parents=True)
        try:
            yield workspace / "tree"
        finally:
            _remove(workspace)


def remove_tree(target: Path, area: Path, name: str) -> None:
    """
    Remove a published tree for good, with all that its staging left in `area`.

    The caller knows that nobody builds or reads it. Twice is once.
    """
    flat = name.replace("/", "--")
    for folder in (target, _aside(target), area / STAGING / flat):
        _remove(folder)
    (area / STAGING / f"{flat}.lock").unlink(missing_ok=True)


def publish_tree(tree: Path, target: Path) -> None:
    """
    Put `tree` at `target`; a reader sees the old tree or the new one, never a mix.

    Parameters
    ----------
    tree
        A complete folder on the same file system as `target`. Afterwards it is
        the old tree, or gone when there was none.
    target
        Where it stands afterwards. `recover_target` mends a kill on file systems
        that cannot exchange two folders in one step.
    """
    # Without this a power cut could leave the new name on files without bytes.
    flush_disk(tree)
    target.parent.mkdir(parents=True, exist_ok=True)
    recover_target(target)
    if not target.exists():
        _move_in(tree, target)
    elif not _exchange(tree, target):
        target.rename(_aside(target))
        tree.rename(target)
        _remove(_aside(target))


def flush_disk(folder: Path) -> None:
    """
    Write out what the file system of `folder` holds in memory (Linux syncfs).

    Other disks of the machine are left to themselves.

    Raises
    ------
    OSError
        The disk did not take it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        os.sync()
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if libc.syncfs(handle) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(handle)


def recover_target(target: Path) -> None:
    """Bring back the old tree if a kill fell between the two renames of a publish."""
    aside = _aside(target)
    if not aside.exists():
        return
    if target.exists():
        _remove(aside)
    else:
        aside.rename(target)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file at `path`; the system frees it on a kill."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _move_in(tree: Path, target: Path) -> None:
    """Rename; the folder above may be removed as empty meanwhile, and is made again."""
    while True:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            tree.rename(target)
        except FileNotFoundError:
            if not tree.exists():
                raise
        else:
            return


def _aside(target: Path) -> Path:
    return target.with_name(f".old-{target.name}")


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths in one step (Linux renameat2); False if it cannot be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    names = (os.fsencode(first), os.fsencode(second))
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code))


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        # A tree that is only lent here: what it leads to stays.
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
