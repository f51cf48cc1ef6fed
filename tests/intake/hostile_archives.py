"""Archives and folders that lie or are too much, each with its verdict."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.intake.drops import write_files
from tests.intake.hostile import (
    GOOD,
    OTHER,
    REG,
    Content,
    Hostile,
    of_archive,
    tar_of,
    zip_of,
)

DAMAGED = "archive damaged or cut off"
OVERSIZED = "archive has an oversized header"
TAR_END = bytes(1024)


def zip_of_one_name(*contents: bytes) -> bytes:
    """Return a zip archive that gives several members one name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in contents:
            archive.writestr("a.dcm", data)
    return buffer.getvalue()


def zip_of_64_bits() -> bytes:
    """Return a zip archive whose member has sizes of 64 bits."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w") as archive,
        archive.open("a.dcm", "w", force_zip64=True) as member,
    ):
        member.write(GOOD)
    return buffer.getvalue()


def zip_patched(offset: int, value: bytes, *, also_local: int | None = None) -> bytes:
    """Return a zip archive with other bytes in the entry of its directory."""
    data = bytearray(zip_of({"a.dcm": GOOD}))
    entry = data.index(b"PK\x01\x02") + offset
    data[entry : entry + len(value)] = value
    if also_local is not None:
        data[also_local : also_local + len(value)] = value
    return bytes(data)


def zip_with_a_wrong_checksum() -> bytes:
    """Return a zip archive in whose member one bit fell over."""
    data = bytearray(zip_of({"a.dcm": GOOD}, method=zipfile.ZIP_STORED))
    data[60] ^= 1
    return bytes(data)


def tar_with_records(records: Mapping[str, str]) -> bytes:
    """Return a tar archive with PAX records before its member."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("a.dcm")
        entry.size, entry.pax_headers = len(GOOD), dict(records)
        archive.addfile(entry, io.BytesIO(GOOD))
    return buffer.getvalue()


def tar_block(kind: bytes, size: bytes, data: bytes = b"", **at: bytes) -> bytes:
    """Return one tar header of GNU's kind, with bytes at offsets, and its data."""
    block = bytearray(512)
    block[:5], block[100:108] = b"a.dcm", b"0000644\0"
    block[124:136], block[156:157], block[257:265] = size, kind, b"ustar  \0"
    for offset, value in at.items():
        block[int(offset[1:]) : int(offset[1:]) + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + bytes(-len(data) % 512)


def octal(number: int) -> bytes:
    """Return a number as tar writes it."""
    return b"%011o\0" % number


def sparse_tar() -> bytes:
    """Return a tar archive whose member is 8 GiB of nothing."""
    n_bytes = (8 << 30) - 1
    head = tar_block(b"S", octal(0), _386=octal(n_bytes), _398=octal(0),
                     _483=octal(n_bytes))  # fmt: skip
    return head + TAR_END


def of_name(name: str) -> Callable[[Path, str], Path]:
    """Return a sender of a folder with a name of its own."""
    return lambda inbox, _: write_files(inbox / name, {"a.dcm": GOOD})


def of_depth(n_folders: int) -> Callable[[Path, str], Path]:
    """Return a sender of an image below so many folders."""

    def send(inbox: Path, name: str) -> Path:
        folder = write_files(inbox / name, {"good.dcm": OTHER})
        handle = os.open(folder, os.O_RDONLY)
        for _ in range(n_folders):
            os.mkdir("d", dir_fd=handle)
            inner = os.open("d", os.O_RDONLY, dir_fd=handle)
            os.close(handle)
            handle = inner
        image = os.open("x.dcm", os.O_WRONLY | os.O_CREAT, dir_fd=handle)
        os.write(image, GOOD)
        os.close(image)
        os.close(handle)
        return folder

    return send


def of_pipe(inbox: Path, name: str) -> Path:
    """Send a pipe and nothing else."""
    inbox.mkdir(parents=True)
    os.mkfifo(inbox / name)
    return inbox / name


def of_closed_folder(inbox: Path, name: str) -> Path:
    """Send a folder that nothing may be removed from."""
    folder = write_files(inbox / name, {"closed/good.dcm": GOOD})
    (folder / "closed").chmod(0o500)
    return folder


def _refused(data: Content, suffix: str, reason: str) -> Hostile:
    return Hostile(of_archive(data, suffix), {"quarantined": 1}, {reason: 1})


def _taken(data: Content, suffix: str) -> Hostile:
    return Hostile(of_archive(data, suffix), {"accepted": 1})


TAR = tar_of(("a.dcm", REG, GOOD, ""))
LINKS = tar_block(b"L", octal(5), b"aaaa\0") * 5000

DROPS: dict[str, Hostile] = {
    "one name for three members": Hostile(
        of_archive(zip_of_one_name(GOOD, OTHER, GOOD), ".zip"),
        {"accepted": 2, "duplicate": 1}, {"same content as an earlier file": 1},
    ),
    "zip without members": _refused(zip_of({}), ".zip", "archive without files"),
    "zip of folders": _refused(
        zip_of({"a/": b"", "b/": b""}), ".zip", "archive without files"),
    "tar of zeros": _refused(bytes(10240), ".tar", "archive without files"),
    "zip by a method that nobody knows": _refused(
        zip_patched(10, struct.pack("<H", 99), also_local=8), ".zip", DAMAGED),
    "zip with a wrong checksum": _refused(zip_with_a_wrong_checksum(), ".zip", DAMAGED),
    "zip that says it is small": _refused(
        zip_patched(24, struct.pack("<I", 10)), ".zip", DAMAGED),
    "tar named zip": _refused(TAR, ".zip", DAMAGED),
    "zip named tar": _refused(zip_of({"a.dcm": GOOD}), ".tar", DAMAGED),
    "image named tar.gz": _refused(gzip.compress(GOOD), ".tar.gz", DAMAGED),
    "bytes after a gzip": _refused(gzip.compress(TAR) + b"more", ".tgz", DAMAGED),
    "records of 30 MB": _refused(
        lambda: tar_with_records({"comment": "x" * (30 << 20)}), ".tar", OVERSIZED),
    "records of 200 MB in a small gzip": _refused(
        lambda: gzip.compress(tar_with_records({"comment": "x" * (200 << 20)}), 1),
        ".tgz", OVERSIZED),
    "record of a size below zero": _refused(
        tar_with_records({"size": "-5"}), ".tar", "empty file"),
    "record of a size beyond counting": _refused(
        tar_with_records({"size": "9" * 25}), ".tar", DAMAGED),
    "name of 20 MB": _refused(
        lambda: tar_block(b"L", octal(20 << 20), b"a" * (20 << 20)) + TAR,
        ".tar", OVERSIZED),
    "names of names": _refused(LINKS + TAR, ".tar", DAMAGED),
    "member of 8 GiB of nothing": _refused(
        sparse_tar(), ".tar", "archive unpacks to too many times its size"),
    "member larger than any disk": _refused(
        tar_block(b"0", b"\x80" + b"\x7f" * 11) + TAR_END, ".tar", DAMAGED),
    "member of a kind that nobody knows": _refused(
        tar_block(b"Z", octal(len(GOOD)), GOOD) + TAR_END, ".tar",
        "not a regular file"),
    "zip of 64 bits": _taken(zip_of_64_bits(), ".zip"),
    "zip behind a program": _taken(
        b"MZ" + bytes(1000) + zip_of({"a.dcm": GOOD}), ".zip"),
    "tar in two gzips": _taken(
        gzip.compress(TAR[:700]) + gzip.compress(TAR[700:]), ".tgz"),
    "50,000 records": _taken(
        lambda: tar_with_records({f"k{n}": "v" for n in range(50_000)}), ".tar"),
    "name of a path through itself": _taken(
        tar_with_records({"path": "a\0b/../../c"}), ".tar"),
    "20,000 folders in a name": _taken(
        tar_of(("d/" * 20_000 + "a.dcm", REG, GOOD, "")), ".tar"),
    "drop of a name of 255 bytes": Hostile(of_name("x" * 255), {"accepted": 1}),
    "archive of a name of 255 bytes": Hostile(
        lambda inbox, _: of_archive(zip_of({"a.dcm": GOOD}), ".zip")(inbox, "y" * 251),
        {"accepted": 1},
    ),
    "drop of a name of two lines": Hostile(
        of_name("a\nb\x1b[31m$(x)"), {"accepted": 1}),
    "drop of a name that is no UTF-8": Hostile(
        of_name(os.fsdecode(b"M\xfcller")), {"accepted": 1}),
    "1,000 folders inside each other": Hostile(of_depth(1000), {"accepted": 2}),
    "folder that is closed for writing": Hostile(of_closed_folder, {"accepted": 1}),
    "pipe alone": Hostile(of_pipe, {"quarantined": 1}, {"not a regular file": 1}),
}  # fmt: skip
