"""
Archives taken apart as a stream, under caps, into files with numbers for names.

Nothing of an archive's content decides where a byte is written: members are
named by their position, so a name can neither leave the folder, nor clash, nor
be too long. Only regular files are written; links, devices and pipes are named
in the result and left out.
"""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from imaging_platform.model.errors import BadInput

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
"""How the name of an archive ends, in lower case."""

_CHUNK_BYTES = 1 << 20
_HEADER_BYTES = 1 << 20
_RATIO_FLOOR_BYTES = 16 << 20
_BLOCK_BYTES = 512
_DIRECTORY_ENTRY_BYTES = 256


class ArchiveReason(StrEnum):
    """Why an archive is not taken; a closed list, free of identity."""

    DAMAGED = "archive damaged or cut off"
    ENCRYPTED = "archive encrypted"
    MANY_MEMBERS = "archive has too many members"
    LARGE = "archive unpacks beyond the limit"
    RATIO = "archive unpacks to too many times its size"
    HEADER = "archive has an oversized header"
    UNREADABLE = "archive that its reader did not survive"


class BadArchive(BadInput):
    """
    An archive that is damaged, hostile, or beyond a cap.

    Parameters
    ----------
    reason
        The category; the message says the same in a sentence.
    """

    def __init__(self, reason: ArchiveReason) -> None:
        super().__init__(
            f"An archive was expected to unpack whole and within its caps: {reason}.",
            fix="Send the files as a plain folder, or make the archive again.",
        )
        self.reason = reason


@dataclass(frozen=True)
class UnpackingCaps:
    """
    What one archive may become.

    Parameters
    ----------
    max_members
        Members of any kind.
    max_bytes
        Sum of the sizes of the files written.
    max_ratio
        Bytes written for a byte of archive; not asked of the first 16 MiB.
    room_bytes
        Bytes that may be written before the disk counts as full; None for no
        such bound. Beyond it, unpacking ends with `OSError`.
    """

    max_members: int = 200_000
    max_bytes: int = 200 << 30
    max_ratio: float = 200.0
    room_bytes: int | None = None


@dataclass(frozen=True, repr=False)
class Member:
    """
    One regular file of an archive.

    Parameters
    ----------
    path
        Where it was written.
    name
        What the archive calls it; may identify the subject.
    """

    path: Path
    name: str


@dataclass(frozen=True, repr=False)
class Unpacked:
    """
    What became of an archive.

    Parameters
    ----------
    members
        Regular files, in the archive's order.
    refused
        Names of members that are neither regular files nor folders.
    """

    members: tuple[Member, ...]
    refused: tuple[str, ...]


def is_archive_name(name: str) -> bool:
    """Say whether a file name ends like an archive that `unpack_archive` reads."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def unpack_archive(
    archive: Path, target: Path, *, caps: UnpackingCaps | None = None
) -> Unpacked:
    """
    Write the regular files of a zip or tar archive into an empty folder.

    Parameters
    ----------
    archive
        A file whose name ends in one of `ARCHIVE_SUFFIXES`.
    target
        An existing, empty folder. After an error it holds what was written.
    caps
        Bounds; the defaults of `UnpackingCaps` when None.

    Raises
    ------
    BadArchive
        The archive is damaged, cut off, encrypted, no archive, or beyond a cap.
    OSError
        The disk is full, or refuses.
    """
    writer = _Writer(target, archive.stat().st_size, caps or UnpackingCaps())
    name = archive.name.lower()
    with _explained():
        if name.endswith(".zip"):
            _unpack_zip(archive, writer)
        elif name.endswith(".tar"):
            with archive.open("rb") as file:
                _unpack_tar(file, writer)
        else:
            with gzip.open(archive, "rb") as file:
                _unpack_tar(file, writer)
    return Unpacked(tuple(writer.members), tuple(writer.refused))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the many ways in which archive readers fail into one."""
    try:
        yield
    except OSError as error:
        # A damaged stream has no number, a wrong offset is an invalid argument;
        # anything else is the disk's and not the archive's.
        if error.errno in (None, errno.EINVAL):
            raise BadArchive(ArchiveReason.DAMAGED) from None
        raise
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        EOFError,
        # tarfile: a header of a header of a header.
        RecursionError,
        # zipfile: a compression or version that it does not know; an empty name.
        NotImplementedError,
        IndexError,
        ValueError,
        OverflowError,
        # zipfile decodes names; tarfile decodes numbers and PAX records.
        UnicodeError,
    ):
        raise BadArchive(ArchiveReason.DAMAGED) from None


class _Writer:
    """Writes members under numbers and keeps the account of the caps."""

    def __init__(self, target: Path, archive_bytes: int, caps: UnpackingCaps) -> None:
        self.target = target
        self.caps = caps
        ratio_bytes = int(archive_bytes * caps.max_ratio)
        self.ratio_bytes = max(ratio_bytes, _RATIO_FLOOR_BYTES)
        self.n_bytes = 0
        self.members: list[Member] = []
        self.refused: list[str] = []

    def count_member(self) -> None:
        if len(self.members) + len(self.refused) >= self.caps.max_members:
            raise BadArchive(ArchiveReason.MANY_MEMBERS)

    def refuse(self, name: str) -> None:
        self.count_member()
        self.refused.append(name)

    def write(self, name: str, content: IO[bytes]) -> None:
        self.count_member()
        path = self.target / f"{len(self.members):08d}"
        with path.open("xb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                self.spend(len(chunk))
                file.write(chunk)
        self.members.append(Member(path, name))

    def spend(self, n_bytes: int) -> None:
        self.n_bytes += n_bytes
        if self.n_bytes > self.caps.max_bytes:
            raise BadArchive(ArchiveReason.LARGE)
        if self.n_bytes > self.ratio_bytes:
            raise BadArchive(ArchiveReason.RATIO)
        room_bytes = self.caps.room_bytes
        if room_bytes is not None and self.n_bytes > room_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _unpack_zip(archive: Path, writer: _Writer) -> None:
    directory_bytes = writer.caps.max_members * _DIRECTORY_ENTRY_BYTES + _CHUNK_BYTES
    with (
        _Bounded(io.FileIO(archive), directory_bytes) as file,
        zipfile.ZipFile(file) as source,
    ):
        for entry in source.infolist():
            if entry.is_dir():
                continue
            if entry.flag_bits & 0x1:
                raise BadArchive(ArchiveReason.ENCRYPTED)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                writer.refuse(entry.filename)
                continue
            with source.open(entry) as content:
                writer.write(entry.filename, content)


class _Bounded(io.BufferedReader):
    """A zip file whose directory, which is read at once, may not be too large."""

    def __init__(self, file: io.FileIO, max_bytes: int) -> None:
        super().__init__(file)
        self._max_bytes = max_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._max_bytes:
            raise BadArchive(ArchiveReason.MANY_MEMBERS)
        return super().read(size)


def _unpack_tar(file: IO[bytes] | gzip.GzipFile, writer: _Writer) -> None:
    metered = _Metered(file)
    metered.allow(_HEADER_BYTES)
    with tarfile.open(
        fileobj=metered, mode="r|", errorlevel=2, bufsize=_BLOCK_BYTES * 20
    ) as source:
        for entry in source:
            if entry.isreg():
                content = source.extractfile(entry)
                if content is None:
                    raise BadArchive(ArchiveReason.DAMAGED)
                metered.allow(None)
                with content:
                    writer.write(entry.name, content)
            elif not entry.isdir():
                writer.refuse(entry.name)
            # A header is read whole into memory, however long it claims to be.
            metered.allow(_HEADER_BYTES)
    metered.read_to_end(writer)


class _Metered(io.RawIOBase):
    """A stream that knows how it ended and refuses to be read too far at once."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        super().__init__()
        self._file = file
        self._position = 0
        self._limit: int | None = None
        self._tail = b""

    def allow(self, n_bytes: int | None) -> None:
        """Let the next `n_bytes` be read; None lifts the limit."""
        self._limit = None if n_bytes is None else self._position + n_bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._position += len(data)
        if self._limit is not None and self._position > self._limit:
            raise BadArchive(ArchiveReason.HEADER)
        if data:
            self._tail = (self._tail + data[-_BLOCK_BYTES:])[-_BLOCK_BYTES:]
        return data

    def read_to_end(self, writer: _Writer) -> None:
        """Read what follows the end mark, so that a checksum there is verified."""
        self.allow(None)
        while chunk := self.read(_CHUNK_BYTES):
            writer.spend(len(chunk))
        # POSIX ustar: an archive ends with blocks of zeros. Without them it was
        # cut off between two members, which tarfile takes for its end.
        if self._tail.strip(b"\0") or len(self._tail) < _BLOCK_BYTES:
            raise BadArchive(ArchiveReason.DAMAGED)
