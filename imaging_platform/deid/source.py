"""An original while it is read: small ones in memory, large ones mapped."""

from __future__ import annotations

import mmap
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

from imaging_platform.deid.elements import ascii_text
from imaging_platform.deid.encoding import encoding_of
from imaging_platform.dicom.structure import (
    DEFLATED_LITTLE,
    EXPLICIT_LITTLE,
    BadDicom,
    Reason,
    find_start,
)

MAPPED_BYTES = 1 << 20
"""Larger files are mapped, so that only the pages of their header are ever read."""

MAX_INFLATED_BYTES = 1 << 30
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """
    The bytes of an original.

    Parameters
    ----------
    data
        All of them; a memory map is read like bytes, by slices and lengths.
    descriptor
        Of the same bytes as an open file.
    """

    data: bytes
    descriptor: int

    def copy_to(self, target: BufferedWriter, start: int, stop: int) -> None:
        """Write a range of bytes; those of a large file never pass through here."""
        if not isinstance(self.data, mmap.mmap):
            target.write(memoryview(self.data)[start:stop])
            return
        target.flush()
        while start < stop:
            count = stop - start
            start += os.sendfile(target.fileno(), self.descriptor, start, count)


@contextmanager
def open_source(path: Path, scratch: Path) -> Iterator[Source]:
    """
    Give an original; of a deflated one the meta group and the inflated data set.

    Parameters
    ----------
    path
        A regular file that nobody changes meanwhile.
    scratch
        Folder in which an inflated data set lies meanwhile, without a name.

    Raises
    ------
    BadDicom
        A deflated data set is broken or inflates beyond `MAX_INFLATED_BYTES`
        (PS3.5 section A.5).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _content_of(descriptor) as source:
            start = _start_of_deflated(source.data)
            if start is None:
                yield source
                return
            with tempfile.TemporaryFile(dir=scratch) as file:
                file.write(source.data[:start])
                for piece in _inflate(source.data, start):
                    file.write(piece)
                file.flush()
                with _content_of(file.fileno()) as inflated:
                    yield inflated
    finally:
        os.close(descriptor)


@contextmanager
def _content_of(descriptor: int) -> Iterator[Source]:
    size = os.fstat(descriptor).st_size
    if size < MAPPED_BYTES:
        yield Source(os.pread(descriptor, size, 0), descriptor)
        return
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as content:
        yield Source(content, descriptor)  # type: ignore[arg-type]  # see Source


def _start_of_deflated(data: bytes) -> int | None:
    """Return where the data set of a deflated file starts, None for other files."""
    if DEFLATED_LITTLE.encode() not in data[:4096]:
        return None
    position, _ = find_start(data)
    read_head = encoding_of(EXPLICIT_LITTLE).read_head
    syntax = ""
    while data[position : position + 2] == b"\x02\0" and len(data) - position >= 12:
        tag, _, start, length = read_head(data, position)
        position = min(start + length, len(data))
        if tag == 0x00020010:
            syntax = ascii_text(data[start:position])
    return position if syntax == DEFLATED_LITTLE else None


def _inflate(data: bytes, start: int) -> Iterator[bytes]:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    n_bytes = 0
    for position in range(start, len(data), _PIECE_BYTES):
        waiting = data[position : position + _PIECE_BYTES]
        while waiting and not engine.eof:
            try:
                piece = engine.decompress(waiting, _PIECE_BYTES)
            except zlib.error:
                raise BadDicom(Reason.BROKEN, "deflated data set") from None
            n_bytes += len(piece)
            if n_bytes > MAX_INFLATED_BYTES:
                raise BadDicom(Reason.INFLATED)
            yield piece
            waiting = engine.unconsumed_tail
    if not engine.eof:
        raise BadDicom(Reason.TRUNCATED, "deflated data set")
