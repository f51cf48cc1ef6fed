"""Real files with an identity planted into every text, number and container."""

from __future__ import annotations

import gzip
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import config, dcmread
from pydicom.datadict import (
    DicomDictionary,
    dictionary_VR,
    private_dictionary_VR,
)
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

TEXT = frozenset(["AE", "LO", "LT", "SH", "ST", "UC", "UR", "UT"])
BYTES = frozenset(["OB", "OW", "UN", "OF", "OD", "OL", "OV"])
UNITS = {"FD": 8, "FL": 4, "SL": 4, "SS": 2, "UL": 4, "US": 2, "AT": 4}
# What a reader needs, or a gate decides by; and what says which text follows.
LEFT = frozenset(
    [0x00080005, 0x00080008, 0x00080016, 0x00080060, 0x00080064, 0x00280004]
)
LEFT |= {0x00280301, 0x00281199, 0x00080001, 0x00280008}
# Behind a colour table only its descriptor could tell text from colours.
TABLES = frozenset([0x00281201, 0x00281202, 0x00281203])
# These are known to be the subject's, so that the echo guard knows them as well:
# what is planted elsewhere must be found without it.
KNOWN = frozenset(
    [0x00080050, 0x00081010, 0x00100020, 0x00101000, 0x00181000, 0x00200010]
)
KNOWN |= {0x00101040, 0x00102154, 0x00380010, 0x00400242, 0x00400253, 0x00401001}

NEEDLES = (
    b"zxqnam",
    b"vorqel",
    b"quibblefax",
    b"88412345",
    b"93711842",
    b"19370214",
    b"19411207",
    b"1941-12-07",
    b"498912345",
)
"""In lower case; each file has all of them, in many places."""


@dataclass
class Planted:
    """
    A file with identities, and how many there are.

    Parameters
    ----------
    data
        The file's bytes.
    n_planted
        Places.
    uids
        Original UIDs that identify.
    """

    data: bytes
    n_planted: int
    uids: frozenset[bytes]


def plant(path: Path, *, appended: bool, everywhere: bool = False) -> Planted:
    """
    Return a file with an identity in every place that can hold one.

    Parameters
    ----------
    path
        A real file, with meta group.
    appended
        Whether to write behind what stands there, not instead of it.
    everywhere
        Whether to add each text of the dictionary that the file has not.
    """
    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(path)
        gardener = _Gardener(appended, dataset.is_implicit_VR, dataset.is_little_endian)
        if everywhere:
            gardener.add_dictionary(dataset)
        gardener.visit(dataset)
        gardener.add_containers(dataset)
        return Planted(_written(dataset), gardener.n_planted, frozenset(gardener.uids))


def leaks_in(data: bytes, planted: Planted) -> list[bytes]:
    """Return what of the planted identities and UIDs is in a file's bytes."""
    lower = data.lower()
    found = [needle for needle in NEEDLES if needle in lower]
    found += [
        needle for needle in NEEDLES[:3] if needle.decode().encode("utf-16-le") in lower
    ]
    found += [uid for uid in planted.uids if uid in data]
    for packed in re.finditer(rb"\x1f\x8b\x08", data):
        found += [n for n in NEEDLES if n in _unpacked(data[packed.start() :]).lower()]
    return found


class _Gardener:
    def __init__(self, appended: bool, is_implicit: bool, is_little: bool) -> None:
        self.appended = appended
        self.is_implicit = is_implicit
        self.is_little = is_little
        self.n_planted = 0
        self.uids: set[bytes] = set()

    def visit(self, dataset: Dataset, depth: int = 0) -> None:
        """Plant into each element of a data set and its items."""
        for tag in list(dataset.keys()):
            if tag >> 16 == 0x7FE0 or tag in LEFT:
                continue
            vr = self._vr_of(dataset, tag)
            if vr == "SQ":
                self._visit_sequence(dataset, tag, depth)
                continue
            raw = self._raw_value(dataset, tag)
            if raw is None or (tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF):
                continue
            value = self._planted(int(tag), vr, raw)
            if value is not None:
                self._put(dataset, int(tag), vr, value)
                self.n_planted += 1

    def add_dictionary(self, dataset: Dataset) -> None:
        """Add each text of the dictionary that is not there, empty."""
        for tag, entry in DicomDictionary.items():
            is_new = tag not in dataset and tag not in LEFT and tag >> 16 > 7
            if is_new and tag >> 16 < 0x7FE0 and entry[0] in TEXT | {"PN", "CS", "DS"}:
                self._put(dataset, tag, entry[0], b"")

    def add_containers(self, dataset: FileDataset) -> None:
        """Plant into what carries more than elements."""
        name = self._name()
        dataset.preamble = (name * 8)[:128]
        dataset.file_meta.ImplementationVersionName = "Zxqnamimpl"
        dataset.file_meta.SourceApplicationEntityTitle = "ZXQNAMAET"
        dataset.file_meta.PrivateInformationCreatorUID = "1.2.826.88412345"
        dataset.file_meta.PrivateInformation = name
        for group in (0x5000, 0x6000):
            self._put(dataset, group << 16 | 0x0022, "LO", name)
            self._put(dataset, group << 16 | 0x1500, "LO", name)
            self._put(dataset, group << 16 | 0x3000, "OW", name * 2)
        self._put(dataset, 0xFFFCFFFC, "OB", name)
        for group in (0x0009, 0x0019, 0x0029, 0x0043, 0x2001, 0x2005):
            self._put(dataset, group << 16 | 0x00F1, "LO", b"Zxqnamcreator ")
            for low in range(0, 256, 16):
                self._put(dataset, group << 16 | 0xF100 | low, "LO", name)
        for low in range(256):
            if (0x0043 << 16 | 0x0010) in dataset:
                tag = 0x0043 << 16 | 0x1000 | low
                if tag not in dataset:
                    self._put(dataset, tag, "LO", name)
        inner = Dataset()
        self._put(inner, 0x00100010, "PN", b"Quibblefax^Ozmin")
        self._put(inner, 0x00081030, "LO", name)
        for tag in (0x00400275, 0x00081140, 0x00400260, 0x04000561, 0x00880200):
            outer = Dataset()
            self._put(outer, 0x00081030, "LO", name)
            self._put(outer, 0x00204000, "LT", name)
            outer.add(DataElement(0x00082112, "SQ", Sequence([inner])))
            dataset.add(DataElement(tag, "SQ", Sequence([outer])))
        self.n_planted += 40

    def _planted(self, tag: int, vr: str, raw: bytes) -> bytes | None:
        known = tag in KNOWN
        if tag == 0x0025101B or raw[4:7] == b"\x1f\x8b\x08":
            return _planted_in_gzip(raw)
        if raw[:4] == b"SV10" or b"### ASCCONV BEGIN" in raw:
            return _planted_in_siemens(raw)
        if vr == "PN" or known:
            return b"Quibblefax^Ozmin" if vr == "PN" else b"Quibblefax93711842"
        if vr in TEXT:
            return self._joined(raw, self._text())
        if vr == "CS":
            return self._joined(
                raw, b"\\" + self._word().upper(), whole=self._word().upper()
            )
        if vr in ("DS", "IS"):
            number = (b"88412345", b"19411207")[self.n_planted % 2]
            return self._joined(raw, b"\\" + number, whole=number)
        if vr in ("DA", "DT"):
            return b"19370214" if vr == "DA" else b"19370214112233"
        if vr == "UI":
            return self._uid(raw)
        if tag in TABLES and self.appended:
            return None
        if vr in BYTES:
            return raw + self._name() if self.appended else self._name()
        if vr in UNITS and not self.appended and tag >> 16 & 1:
            return (self._word() * 8)[: max(UNITS[vr], 8)]
        return None

    def _uid(self, raw: bytes) -> None:
        text = raw.rstrip(b"\0 ")
        if text and not text.startswith(b"1.2.840.10008.") and b"\\" not in text:
            self.uids.add(text)

    def _joined(self, raw: bytes, more: bytes, *, whole: bytes = b"") -> bytes:
        text = raw.rstrip(b"\0 ")
        if self.appended and text:
            return text + (more if more.startswith(b"\\") else b" " + more)
        return whole or more

    def _text(self) -> bytes:
        choices = (
            self._name(),
            self._word(),
            b"ID 88412345",
            b"MRN88412345",
            b"born 1941-12-07",
            b"19411207",
            b"+49 8912345 or +498912345",
            self._word().upper(),
            b"Dr. " + self._word(),
        )
        return choices[self.n_planted % len(choices)]

    def _word(self) -> bytes:
        number = self.n_planted
        letters = [97 + number % 26, 97 + number // 26 % 26, 97 + number // 676 % 26]
        return b"Zxqnam" + bytes(letters)

    def _name(self) -> bytes:
        return self._word() + b"^Vorqel "

    def _visit_sequence(self, dataset: Dataset, tag: BaseTag, depth: int) -> None:
        items = dataset[tag].value
        for item in list(items)[:64] if depth < 8 else ():
            self.visit(item, depth + 1)

    def _vr_of(self, dataset: Dataset, tag: BaseTag) -> str:
        vr = dataset.get_item(tag).VR
        if vr not in (None, "UN"):
            return str(vr)
        try:
            if not tag.is_private:
                return dictionary_VR(tag).split(" or ")[0]
            return private_dictionary_VR(tag, dataset[tag].private_creator)
        except (KeyError, AttributeError, TypeError):
            return "UN"

    def _raw_value(self, dataset: Dataset, tag: BaseTag) -> bytes | None:
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            return element.value or b""
        return None

    def _put(self, dataset: Dataset, tag: int, vr: str, value: bytes) -> None:
        value += (b"\0" if vr in ("UI", *BYTES) else b" ") * (len(value) % 2)
        # pydicom writes raw elements as they are, which no setter would.
        raw = RawDataElement(
            Tag(tag), vr, len(value), value, 0, self.is_implicit, self.is_little, True
        )
        dataset._dict[Tag(tag)] = raw


def _planted_in_siemens(raw: bytes) -> bytes:
    """Write a name into each text of a header without changing a length before it."""
    name = b"Zxqnamcsa^Vorqel"
    lines = re.sub(
        rb'(= \t"+)([^"\n]{0,200})("+)',
        lambda m: m[1] + (name * 13)[: len(m[2])].ljust(len(m[2])) + m[3],
        raw,
    )
    if raw[:4] != b"SV10":
        return lines
    out, position = bytearray(lines), 16
    (n_tags,) = struct.unpack_from("<I", lines, 8)
    for _ in range(n_tags):
        n_items = struct.unpack_from("<i", lines, position + 76)[0]
        position += 84
        for _ in range(n_items):
            size = struct.unpack_from("<4i", lines, position)[1]
            position += 16
            if 9 <= size < 600:
                out[position : position + size] = (name * 40)[: size - 1] + b"\0"
            position += size + -size % 4
    return bytes(out)


def _planted_in_gzip(raw: bytes) -> bytes:
    text = _unpacked(raw[4:])
    text = re.sub(rb'"([^"\n]*)"', b'"\\1 Zxqnamge^Vorqel 19411207"', text)
    packed = gzip.compress(text + b'set PATNAME "Zxqnamge^Vorqel"\n', mtime=0)
    return struct.pack("<I", len(packed)) + packed + b"Zxqnamge"


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, 1 << 22)
    except zlib.error:
        return b""


def _written(dataset: FileDataset) -> bytes:
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=False)
    return target.getvalue() + b"Zxqnamtail^Vorqel 88412345"


def samples_of(root: Path) -> Iterator[Path]:
    """Yield the first and last file of each folder below a root."""
    folders: dict[Path, list[Path]] = {}
    for path in sorted(one for one in root.rglob("*") if one.is_file()):
        folders.setdefault(path.parent, []).append(path)
    for paths in folders.values():
        yield from dict.fromkeys((paths[0], paths[-1]))
