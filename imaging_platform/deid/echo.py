"""
The subject's identifiers in what conversion made: sidecars, tables, images, names.

Numbers are searched as numbers: a short identifier made of digits is also a voxel
count or a shim current, a date or a long identifier is not. Pictures that a page
embeds are not searched: the letters that encode them spell a short name by chance.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from imaging_platform.deid.identifiers import Identifiers, fold
from imaging_platform.deid.residue import Residue
from imaging_platform.files.digests import sorted_files

LONG_DIGITS = 7
"""Digits from which a bare number is taken for an identifier."""

MAX_HEAD_BYTES = 16 << 20
"""How much of an image is searched; extensions are far smaller."""

MAX_GZIP_HEAD_BYTES = 1 << 17
"""Extra field, of at most 64 KiB, and two names."""

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|n/a")
_EMBEDDED = re.compile(r"(?<=;base64,)(?:\s?[A-Za-z0-9+/]{60,})*[A-Za-z0-9+/]*={0,2}")
"""The data of a `data` URL (RFC 2397), on one line or on lines of 60 or more."""

_PACKED = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"wOFF", b"wOF2", b"\x1f\x8b")
"""How pictures, fonts and archives begin, whose bytes are no text."""

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_NIFTI1_FIELDS = {
    "data_type": (4, 10),
    "db_name": (14, 18),
    "descrip": (148, 80),
    "aux_file": (228, 24),
    "intent_name": (328, 16),
}
_NIFTI2_FIELDS = {"descrip": (240, 80), "aux_file": (320, 24), "intent_name": (508, 16)}


def find_echoes(
    tree: Path, identifiers: Identifiers, *, own_names: Sequence[str] = ()
) -> tuple[Residue, ...]:
    """
    Search a session in BIDS for what must not be there.

    Parameters
    ----------
    tree
        Folder of the session.
    identifiers
        What to look for.
    own_names
        Pseudonyms, such as ``sub-01``, which may stand in names and values.

    Returns
    -------
    tuple of Residue
        File and place, sorted; never a value. A file whose own name echoes is not
        named: its place is ``file name``, its file is empty.
    """
    search = _Search(identifiers, own_names)
    found: list[Residue] = []
    for path in sorted_files(tree):
        name = path.relative_to(tree).as_posix()
        if search.hits(name):
            found.append(Residue("", "file name"))
            name = ""
        found += [Residue(name, place) for place in search.places(path)]
    for folder in sorted(path for path in tree.rglob("*") if path.is_dir()):
        if not any(folder.iterdir()) and search.hits(folder.name):
            found.append(Residue("", "folder name"))
    return tuple(sorted(set(found)))


class _Search:
    """Looks for one subject in one kind of file after the other."""

    def __init__(self, identifiers: Identifiers, own_names: Sequence[str]) -> None:
        self._identifiers = identifiers
        self._own_names = sorted(own_names, key=len, reverse=True)
        self._long = frozenset(
            word for word in identifiers.words if _is_long_number(word)
        )

    def hits(self, text: str) -> bool:
        """Return whether a text echoes."""
        text = _unpack_embedded(text)
        for name in self._own_names:
            text = text.replace(name, " ")
        return self._identifiers.echoes_in(text)

    def hits_number(self, text: str) -> bool:
        """Return whether a number is a date or a long identifier of the subject."""
        digits = text.lstrip("+-")
        return digits in self._identifiers.dates or digits in self._long

    def hits_key(self, key: str) -> bool:
        """
        Return whether the key of a sidecar echoes.

        The converter's own keys are one word in capitals and small letters; a short
        name inside one (``SliceTiming``) is no echo.
        """
        if _KEY.fullmatch(key):
            return fold(key) in self._identifiers.words
        return self.hits(key)

    def places(self, path: Path) -> Iterator[str]:
        """Yield each place of a file that echoes."""
        if path.name.endswith((".nii", ".nii.gz")):
            yield from self._places_of_image(path)
            return
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".json":
            try:
                yield from self._places_of_json(_parse_json(text), "")
            except ValueError:
                yield from self._places_of_lines(text)
        elif path.suffix == ".tsv":
            yield from self._places_of_table(text)
        else:
            yield from self._places_of_lines(text)

    def _places_of_json(self, value: object, above: str) -> Iterator[str]:
        if isinstance(value, dict):
            for number, (key, inner) in enumerate(value.items()):
                is_echo = self.hits_key(str(key))
                name = f"key {number}" if is_echo else str(key)
                place = f"{above}.{name}" if above else name
                if is_echo:
                    yield place
                yield from self._places_of_json(inner, place)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                yield from self._places_of_json(inner, f"{above}[{number}]")
        elif self._hits_cell(str(value), is_number=isinstance(value, int)):
            yield above

    def _places_of_table(self, text: str) -> Iterator[str]:
        lines = text.splitlines()
        columns = lines[0].split("\t") if lines else []
        for number, line in enumerate(lines, start=1):
            for place, cell in enumerate(line.split("\t")):
                if self._hits_cell(cell):
                    named = place < len(columns) and not self.hits(columns[place])
                    column = columns[place] if named else str(place + 1)
                    yield f"line {number}, column {column}"

    def _places_of_lines(self, text: str) -> Iterator[str]:
        lines = _unpack_embedded(text).splitlines()
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if words and all(_NUMBER.fullmatch(word) for word in words):
                is_echo = any(self.hits_number(word) for word in words)
            else:
                is_echo = self.hits(line)
            if is_echo:
                yield f"line {number}"

    def _hits_cell(self, text: str, *, is_number: bool = False) -> bool:
        if is_number or _NUMBER.fullmatch(text):
            return self.hits_number(text)
        return self.hits(text)

    def _places_of_image(self, path: Path) -> Iterator[str]:
        if self.hits(_text_of(_read_gzip_texts(path))):
            yield "gzip header"
        head = _read_head(path)
        size = struct.unpack_from("<i", head)[0] if len(head) >= 4 else 0
        fields = _NIFTI2_FIELDS if size in (540, 469893120) else _NIFTI1_FIELDS
        for name, (start, length) in fields.items():
            if self.hits(_text_of(head[start : start + length])):
                yield name
        after = 540 if fields is _NIFTI2_FIELDS else 348
        if self._hits_bytes(head[after:]):
            yield "header extension"

    def _hits_bytes(self, data: bytes) -> bool:
        wide = data[::2], data[1::2]
        return any(self.hits(_text_of(part)) for part in (data, *wide))


def _unpack_embedded(text: str) -> str:
    """Return a page with the text of what it embeds, and with no picture."""
    return _EMBEDDED.sub(lambda found: _unpack(found[0]), text)


def _unpack(encoded: str) -> str:
    try:
        data = base64.b64decode("".join(encoded.split()), validate=True)
    except binascii.Error:
        return encoded
    if data.startswith(_PACKED):
        # Lines are counted.
        return "\n" * encoded.count("\n")
    return " ".join([*data.decode("utf-8", errors="replace").split(), encoded])


def _parse_json(text: str) -> object:
    """Return JSON with numbers as they are written."""
    return json.loads(text, parse_float=str, parse_constant=lambda _: "n/a")


def _read_head(path: Path) -> bytes:
    """Return an image up to its first voxel, as far as it says where that is."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(544)
            if len(head) < 352:
                return head
            start = min(max(_voxels_start(head), 352), MAX_HEAD_BYTES)
            return (head + file.read(max(start - len(head), 0)))[:start]
    except (OSError, EOFError, zlib.error):
        return b""


def _read_gzip_texts(path: Path) -> bytes:
    """Return extra field, name and comment of a gzip file (RFC 1952, section 2.3)."""
    with path.open("rb") as file:
        head = file.read(MAX_GZIP_HEAD_BYTES)
    if len(head) < 12 or head[:2] != b"\x1f\x8b":
        return b""
    flags, start = head[3], 10
    extra = 2 + int.from_bytes(head[10:12], "little") if flags & 4 else 0
    n_texts = bool(flags & 8) + bool(flags & 16)
    texts = head[start + extra :].split(b"\0")[:n_texts]
    return b"\n".join([head[start + 2 : start + extra], *texts])


def _voxels_start(head: bytes) -> int:
    """Return ``vox_offset`` of a NIfTI-1 or NIfTI-2 header in either byte order."""
    order = "<" if struct.unpack_from("<i", head)[0] in (348, 540) else ">"
    if struct.unpack_from(f"{order}i", head)[0] == 540:
        return struct.unpack_from(f"{order}q", head, 168)[0]
    start = struct.unpack_from(f"{order}f", head, 108)[0]
    return int(start) if 0 <= start < MAX_HEAD_BYTES else MAX_HEAD_BYTES


def _text_of(data: bytes) -> str:
    """Return bytes as text, with a blank for each that is no letter of Latin-1."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", data.decode("latin-1"))


def _is_long_number(word: str) -> bool:
    return word.isdigit() and len(word) >= LONG_DIGITS
