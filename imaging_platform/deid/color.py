"""
A colour profile that says nothing of whoever made the image.

ICCProfile (0028,2000) is needed wherever an image has colour (PS3.3 section
C.11.15), and has texts and a day inside; the plain one of sRGB stands for it.
"""

from __future__ import annotations

import functools
import struct

_D50 = (0.9642, 1.0, 0.8249)
# IEC 61966-2-1, adapted to D50 (ICC.1:2022, annex E).
_PRIMARIES = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7139),
}
_GAMMA = 2.2
_HEAD_BYTES = 128


@functools.cache
def plain_profile() -> bytes:
    """Return an ICC profile of sRGB, version 2.1, without any text but its name."""
    curve = b"curv" + struct.pack(">IIHH", 0, 1, round(_GAMMA * 256), 0)
    blocks = {
        b"desc": _description(b"sRGB"),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
        b"wtpt": _point(_D50),
        **{name: _point(values) for name, values in _PRIMARIES.items()},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    start = _HEAD_BYTES + 4 + 12 * len(blocks)
    table, content = struct.pack(">I", len(blocks)), b""
    for name, block in blocks.items():
        table += struct.pack(">4sII", name, start + len(content), len(block))
        content += block + bytes(-len(block) % 4)
    size = _HEAD_BYTES + len(table) + len(content)
    return _head(size) + table + content


def _head(size: int) -> bytes:
    """Return the head of a display profile made at no time (ICC.1:2022, 7.2)."""
    kinds = struct.pack(
        ">I4sI4s4s4s", size, bytes(4), 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    light = struct.pack(">3i", *(round(value * 65536) for value in _D50))
    head = kinds + bytes(12) + b"acsp" + bytes(28) + light
    return head + bytes(_HEAD_BYTES - len(head))


def _point(values: tuple[float, float, float]) -> bytes:
    fixed = (round(value * 65536) for value in values)
    return b"XYZ " + bytes(4) + struct.pack(">3i", *fixed)


def _description(name: bytes) -> bytes:
    text = name + b"\0"
    return b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
