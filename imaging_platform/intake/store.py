"""Every file that ever arrived, once, read-only, named by its content."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from imaging_platform.files.digests import digest_file
from imaging_platform.intake.zone import store_path
from imaging_platform.model.errors import Held

_READ_ONLY = 0o440
NO_LINK = frozenset(
    {errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK, errno.ENOTSUP}
)


def keep_content(
    path: Path, zone: Path, *, sha256: str, n_bytes: int, modified_ns: int
) -> None:
    """
    Put a file into the store, unless its content is there.

    It is linked when nobody else can write to it, else copied. The file itself
    stays where it is: it is removed only when the receipt says where it went.

    Parameters
    ----------
    path
        A regular file.
    zone
        The study's identified zone.
    sha256, n_bytes, modified_ns
        What the file was when it was read.

    Raises
    ------
    Held
        The file changed since it was read.
    """
    target = store_path(zone, sha256)
    status = path.lstat()
    if (status.st_size, status.st_mtime_ns) != (n_bytes, modified_ns):
        raise _still_written()
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # A second link is somebody else's name for the same bytes, to change at will.
    if status.st_nlink > 1 or not _link(path, target):
        _copy(path, target, sha256)


def place_content(zone: Path, sha256: str, target: Path) -> None:
    """Make `target` a hard link to stored content, or a copy on another file system."""
    source = store_path(zone, sha256)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        shutil.copyfile(source, target)
        target.chmod(_READ_ONLY)


def _link(path: Path, target: Path) -> bool:
    try:
        path.chmod(_READ_ONLY)
        os.link(path, target)
    except FileExistsError:
        return True
    except OSError as error:
        # Another owner, another file system, or one without links.
        if error.errno not in NO_LINK:
            raise
        return False
    return True


def _copy(path: Path, target: Path, sha256: str) -> None:
    handle, name = tempfile.mkstemp(prefix=".staged-", dir=target.parent)
    os.close(handle)
    staged = Path(name)
    try:
        shutil.copyfile(path, staged)
        if digest_file(staged) != sha256:
            raise _still_written()
        staged.chmod(_READ_ONLY)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)


def _still_written() -> Held:
    return Held(
        "A file of the drop changed while it was read.",
        fix="Wait until the upload has ended and start the run again.",
    )
