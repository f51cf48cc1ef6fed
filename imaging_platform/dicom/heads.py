"""
The first bytes of many DICOM files, walked in step.

Walking one header element by element costs Python more than converting the image.
The heads of many files in one array are walked together, one element of each file
at a time (PS3.5 section 7), so that the cost of a step is shared.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging_platform.dicom.structure import EXPLICIT_LITTLE, IMPLICIT_LITTLE

_MOST_STEPS, _FEW_FILES = 300, 8
"""After so many steps, so few files are left to be read alone."""

_UNDEFINED = 0xFFFFFFFF
_FIRST_ELEMENT = 132
_ITEM_GROUP = 0xFFFE
_SEQUENCE_END = 0xFFFEE0DD
_TRANSFER_SYNTAX = 0x00020010
_BITS_ALLOCATED = 0x00280100

TEXTS = {
    "sop_class_uid": 0x00080016,
    "sop_uid": 0x00080018,
    "image_type": 0x00080008,
    "series_time": 0x00080031,
    "series_description": 0x0008103E,
    "manufacturer": 0x00080070,
    "echo_time_ms": 0x00180081,
    "software_versions": 0x00181020,
    "study_uid": 0x0020000D,
    "series_uid": 0x0020000E,
    "image_position": 0x00200032,
    "image_orientation": 0x00200037,
}
INTEGERS = {
    "echo_number": 0x00180086,
    "series_number": 0x00200011,
    "acquisition_number": 0x00200012,
    "instance_number": 0x00200013,
    "temporal_position": 0x00200100,
    "images_in_acquisition": 0x00201002,
    "n_frames": 0x00280008,
}
SHORTS = {
    "samples_per_pixel": 0x00280002,
    "rows": 0x00280010,
    "columns": 0x00280011,
    "bits_allocated": _BITS_ALLOCATED,
}
_BAD, _SHORT, _LONG, _SEQUENCE = range(4)


@dataclass(frozen=True)
class Heads:
    """
    First bytes of some files in one array.

    Parameters
    ----------
    content
        uint8, the heads one after the other, each `width` bytes, and some padding.
    words
        The same bytes as little-endian uint64 at every offset.
    lengths, sizes
        Bytes read and bytes on disk of each file.
    tails
        12 bytes of each file from where its pixel data may begin.
    """

    content: memoryview
    words: NDArray[np.uint64]
    width: int
    lengths: NDArray[np.int64]
    sizes: list[int]
    tails: list[bytes]


def read_heads(
    paths: Sequence[str], width: int, guess: int, buffer: bytearray
) -> Heads:
    """
    Read the first bytes of each file, and 12 where its pixel data may begin.

    Parameters
    ----------
    paths
        Files.
    width
        Bytes of each.
    guess
        Length of the pixel data, as in the files before.
    buffer
        Where the heads are put, at least ``len(paths) * width + 16`` bytes; what was
        in it before is not looked at.
    """
    content = memoryview(buffer)
    lengths, sizes, tails = [], [], []
    for n, path in enumerate(paths):
        handle = os.open(path, os.O_RDONLY)
        try:
            lengths.append(os.readv(handle, [content[n * width : (n + 1) * width]]))
            size = os.fstat(handle).st_size
            tails.append(os.pread(handle, 12, max(size - guess - 12, 0)))
        finally:
            os.close(handle)
        sizes.append(size)
    words = np.ndarray(len(buffer) - 7, dtype="<u8", buffer=buffer, strides=(1,))
    return Heads(content, words, width, np.array(lengths, dtype=np.int64), sizes, tails)


def _lookup() -> NDArray[np.uint8]:
    """Return the kind of each value representation by its two letters as a number."""
    table = np.full(1 << 16, _BAD, dtype=np.uint8)
    kinds = {
        _SHORT: "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US",
        _LONG: "OB OD OF OL OV OW SV UC UN UR UT UV",
        _SEQUENCE: "SQ",
    }
    for kind, names in kinds.items():
        for name in names.split():
            table[int.from_bytes(name.encode(), "little")] = kind
    return table


_KINDS = _lookup()
_KIND_LIST = _KINDS.tolist()
_TAG_AND_KIND = 0xFFFFFFFFFFFF


class Walk:
    """
    The heads of a batch, walked in step; where each wanted value of each file stands.

    `starts` and `lengths` have the shape (wanted element, file); a start is an
    offset in `Heads.content`, a length is in bytes, -1 when the element is absent.
    `is_simple` tells for each file that the walk came to the size of the image.
    """

    def __init__(self, heads: Heads) -> None:
        n_files = len(heads.sizes)
        self._words = heads.words
        self._content = heads.content
        self._files = np.arange(n_files)
        self._base = self._files * heads.width
        self._ends = self._base + heads.lengths
        self._steps: list[tuple[NDArray[np.int64], ...]] = []
        self.is_simple = np.zeros(n_files, dtype=bool)
        self.starts = np.full((len(_WANTED), n_files), -1, dtype=np.int64)
        self.lengths = np.full((len(_WANTED), n_files), -1, dtype=np.int64)

    def walk(self) -> None:
        """Walk the file meta groups, then the data sets as their syntax says."""
        magic = self._words[self._base + 128] & 0xFFFFFFFF
        files = self._files[magic == int.from_bytes(b"DICM", "little")]
        positions = self._base[files] + _FIRST_ELEMENT
        files, positions = self._walk_meta(files, positions)
        self._collect()
        row = ROWS["transfer_syntax"]
        starts, lengths = self.starts[row].tolist(), self.lengths[row].tolist()
        content = self._content
        syntaxes = [
            str(content[starts[n] : starts[n] + lengths[n]], "latin-1").strip("\0 ")
            if starts[n] >= 0
            else ""
            for n in files.tolist()
        ]
        for syntax, is_implicit in ((EXPLICIT_LITTLE, False), (IMPLICIT_LITTLE, True)):
            chosen = np.array([one == syntax for one in syntaxes], dtype=bool)
            if chosen.any():
                self._walk_body(files[chosen], positions[chosen], is_implicit)
        self._collect()

    def _walk_meta(
        self, files: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Walk group 0002; return the files that have one and where it ends."""
        ended: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        while files.size:
            is_inside = positions + 12 <= self._ends[files]
            files, positions = files[is_inside], positions[is_inside]
            words = self._words[positions].astype(np.int64)
            is_meta = words & 0xFFFF == 2
            ended.append((files[~is_meta], positions[~is_meta]))
            files, positions = files[is_meta], positions[is_meta]
            words = words[is_meta]
            kinds, starts, lengths = self._measure(words, positions)
            tags = (words & 0xFFFF) << 16 | words >> 16 & 0xFFFF
            self._steps.append((files, tags, starts, lengths))
            is_known = (kinds != _BAD) & (lengths != _UNDEFINED)
            files, positions = files[is_known], (starts + lengths)[is_known]
        if not ended:
            return files, positions
        return (
            np.concatenate([each[0] for each in ended]),
            np.concatenate([each[1] for each in ended]),
        )

    def _walk_body(
        self, files: NDArray[np.int64], positions: NDArray[np.int64], implicit: bool
    ) -> None:
        """Walk data sets up to the size of the image; what is nested is passed."""
        depths = np.zeros(files.size, dtype=np.int64)
        # What each step would ask anew: where the last head of an element may begin,
        # and whether any file is inside a sequence.
        ends, is_nested, n_steps = self._ends[files] - 12, False, 0
        while files.size > (0 if n_steps < _MOST_STEPS else _FEW_FILES):
            n_steps += 1
            is_inside = positions <= ends
            if not is_inside.all():
                files, positions = files[is_inside], positions[is_inside]
                depths, ends = depths[is_inside], ends[is_inside]
            if not files.size:
                return
            words = self._words[positions].astype(np.int64)
            if not (implicit or is_nested):
                following = self._step_together(words, files, positions)
                if following is not None:
                    positions = following
                    continue
            groups = words & 0xFFFF
            tags = groups << 16 | words >> 16 & 0xFFFF
            is_item = groups == _ITEM_GROUP
            if implicit:
                kinds = np.full(files.size, _SEQUENCE, dtype=np.uint8)
                starts, lengths = positions + 8, words >> 32 & _UNDEFINED
            else:
                kinds, starts, lengths = self._measure(words, positions)
            if is_item.any():
                kinds[is_item] = _SEQUENCE
                starts[is_item] = positions[is_item] + 8
                lengths[is_item] = (words >> 32 & _UNDEFINED)[is_item]
            is_top = (depths == 0) & ~is_item
            self._steps.append(
                (files[is_top], tags[is_top], starts[is_top], lengths[is_top])
            )
            is_open = lengths == _UNDEFINED
            if is_open.any():
                lengths[is_open] = 0
                kinds[is_open & (kinds != _SEQUENCE)] = _BAD
                depths = depths + (is_open & ~is_item)
            depths = depths - (tags == _SEQUENCE_END)
            is_last = is_top & (tags >= _BITS_ALLOCATED)
            self.is_simple[files[is_last & (tags == _BITS_ALLOCATED)]] = True
            goes_on = (kinds != _BAD) & ~is_last & (depths >= 0)
            positions = starts + lengths
            if not goes_on.all():
                files, positions = files[goes_on], positions[goes_on]
                depths, ends = depths[goes_on], ends[goes_on]
            is_nested = bool(depths.any())

    def _step_together(
        self,
        words: NDArray[np.int64],
        files: NDArray[np.int64],
        positions: NDArray[np.int64],
    ) -> NDArray[np.int64] | None:
        """
        Pass one plain explicit element that all files have; None when they differ.

        Files of a series mostly do, and this is a third of the work.
        """
        head = int(words[0])
        if _KIND_LIST[head >> 32 & 0xFFFF] != _SHORT:
            return None
        if ((words ^ head) & _TAG_AND_KIND).any():
            return None
        tag = (head & 0xFFFF) << 16 | head >> 16 & 0xFFFF
        if tag >= _BITS_ALLOCATED:
            return None
        lengths = words >> 48 & 0xFFFF
        starts = positions + 8
        row = _ROW_OF_TAG.get(tag)
        if row is not None:
            self.starts[row, files] = starts
            self.lengths[row, files] = lengths
        return starts + lengths

    def _measure(
        self, words: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """Return kind, start and length of the values of explicit elements."""
        kinds = _KINDS[words >> 32 & 0xFFFF]
        starts, lengths = positions + 8, words >> 48 & 0xFFFF
        is_long = kinds >= _LONG
        if is_long.any():
            places = starts[is_long]
            lengths[is_long] = self._words[places] & _UNDEFINED
            starts[is_long] = places + 4
        return kinds, starts, lengths

    def _collect(self) -> None:
        """Sort what the steps met into the tables of wanted elements."""
        if not self._steps:
            return
        files, tags, starts, lengths = (
            np.concatenate(each) for each in zip(*self._steps, strict=True)
        )
        self._steps.clear()
        rows = _ROW_OF[_fold(tags)]
        is_wanted = _TAGS[rows] == tags
        rows, files = rows[is_wanted], files[is_wanted]
        self.starts[rows, files] = starts[is_wanted]
        self.lengths[rows, files] = lengths[is_wanted]


def _fold(tags: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 16 bits of each tag; the wanted ones differ in them."""
    return (tags ^ tags >> 8) & 0xFFFF


_WANTED = {"transfer_syntax": _TRANSFER_SYNTAX, **TEXTS, **INTEGERS, **SHORTS}
ROWS = {name: row for row, name in enumerate(_WANTED)}
_ROW_OF_TAG = {tag: row for row, tag in enumerate(_WANTED.values())}
_TAGS = np.array(list(_WANTED.values()), dtype=np.int64)
_ROW_OF = np.zeros(1 << 16, dtype=np.int64)
_ROW_OF[_fold(_TAGS)] = np.arange(len(_TAGS))
