"""DICOM written byte by byte, so that a test can break any of them."""

from __future__ import annotations

import struct
import zlib

MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_LS = "1.2.840.10008.1.2.4.80"
LONG = {"OB", "OW", "SQ", "UN", "UT"}
UNDEFINED = 0xFFFFFFFF


def element(
    tag: int,
    vr: str,
    value: bytes,
    *,
    syntax: str = EXPLICIT,
    length: int | None = None,
) -> bytes:
    """Return one encoded element; `length` overrides the true one."""
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    n_bytes = len(value) if length is None else length
    order = ">" if syntax == BIG else "<"
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", n_bytes) + value
    if vr in LONG:
        return head + vr.encode() + struct.pack(order + "HI", 0, n_bytes) + value
    return head + vr.encode() + struct.pack(order + "H", n_bytes) + value


def item(content: bytes, *, syntax: str = EXPLICIT, open_end: bool = False) -> bytes:
    """Return a sequence item, of known length or with a delimiter."""
    order = ">HHI" if syntax == BIG else "<HHI"
    if open_end:
        end = struct.pack(order, 0xFFFE, 0xE00D, 0)
        return struct.pack(order, 0xFFFE, 0xE000, UNDEFINED) + content + end
    return struct.pack(order, 0xFFFE, 0xE000, len(content)) + content


def sequence(
    tag: int, *items: bytes, syntax: str = EXPLICIT, open_end: bool = False
) -> bytes:
    """Return a sequence element, of known length or with a delimiter."""
    content = b"".join(items)
    if not open_end:
        return element(tag, "SQ", content, syntax=syntax)
    order = ">HHI" if syntax == BIG else "<HHI"
    end = struct.pack(order, 0xFFFE, 0xE0DD, 0)
    return element(tag, "SQ", content + end, syntax=syntax, length=UNDEFINED)


def nested(levels: int, *, syntax: str = EXPLICIT, open_end: bool = False) -> bytes:
    """Return sequences in sequences."""
    content = b""
    for _ in range(levels):
        inner = item(content, syntax=syntax, open_end=open_end)
        content = sequence(0x00081140, inner, syntax=syntax, open_end=open_end)
    return content


def mr_elements(
    *, syntax: str = EXPLICIT, sop_uid: str = "1.2.3.4", patient_id: bytes = b"P1"
) -> list[bytes]:
    """Return the elements of a 2 by 2 MR image, in order, pixel data last."""
    short = ">H" if syntax == BIG else "<H"

    def make(tag: int, vr: str, value: bytes) -> bytes:
        return element(tag, vr, value, syntax=syntax)

    return [
        make(0x00080016, "UI", MR_STORAGE.encode()),
        make(0x00080018, "UI", sop_uid.encode()),
        make(0x00080060, "CS", b"MR"),
        make(0x00100020, "LO", patient_id),
        make(0x0020000D, "UI", b"1.2.3"),
        make(0x0020000E, "UI", b"1.2.3.1"),
        make(0x00200013, "IS", b"7"),
        make(0x00280002, "US", struct.pack(short, 1)),
        make(0x00280010, "US", struct.pack(short, 2)),
        make(0x00280011, "US", struct.pack(short, 2)),
        make(0x00280100, "US", struct.pack(short, 16)),
        make(0x7FE00010, "OW", bytes(8)),
    ]


def dicom_file(
    body: bytes,
    *,
    syntax: str = EXPLICIT,
    sop_class: str = MR_STORAGE,
    preamble: bytes = bytes(128),
) -> bytes:
    """Return a file with preamble and file meta information around `body`."""
    meta = element(0x00020002, "UI", sop_class.encode())
    meta += element(0x00020010, "UI", syntax.encode())
    length = element(0x00020000, "UL", struct.pack("<I", len(meta)))
    if syntax == DEFLATED:
        engine = zlib.compressobj(wbits=-15)
        body = engine.compress(body) + engine.flush()
    return preamble + b"DICM" + length + meta + body


def mr_file(*, syntax: str = EXPLICIT, extra: bytes = b"", **facts: object) -> bytes:
    """Return a whole MR file; `extra` elements stand before the pixel data."""
    encoding = EXPLICIT if syntax == DEFLATED else syntax
    elements = mr_elements(syntax=encoding, **facts)  # type: ignore[arg-type]  # passed on
    body = b"".join([*elements[:-1], extra, elements[-1]])
    return dicom_file(body, syntax=syntax)
