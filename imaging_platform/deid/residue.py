"""The echo guard: what was known of the subject must not be found in the output."""

from __future__ import annotations

import functools
import gzip
import json
import mmap
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.deid.elements import DicomFile, Element
from imaging_platform.deid.ge import unpack_protocol
from imaging_platform.deid.identifiers import (
    Identifiers,
    decode,
    identifiers_of,
    merge_identifiers,
)
from imaging_platform.deid.policy import NUMERIC_VRS
from imaging_platform.deid.reading import parse_file
from imaging_platform.deid.tables import known_creators
from imaging_platform.dicom.structure import BadDicom
from imaging_platform.files.digests import sorted_files

_OWN_TAGS = frozenset({0x00100010, 0x00100020, 0x00120062, 0x00120063, 0x00120064})
_COMMON_BYTES = 256
# What is not ASCII in bytes that a rewriter made is a number, no letter.
_ASCII = bytes(range(128)) + b" " * 128


@dataclass(frozen=True, order=True)
class Residue:
    """
    A place where something of the subject was found.

    Parameters
    ----------
    file
        Path inside the searched folder, or empty.
    place
        Path of keywords of an element, or line number of a text; never a value.
    """

    file: str
    place: str


def collect_identifiers(paths: Iterable[Path]) -> Identifiers:
    """Return what DICOM files tell of their subject; other files tell nothing."""
    found: list[Identifiers] = []
    for path in paths:
        try:
            file = read_header(path)
        except BadDicom:
            continue
        elements = [*file.meta, *file.elements]
        found.append(identifiers_of(elements, file.text(0x00080005)))
    return merge_identifiers(found)


def read_header(path: Path) -> DicomFile:
    """
    Return the elements of a file before its pixel data.

    Raises
    ------
    BadDicom
        The file is not DICOM or its structure is broken.
    """
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            return parse_file(b"")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # A memory map is read like bytes: by slices and lengths.
            return parse_file(content, with_pixels=False)  # type: ignore[arg-type]


def find_residue(
    tree: Path, identifiers: Identifiers, *, own_name: str = ""
) -> tuple[Residue, ...]:
    """
    Search every file of a folder for what must not be there.

    DICOM is searched element by element without pixel data, NIfTI in its header,
    all else as text by line (sidecars, tables); file names too.

    Parameters
    ----------
    tree
        Folder of outputs.
    identifiers
        What to look for (`collect_identifiers`).
    own_name
        The pseudonym, which may stand where a name stood.

    Returns
    -------
    tuple of Residue
        Sorted; empty when nothing was found.
    """
    found: list[Residue] = []
    for path in sorted_files(tree):
        name = path.relative_to(tree).as_posix()
        if identifiers.echoes_in(name.replace(own_name, "") if own_name else name):
            found.append(Residue("", "file name"))
        found += [
            Residue(name, place) for place in _places(path, identifiers, own_name)
        ]
    return tuple(sorted(found))


def find_in_elements(
    elements: list[Element], identifiers: Identifiers, own_name: str, above: str = ""
) -> Iterator[str]:
    """Yield the keyword path of each element that echoes an identifier."""
    for element in elements:
        if element.tag in _OWN_TAGS and _is_own(element, own_name):
            continue
        if _is_creator(element):
            continue
        if element.items is not None:
            for number, item in enumerate(element.items):
                inner = f"{above}{_name_of(element.tag)}[{number}]."
                yield from find_in_elements(item, identifiers, own_name, inner)
        elif _echoes(element, identifiers):
            yield f"{above}{_name_of(element.tag)}"


def _places(path: Path, identifiers: Identifiers, own_name: str) -> Iterator[str]:
    if path.suffix == ".dcm":
        file = read_header(path)
        with path.open("rb") as handle:
            if any(handle.read(128)):
                yield "preamble"
        elements = [*file.meta, *file.elements]
        yield from find_in_elements(elements, identifiers, own_name)
        return
    text = _text_of(path)
    if path.suffix == ".json":
        text = _unescaped(text)
    for number, line in enumerate(text.splitlines(), start=1):
        shown = line.replace(own_name, "") if own_name else line
        if identifiers.echoes_in(shown):
            yield f"line {number}"


def _text_of(path: Path) -> str:
    if path.suffix == ".gz":
        try:
            with gzip.open(path, "rb") as file:
                return file.read(348).decode("latin-1")
        except (OSError, EOFError, zlib.error):
            return ""
    if path.suffix == ".nii":
        with path.open("rb") as file:
            return file.read(348).decode("latin-1")
    return path.read_text(encoding="utf-8", errors="replace")


def _unescaped(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    except ValueError:
        return text


def _echoes(element: Element, identifiers: Identifiers) -> bool:
    if element.tag >> 16 == 0x7FE0 or not element.value:
        return False
    if len(element.value) <= _COMMON_BYTES:
        return _value_echoes_again(element.value, element.vr, identifiers)
    return _value_echoes(element.value, element.vr, identifiers)


def _value_echoes(value: bytes, vr: str, identifiers: Identifiers) -> bool:
    if vr in NUMERIC_VRS or vr in ("OW", "OF", "OD", "OL", "OV"):
        return identifiers.echoes_in_numbers(value)
    if vr in ("DS", "IS"):
        # A short number of a subject is also a voxel size or a count.
        text = decode(value, "")
        return any(part.strip() in identifiers.dates for part in text.split("\\"))
    if vr in ("OB", "UN"):
        unpacked = unpack_protocol(value)
        if unpacked is not None:
            return identifiers.echoes_in(unpacked)
        return identifiers.echoes_in_technique(value.translate(_ASCII).decode("ascii"))
    return identifiers.echoes_in(value.decode("latin-1"))


# The files of a series repeat most of their values.
_value_echoes_again = functools.lru_cache(maxsize=1 << 16)(_value_echoes)


def _is_creator(element: Element) -> bool:
    is_block = element.tag >> 16 & 1 and 0x10 <= element.tag & 0xFFFF <= 0xFF
    return bool(is_block) and decode(element.value, "").lower() in known_creators()


def _is_own(element: Element, own_name: str) -> bool:
    if element.tag in (0x00100010, 0x00100020):
        return bool(own_name) and decode(element.value, "") == own_name
    return True


def _name_of(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    keyword = keyword_for_tag(tag) if not tag >> 16 & 1 else ""
    return keyword or f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
