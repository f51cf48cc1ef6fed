"""
The facts of many DICOM files at once: what says which instance makes which volume.

A session has thousands of files, and walking each one in Python costs more than
converting it. Here the heads of many files stand in one array and are walked in
step, element by element, up to the size of the image; the end of a file is proved
by the head of its pixel data, which must stand exactly where the file's size says.
What is not as simple as that (compressed, deflated, big endian, many frames, no
preamble, damage) is read by `imaging_platform.dicom.headers`, one by one.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.dicom.header_index import Instance
from imaging_platform.dicom.headers import Header, read_header
from imaging_platform.dicom.heads import (
    INTEGERS,
    ROWS,
    TEXTS,
    Heads,
    Walk,
    read_heads,
)
from imaging_platform.dicom.structure import IMPLICIT_LITTLE, BadDicom

HEAD_BYTES = (8192, 16384, 1 << 17)
"""Read of each file, as little as will do: the size of an image stands in the first
8 KB of most, in 16 KB of mosaics, and behind large private groups in a few."""

_BATCH_BYTES = 3 << 20

_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_OWN_TEXTS = frozenset({"sop_uid", "image_position", "instance_number"})


def read_instances(paths: Sequence[str]) -> Iterator[Instance | BadDicom]:
    """
    Yield the facts of each file, or why it is not a whole DICOM file, in order.

    Parameters
    ----------
    paths
        Regular files that nobody changes meanwhile.
    """
    reader = _Reader()
    start = level = 0
    while start < len(paths):
        width, *wider = HEAD_BYTES[level:]
        batch = paths[start : start + _BATCH_BYTES // width]
        start += len(batch)
        found = reader.read(batch, width)
        if 2 * found.count(None) > len(found) and len(wider) > 1:
            level += 1
        for other in wider:
            _read_again(reader, batch, found, other)
        for path, instance in zip(batch, found, strict=True):
            yield instance or _read_alone(path)


def _read_again(
    reader: _Reader, paths: Sequence[str], found: list[Instance | None], width: int
) -> None:
    """Fill what a shorter head did not hold from heads of `width` bytes."""
    missing = [n for n, instance in enumerate(found) if instance is None]
    size = _BATCH_BYTES // width
    for start in range(0, len(missing), size):
        places = missing[start : start + size]
        again = reader.read([paths[n] for n in places], width)
        for place, instance in zip(places, again, strict=True):
            found[place] = instance


def _read_alone(path: str) -> Instance | BadDicom:
    try:
        return describe_header(read_header(Path(path)))
    except BadDicom as error:
        return error


def describe_header(header: Header) -> Instance:
    """Return the facts of an instance whose whole header was read."""
    return Instance(*(getattr(header, name) for name in Instance._fields))


class _Reader:
    """Reads batches of files; knows how long most pixel data were in the last one."""

    def __init__(self) -> None:
        self._guess = 0
        # One buffer for all batches: fresh memory costs more than what is read into it.
        self._buffer = bytearray(_BATCH_BYTES + 16)

    def read(self, paths: Sequence[str], width: int) -> list[Instance | None]:
        """Return the facts of each file; None for one that needs a closer look."""
        heads = read_heads(paths, width, self._guess, self._buffer)
        walk = Walk(heads)
        walk.walk()
        columns = _Columns(heads, walk)
        pixel_bytes = columns.pixel_bytes()
        found: list[Instance | None] = []
        for path, size, tail, instance, n_bytes, syntax, is_simple in zip(
            paths,
            heads.sizes,
            heads.tails,
            columns.instances(),
            pixel_bytes,
            columns.texts("transfer_syntax"),
            walk.is_simple.tolist(),
            strict=True,
        ):
            is_known = (
                is_simple
                and instance.sop_uid
                and instance.series_description.isascii()
                and _ends_with_pixels(
                    path,
                    size,
                    # Read where pixel data of the guessed length would begin.
                    tail if n_bytes == self._guess else b"",
                    n_bytes,
                    is_implicit=syntax == IMPLICIT_LITTLE,
                )
            )
            found.append(instance if is_known else None)
        lengths = Counter(filter(None, pixel_bytes))
        self._guess = max(lengths, key=lengths.__getitem__, default=self._guess)
        return found


class _Columns:
    """The values of a batch as columns, one value a file."""

    def __init__(self, heads: Heads, walk: Walk) -> None:
        # One text of all heads: a slice of it is several times as cheap as decoding.
        n_bytes = len(heads.sizes) * heads.width
        self._content = str(heads.content[:n_bytes], "latin-1")
        self._words = heads.words
        self._walk = walk
        self._frames = [n or 1 for n in self.integers("n_frames")]

    def texts(self, name: str) -> list[str]:
        """Return the text of an element without its padding, "" when absent."""
        content = self._content
        starts, row = self._walk.starts[ROWS[name]], self._walk.lengths[ROWS[name]]
        ends = starts + np.maximum(row, 0)
        found = [
            content[start:end].strip("\0 ")
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        if name in _OWN_TEXTS:
            return found
        # Most say the same in each file of a series: once in memory is enough.
        known: dict[str, str] = {}
        return [known.setdefault(text, text) for text in found]

    def integers(self, name: str) -> list[int | None]:
        """Return the first integer of a text element, None when there is none."""
        texts = self.texts(name)
        known = {text: _parse_integer(text) for text in set(texts)}
        return [known[text] for text in texts]

    def shorts(self, name: str) -> NDArray[np.int64]:
        """Return the numbers of a binary element, 0 when absent."""
        starts, lengths = (
            self._walk.starts[ROWS[name]],
            self._walk.lengths[ROWS[name]],
        )
        values = (self._words[starts] & 0xFFFF).astype(np.int64)
        return np.where(lengths >= 2, values, 0)

    def pixel_bytes(self) -> list[int]:
        """Return how many bytes the pixel data of each file must have, 0 for none."""
        frames = np.array(self._frames, dtype=np.int64)
        samples = np.maximum(self.shorts("samples_per_pixel"), 1)
        n_bits = self.shorts("rows") * self.shorts("columns") * frames * samples
        n_bytes = n_bits * self.shorts("bits_allocated") // 8
        return (n_bytes + n_bytes % 2).tolist()

    def instances(self) -> Iterator[Instance]:
        """Yield the facts of each file."""
        made: dict[str, Iterable[object]] = {name: self.texts(name) for name in TEXTS}
        made |= {name: self.integers(name) for name in INTEGERS if name != "n_frames"}
        made["n_frames"] = self._frames
        made |= {name: self.shorts(name).tolist() for name in ("rows", "columns")}
        made["has_pixels"] = itertools.repeat(True, len(self._walk.is_simple))
        return map(
            Instance._make, zip(*(made[f] for f in Instance._fields), strict=True)
        )


def _parse_integer(text: str) -> int | None:
    try:
        return int(text.split("\\")[0].strip("\0 "))
    except ValueError:
        return None


def _ends_with_pixels(
    path: str, size: int, tail: bytes, n_bytes: int, *, is_implicit: bool
) -> bool:
    """
    Tell whether the pixel data of the image's size end where the file ends.

    They are the last element (PS3.3 section A.1.2.1), so their head stands as far
    before the end of the file as they are long.

    Parameters
    ----------
    path, size
        The file and its bytes.
    tail
        Head of the pixel data, when it was read already.
    n_bytes
        What the image's size asks for.
    is_implicit
        True when elements have no value representation.
    """
    wanted = _list_heads(n_bytes, is_implicit)
    if tail in wanted:
        return True
    n_head = 8 if is_implicit else 12
    if not n_bytes or size < n_bytes + n_head:
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        head = os.pread(handle, n_head, size - n_bytes - n_head)
    finally:
        os.close(handle)
    return head in wanted


@functools.lru_cache
def _list_heads(n_bytes: int, is_implicit: bool) -> frozenset[bytes]:
    """Return what may stand before pixel data of a length (PS3.5 section 7.1)."""
    length = n_bytes.to_bytes(4, "little")
    if is_implicit:
        return frozenset({_PIXEL_DATA + length})
    return frozenset(_PIXEL_DATA + vr + b"\0\0" + length for vr in (b"OW", b"OB"))
