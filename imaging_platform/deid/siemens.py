"""
Siemens' own headers, parsed and written anew with their technique only.

They carry the day of the scan, the scanner's serial number and the patient's
weight beside slice times and phase encoding, so they are neither kept nor removed.
The binary layout ("SV10") is a list of named tags with text items; the protocol
is a text of ``key = value`` lines between two ASCCONV marks.
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass

from imaging_platform.deid.elements import ascii_text
from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.deid.tables import load_siemens_lists
from imaging_platform.deid.values import keep_by_rule

_TAG = struct.Struct("<64si4siii")
_ITEM = struct.Struct("<4i")
_MARK = 77
_LINE = re.compile(r"([A-Za-z][\w.\[\]]*)[ \t]*=[ \t]*(.*?)[ \t\r]*")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?|0x[0-9a-fA-F]+")
_VERSION = re.compile(r"object=MrProtDataImpl@MrProtocolData version=\d{6,9}\b")
_BEGIN = b"### ASCCONV BEGIN"
_END = b"### ASCCONV END ###"
MAX_TAGS = 1024


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
    """Return the tags of a CSA header, None when it is not of the known layout."""
    if data[:4] != b"SV10" or len(data) < 16:
        return None
    (n_tags,) = struct.unpack_from("<I", data, 8)
    if n_tags > MAX_TAGS:
        return None
    tags: list[CsaTag] = []
    position = 16
    try:
        for _ in range(n_tags):
            tag, position = _parse_tag(data, position)
            tags.append(tag)
    except (struct.error, ValueError):
        return None
    return tags


def write_csa(tags: list[CsaTag]) -> bytes:
    """Return the bytes of a CSA header, with nothing but these tags and zeros."""
    parts = [b"SV10\4\3\2\1", struct.pack("<II", len(tags), _MARK)]
    for tag in tags:
        name = tag.name.encode("ascii")[:63]
        head = (name, tag.vm, tag.vr, tag.syngo_type, len(tag.values), _MARK)
        parts.append(_TAG.pack(*head))
        for value in tag.values:
            size = len(value)
            parts.append(_ITEM.pack(size, size, _MARK, size))
            parts.append(value + bytes(-size % 4))
    data = b"".join(parts)
    return data + bytes(len(data) % 2)


def rewrite_csa(
    data: bytes, identifiers: Identifiers, *, keep_names: bool
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
    tags = parse_csa(data)
    if tags is None:
        return None
    kept = (_rewrite_tag(tag, identifiers, keep_names) for tag in tags)
    return write_csa([tag for tag in kept if tag is not None])


def rewrite_protocol(
    data: bytes, identifiers: Identifiers, *, keep_names: bool
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
    # dcm2niix looks for the mark from the second byte on.
    version = _VERSION.search(text.split("\n")[0])
    mark = f"### ASCCONV BEGIN {version[0]} ###" if version else "### ASCCONV BEGIN ###"
    lines = ["<XProtocol>", mark]
    for line in text.split("\n")[1:]:
        kept = _rewrite_line(line.rstrip("\r"), identifiers, keep_names)
        if kept is not None:
            lines.append(kept)
    result = "\n".join(lines).encode("ascii") + b"\n" + _END + b"\n"
    return result + b"\0" * (len(result) % 2)


def _parse_tag(data: bytes, position: int) -> tuple[CsaTag, int]:
    name, vm, vr, syngo_type, n_items, _ = _TAG.unpack_from(data, position)
    position += _TAG.size
    if not 0 <= n_items <= 4096:
        raise ValueError
    values: list[bytes] = []
    for _ in range(n_items):
        size = _ITEM.unpack_from(data, position)[1]
        position += _ITEM.size
        if size < 0 or position + size > len(data):
            raise ValueError
        values.append(data[position : position + size])
        position += size + -size % 4
    text = name.split(b"\0")[0].decode("ascii")
    vr_text = vr[:2] + b"\0\0"
    return CsaTag(text, vm, vr_text, syngo_type, tuple(values)), position


def _rewrite_tag(
    tag: CsaTag, identifiers: Identifiers, keep_names: bool
) -> CsaTag | None:
    lists = load_siemens_lists()
    if not re.fullmatch(rb"[A-Z]{2}\0\0", tag.vr):
        return None
    if tag.name in ("MrPhoenixProtocol", "MrProtocol"):
        values = [
            rewrite_protocol(value, identifiers, keep_names=keep_names) or b""
            for value in tag.values
        ]
    elif tag.name in lists["csa_numbers"]:
        values = [_checked(value, "number", identifiers) for value in tag.values]
    elif tag.name in lists["csa_texts"]:
        rule = lists["csa_texts"][tag.name]
        values = [_checked(value, rule, identifiers) for value in tag.values]
    else:
        return None
    return CsaTag(tag.name, tag.vm, tag.vr, tag.syngo_type, tuple(values))


def _checked(value: bytes, rule: str, identifiers: Identifiers) -> bytes:
    text = ascii_text(value.split(b"\0")[0])
    kept = keep_by_rule(rule, text, identifiers) if text else None
    return b"" if kept is None else kept.encode("ascii") + b"\0"


def _rewrite_line(line: str, identifiers: Identifiers, keep_names: bool) -> str | None:
    match = _LINE.fullmatch(line)
    if not match:
        return None
    key, value = match.groups()
    if _NUMBER.fullmatch(value):
        return line if _number_keys().fullmatch(key) else None
    quotes = re.fullmatch(r'("+)(.*?)("+)', value)
    if not quotes:
        return None
    rule = _text_rule(key)
    if rule is None or (rule == "descriptor" and not keep_names):
        return None
    kept = keep_by_rule(rule, quotes.group(2), identifiers)
    if not kept:
        return None
    return f"{key}\t = \t{quotes.group(1)}{kept}{quotes.group(1)}"


@functools.cache
def _number_keys() -> re.Pattern[str]:
    return re.compile("|".join(load_siemens_lists()["protocol_numbers"]))


@functools.lru_cache(maxsize=4096)
def _text_rule(key: str) -> str | None:
    for pattern, rule in load_siemens_lists()["protocol_texts"].items():
        if re.fullmatch(pattern, key):
            return rule
    return None
