"""
A line that says where a figure comes from, inside the figure itself.

It names study, asset and session, and a digest of what the result was made from. No
run and no time: the same result has the same bytes whoever makes it, and whenever.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imaging_platform.files.digests import digest_json
from imaging_platform.provenance.trees import tree_id

_MARK = "imaging-platform"
_STAMP = re.compile(
    rf"{_MARK}:([a-z][a-z0-9_]*)/([a-z][a-z0-9_]*)"
    r"(?:\[(sub-[A-Za-z0-9]+_ses-[A-Za-z0-9]+)\])?@([0-9a-f]{64})".encode()
)
_PICTURE = re.compile(r"data:image/(png|jpeg);base64,([A-Za-z0-9+/=\s]+)")
_DRAWING = re.compile(r"<svg\b(?![^>]*aria-hidden)[^>]*>")
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_FIRST_CHUNK_END = 33
"""Signature (8) and IHDR (25): other chunks may follow (PNG, 5.6)."""


@dataclass(frozen=True)
class Stamp:
    """
    Where a figure comes from.

    Parameters
    ----------
    study, asset, partition
        Which result; the partition is empty for one of the whole study.
    origin
        What it was made from (`digest_origin`).
    """

    study: str
    asset: str
    partition: str
    origin: str

    def __str__(self) -> str:
        return (
            f"{_MARK}:{self.study}/{tree_id(self.asset, self.partition)}@{self.origin}"
        )


def digest_origin(code_version: str, inputs: Mapping[str, str]) -> str:
    """Return one digest for the code and the inputs of a result, as its record has."""
    return digest_json([code_version, dict(inputs)])


def read_stamp(data: bytes) -> Stamp | None:
    """Return the stamp in a figure, page or notebook; None without one."""
    match = _STAMP.search(data)
    return Stamp(*(group.decode() for group in match.groups(b""))) if match else None


def stamp_picture(picture: bytes, stamp: Stamp) -> bytes:
    """
    Return a PNG or JPEG with the stamp; other bytes as they are.

    A PNG gets a text chunk ``Source`` (PNG, 11.3.4.3), a JPEG a comment (ITU-T T.81,
    B.2.4.5).
    """
    text = str(stamp).encode()
    if picture.startswith(_PNG_HEAD):
        chunk = b"tEXt" + b"Source\0" + text
        whole = struct.pack(">I", len(chunk) - 4) + chunk
        whole += struct.pack(">I", zlib.crc32(chunk))
        return picture[:_PNG_FIRST_CHUNK_END] + whole + picture[_PNG_FIRST_CHUNK_END:]
    if picture.startswith(b"\xff\xd8"):
        place = _end_of_first_segment(picture)
        comment = b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
        return picture[:place] + comment + picture[place:]
    return picture


def stamp_markup(text: str, stamp: Stamp) -> str:
    """
    Return HTML or SVG with the stamp in its head, its drawings and its pictures.

    A drawing that is only decoration (``aria-hidden``) is left as it is.
    """

    def stamped(match: re.Match[str]) -> str:
        picture = stamp_picture(base64.b64decode(match.group(2)), stamp)
        encoded = base64.b64encode(picture).decode()
        return f"data:image/{match.group(1)};base64,{encoded}"

    text = _PICTURE.sub(stamped, text)
    text = _DRAWING.sub(rf"\g<0><metadata>{stamp}</metadata>", text)
    meta = f'<meta name="{_MARK}" content="{stamp}">'
    return text.replace("<head>", f"<head>\n{meta}", 1)


def stamp_notebook(notebook: dict[str, Any], stamp: Stamp) -> None:  # nbformat's own
    """Put the stamp into a notebook and into each figure that it shows."""
    notebook["metadata"][_MARK] = str(stamp)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            shown = output.get("data", {})
            for kind in shown:
                shown[kind] = _stamp_shown(kind, shown[kind], stamp)


def _stamp_shown(kind: str, value: Any, stamp: Stamp) -> Any:  # text or JSON
    if not isinstance(value, str):
        return value
    if kind in ("image/png", "image/jpeg"):
        picture = stamp_picture(base64.b64decode(value), stamp)
        return base64.b64encode(picture).decode()
    if kind in ("text/html", "image/svg+xml"):
        return stamp_markup(value, stamp)
    return value


def _end_of_first_segment(jpeg: bytes) -> int:
    """Return where a comment may stand: behind APP0, which JFIF wants first."""
    if jpeg[2:4] != b"\xff\xe0":
        return 2
    return 4 + int.from_bytes(jpeg[4:6], "big")
