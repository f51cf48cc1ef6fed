"""
Siemens' own headers, parsed and written anew with their technique only.

They carry the day of the scan, the scanner's serial number and the patient's
weight beside slice times and phase encoding, so they are neither kept nor removed.
The binary layout is a list of named tags with text items ("SV10", and an older one
without that mark); the protocol is a text of ``key = value`` lines between two
ASCCONV marks.
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass
from typing import TypeVar

from imaging_platform.deid.elements import ascii_text
from imaging_platform.deid.tables import load_siemens_lists
from imaging_platform.deid.values import Identity, keep_by_rule
from imaging_platform.deid.vocabulary import is_known

_Text = TypeVar("_Text", str, bytes)
_TAG = struct.Struct("<64si4siii")
_ITEM = struct.Struct("<4i")
_COUNT = struct.Struct("<II")
_MARK = 77
_SV10 = b"SV10\4\3\2\1"
_VR = re.compile(rb"[A-Z]{2}")
_LINE = re.compile(r"([A-Za-z][\w.\[\]]*)[ \t]*=[ \t]*(.*?)[ \t\r]*")
_NUMBER = re.compile(
    r"([+-]?)(\d{1,12})((?:\.\d{0,20})?(?:[eE][+-]?\d{1,3})?)|0x[0-9a-fA-F]{1,4}0{0,4}"
)
_DAY = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_MAX_PLAIN_DIGITS, _MEASURED_DIGITS = 7, 6
# Releases since VB17: 21710006, 41340006, 51130001, 63010001.
_RELEASE = r"[2-7]\d{3}[01]00\d"
_TEXT = re.compile(r'("{1,2})([^"]*)("{1,2})')
_INDEX = re.compile(r"\[\d{1,4}\]")
_LONG_INDEX = re.compile(r"\d{5}")
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LONGEST_ABBREVIATION = 3
_VERSION = re.compile(rf"object=MrProtDataImpl@MrProtocolData version={_RELEASE}\b")
_BEGIN = b"### ASCCONV BEGIN"
_END = b"### ASCCONV END ###"
_MEASURED_KEY = re.compile(r"alT[EIRD]\[\d+\]|sTXSPEC\.[\w.\[\]]*lFrequency")
_RELEASE_KEYS = frozenset(["ulVersion", "sProtConsistencyInfo.ulConvFromVersion"])
_PROTOCOLS = frozenset([b"MrPhoenixProtocol", b"MrProtocol"])
MAX_TAGS = 1024
MAX_ITEMS = 4096
_MAX_MEMO = 1 << 15


@dataclass(frozen=True)
class CsaTag:
    """
    One named value of a CSA header.

    Parameters
    ----------
    name
        Such as ``MosaicRefAcqTimes``.
    vm, vr, syngo_type
        As the header says.
    values
        Items in order, each without its padding; empty ones too.
    """

    name: str
    vm: int
    vr: bytes
    syngo_type: int
    values: tuple[bytes, ...]


def parse_csa(data: bytes) -> list[CsaTag] | None:
    """Return the tags of a CSA header, None when it is not of a known layout."""
    layout = _Layout.of(data)
    places = None if layout is None else _walk(data, layout)
    if layout is None or places is None:
        return None
    return [_read_tag(data[start:stop], layout.surplus) for start, stop in places]


def write_csa(tags: list[CsaTag], *, is_marked: bool = True) -> bytes:
    """
    Return the bytes of a CSA header, with nothing but these tags and zeros.

    Parameters
    ----------
    tags
        What it says.
    is_marked
        Whether in the layout that begins with ``SV10``.
    """
    surplus = 0 if is_marked or not tags else len(tags[0].values)
    parts = [_SV10 if is_marked else b"", _COUNT.pack(len(tags), _MARK)]
    data = b"".join([*parts, *(_write_tag(tag, surplus) for tag in tags)])
    return data + bytes(len(data) % 2)


def rewrite_csa(
    data: bytes, identifiers: Identity, *, keep_names: bool
) -> bytes | None:
    """
    Return a CSA image or series header with its technique only.

    Parameters
    ----------
    data
        Value of (0029,xx10) or (0029,xx20).
    identifiers
        Of the session.
    keep_names
        Whether the protocol's name may stay, cleaned.

    Returns
    -------
    bytes or None
        None when the layout is not known: nothing of it may stay.
    """
    layout = _Layout.of(data)
    if layout is None:
        return None
    if layout.surplus:
        places = _walk(data, layout)
        if places is None:
            return None
        tags = [_read_tag(data[start:stop], layout.surplus) for start, stop in places]
        kept = (_rewrite_tag(tag, identifiers, keep_names) for tag in tags)
        return write_csa([tag for tag in kept if tag is not None], is_marked=False)
    memo = _tags_memo(identifiers, keep_names)
    # The tag in the same place of the last header is most often the same.
    guesses = _guesses(identifiers, keep_names, layout.n_tags)
    parts: list[bytes] = []
    position = layout.start
    for index in range(layout.n_tags):
        raw, written = guesses[index]
        if not raw or not data.startswith(raw, position):
            stop = _end_of_tag(data, position, 0)
            if stop is None:
                return None
            raw = data[position:stop]
            known = memo.get(raw)
            if known is None:
                tag = _rewrite_tag(_read_tag(raw, 0), identifiers, keep_names)
                known = b"" if tag is None else _write_tag(tag, 0)
                _remember(memo, raw, known)
            written = known
            if len(raw) % 4 == 0:
                guesses[index] = raw, written
        position += len(raw)
        if written:
            parts.append(written)
    result = b"".join([_SV10, _COUNT.pack(len(parts), _MARK), *parts])
    return result + bytes(len(result) % 2)


def rewrite_protocol(
    data: bytes, identifiers: Identity, *, keep_names: bool
) -> bytes | None:
    """
    Return a protocol text (MrPhoenixProtocol) with allow-listed lines only.

    The result keeps the ASCCONV marks by which it is found and the quoting of
    each line; None when there are no marks.
    """
    begin = data.find(_BEGIN)
    if begin < 0:
        return None
    end = data.find(b"### ASCCONV END", begin)
    text = data[begin : end if end >= 0 else len(data)].decode("latin-1")
    head, *rest = text.split("\n")
    # dcm2niix looks for the mark from the second byte on.
    version = _VERSION.search(head)
    mark = f"### ASCCONV BEGIN {version[0]} ###" if version else "### ASCCONV BEGIN ###"
    lines = ["<XProtocol>", mark]
    memo = _lines_memo(identifiers, keep_names)
    for line in rest:
        kept = memo.get(line)
        if kept is None:
            kept = _rewrite_line(line, identifiers, keep_names) or ""
            _remember(memo, line, kept)
        if kept:
            lines.append(kept)
    result = "\n".join(lines).encode("ascii") + b"\n" + _END + b"\n"
    return result + b"\0" * (len(result) % 2)


@dataclass(frozen=True)
class _Layout:
    """Where the tags begin, how many there are, and what is added to a length."""

    start: int
    n_tags: int
    surplus: int

    @staticmethod
    def of(data: bytes) -> _Layout | None:
        """Return the layout of a header, None when it is not a known one."""
        start = 8 if data[:4] == b"SV10" else 0
        if len(data) < start + _COUNT.size:
            return None
        n_tags, mark = _COUNT.unpack_from(data, start)
        if n_tags > MAX_TAGS or (not start and mark != _MARK):
            return None
        is_marked = start > 0
        start += _COUNT.size
        if is_marked:
            return _Layout(start, n_tags, 0)
        if not n_tags or len(data) < start + _TAG.size:
            return None
        # The older layout adds the number of items of the first tag.
        surplus = _TAG.unpack_from(data, start)[4]
        return _Layout(start, n_tags, surplus) if 0 < surplus <= MAX_ITEMS else None


def _walk(data: bytes, layout: _Layout) -> list[tuple[int, int]] | None:
    """Return where each tag begins and ends, None when one does not fit."""
    places: list[tuple[int, int]] = []
    position = layout.start
    for _ in range(layout.n_tags):
        stop = _end_of_tag(data, position, layout.surplus)
        if stop is None:
            return None
        places.append((position, stop))
        position = stop
    return places


def _end_of_tag(data: bytes, start: int, surplus: int) -> int | None:
    """Return where the tag that begins at a position ends, None if it does not fit."""
    end, read_item, item_size = len(data), _ITEM.unpack_from, _ITEM.size
    index = 0 if surplus else 1
    position = start + _TAG.size
    if position > end:
        return None
    n_items = int.from_bytes(data[start + 76 : start + 80], "little")
    if n_items > MAX_ITEMS:
        return None
    for _ in range(n_items):
        if position + item_size > end:
            return None
        size = read_item(data, position)[index] - surplus
        position += item_size
        if size < 0 or position + size > end:
            return None
        position += size + (-size & 3)
    return min(position, end)


def _read_tag(raw: bytes, surplus: int) -> CsaTag:
    name, vm, vr, syngo_type, n_items, _ = _TAG.unpack_from(raw)
    position, values = _TAG.size, []
    for _ in range(n_items):
        size = _ITEM.unpack_from(raw, position)[0 if surplus else 1] - surplus
        position += _ITEM.size
        values.append(raw[position : position + size])
        position += size + (-size & 3)
    text = name.split(b"\0")[0].decode("ascii", errors="replace")
    return CsaTag(text, vm, vr[:2] + b"\0\0", syngo_type, tuple(values))


def _write_tag(tag: CsaTag, surplus: int) -> bytes:
    name = tag.name.encode("ascii", errors="replace")[:63]
    head = (name, tag.vm, tag.vr, tag.syngo_type, len(tag.values), _MARK)
    parts = [_TAG.pack(*head)]
    for value in tag.values:
        size = len(value)
        parts.append(_ITEM.pack(size + surplus, size, _MARK, size))
        parts.append(value + bytes(-size & 3))
    return b"".join(parts)


def _rewrite_tag(tag: CsaTag, identifiers: Identity, keep_names: bool) -> CsaTag | None:
    if not _VR.match(tag.vr):
        return None
    if tag.name.encode("ascii", errors="replace") in _PROTOCOLS:
        values = [
            rewrite_protocol(value, identifiers, keep_names=keep_names) or b""
            for value in tag.values
        ]
    else:
        rule = _csa_rules().get(tag.name)
        if rule is None:
            return None
        values = [_checked(value, rule, identifiers) for value in tag.values]
    # What counts as number or kind is small, whatever the header claims.
    vm, syngo_type = tag.vm & 0xFFF, tag.syngo_type & 0xFF
    return CsaTag(tag.name, vm, tag.vr, syngo_type, tuple(values))


def _checked(value: bytes, rule: str, identifiers: Identity) -> bytes:
    if not value:
        return b""
    text = ascii_text(value.split(b"\0")[0])
    kept = keep_by_rule(rule, text, identifiers) if text else None
    return b"" if not kept else kept.encode("ascii") + b"\0"


def _rewrite_line(line: str, identifiers: Identity, keep_names: bool) -> str | None:
    match = _LINE.fullmatch(line) if len(line) <= 1024 else None
    if not match:
        return None
    key, value = match.groups()
    rule = _line_rule(_INDEX.sub("[0]", key))
    number = _NUMBER.fullmatch(value)
    if number:
        kept = _measured(number, key) if rule == "number" else None
        return None if kept is None else line.rstrip().removesuffix(value) + kept
    quotes = _TEXT.fullmatch(value)
    if not quotes or rule in (None, "number"):
        return None
    if rule == "descriptor" and not keep_names:
        return None
    kept = keep_by_rule(rule, quotes[2], identifiers)
    return f"{key}\t = \t{quotes[1]}{kept}{quotes[1]}" if kept else None


def _measured(number: re.Match[str], key: str) -> str | None:
    """
    Return a number with as many digits as are measured, None if it may be a day.

    So a time in microseconds and a frequency stay, rounded, and no number of a
    person.
    """
    sign, whole, rest = number.groups()
    if whole is None or len(whole) <= _MAX_PLAIN_DIGITS:
        return number[0]
    if _DAY.fullmatch(whole) or "e" in rest.lower():
        return None
    if key in _RELEASE_KEYS and re.fullmatch(_RELEASE, number[0]):
        return number[0]
    if not _MEASURED_KEY.fullmatch(key):
        return None
    return f"{sign}{round(int(whole), _MEASURED_DIGITS - len(whole))}"


@functools.lru_cache(maxsize=1 << 14)
def _line_rule(key: str) -> str | None:
    """Return the rule of a protocol's key (indices 0), None if it is on no list."""
    if _LONG_INDEX.search(key) or not all(map(_is_word_of_keys, _CAMEL.findall(key))):
        return None
    lists = load_siemens_lists()
    for pattern, rule in lists["protocol_texts"].items():
        if re.fullmatch(pattern, key):
            return rule
    is_number = re.fullmatch("|".join(lists["protocol_numbers"]), key)
    return "number" if is_number else None


def _is_word_of_keys(word: str) -> bool:
    """Return whether a part of a key is a word of protocols, no name."""
    if len(word) <= _LONGEST_ABBREVIATION:
        return True
    return is_known(word) or word.lower() in _protocol_words()


@functools.cache
def _protocol_words() -> frozenset[str]:
    return frozenset(load_siemens_lists()["protocol_words"])


@functools.cache
def _csa_rules() -> dict[str, str]:
    lists = load_siemens_lists()
    return dict.fromkeys(lists["csa_numbers"], "number") | lists["csa_texts"]


@functools.lru_cache(maxsize=4)
def _tags_memo(identifiers: Identity, keep_names: bool) -> dict[bytes, bytes]:
    """Return what was made of each tag: the files of a series repeat most."""
    return {}


@functools.lru_cache(maxsize=16)
def _guesses(
    identifiers: Identity, keep_names: bool, n_tags: int
) -> list[tuple[bytes, bytes]]:
    """Return the tags of the last header with as many, and what was made of each."""
    return [(b"", b"")] * n_tags


@functools.lru_cache(maxsize=4)
def _lines_memo(identifiers: Identity, keep_names: bool) -> dict[str, str]:
    """Return what was made of each line of a protocol."""
    return {}


def _remember(memo: dict[_Text, _Text], key: _Text, value: _Text) -> None:
    if len(memo) >= _MAX_MEMO:
        memo.clear()
    memo[key] = value
