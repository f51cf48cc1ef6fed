"""Drops that are broken or mean harm, each with the verdict that it must get."""

from __future__ import annotations

import functools
import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.intake.drops import mr_bytes, write_files

GOOD = mr_bytes()
META_END = 132 + 12 + struct.unpack_from("<I", GOOD, 140)[0]
META, BODY = GOOD[:META_END], GOOD[META_END:]
DEFLATED_UID = b"1.2.840.10008.1.2.1.99"


Content = bytes | Callable[[], bytes]
"""What stands in a file; what takes long to make is made when it is sent."""


@dataclass(frozen=True)
class Hostile:
    """
    One drop and what must become of it.

    Parameters
    ----------
    send
        Puts it into an inbox folder under the given name; returns its entry.
    verdicts
        Files by verdict.
    reasons
        Files that were not accepted, by reason.
    """

    send: Callable[[Path, str], Path]
    verdicts: Mapping[str, int]
    reasons: Mapping[str, int] = field(default_factory=dict)


def element(
    group: int, number: int, vr: bytes, value: bytes, *, length: int | None = None
) -> bytes:
    """Return one explicit little endian element, with a length that may lie."""
    size = len(value) if length is None else length
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return struct.pack("<HH2sHI", group, number, vr, 0, size) + value
    return struct.pack("<HH2sH", group, number, vr, size) + value


def with_tail(tail: bytes) -> bytes:
    """Return an image without its pixels, followed by `tail`."""
    return META + BODY[: BODY.rindex(b"\xe0\x7f\x10\x00")] + tail


def nested(depth: int) -> bytes:
    """Return an image behind sequences of undefined length inside each other."""
    opened = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closed = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return META + (opened + item) * depth + closed * depth + BODY


def meta_for(syntax: bytes, body: bytes) -> bytes:
    """Return a whole file of the good image's meta group with another syntax."""
    padded = syntax + b"\0" * (len(syntax) % 2)
    rest = META[144:]
    start = rest.index(b"\x02\x00\x10\x00")
    length = struct.unpack_from("<H", rest, start + 6)[0]
    rest = rest[:start] + element(2, 0x10, b"UI", padded) + rest[start + 8 + length :]
    return META[:140] + struct.pack("<I", len(rest)) + rest + body


def deflated(body: bytes) -> bytes:
    """Return a file in the deflated transfer syntax (PS3.5 section A.5)."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return meta_for(DEFLATED_UID, engine.compress(body) + engine.flush())


def big_endian_claim() -> bytes:
    """Return a little endian data set that says it is big endian."""
    return meta_for(b"1.2.840.10008.1.2.2", BODY)


def zip_of(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def zip_with_mode(name: str, mode: int, data: bytes) -> bytes:
    """Return a zip archive of one good image and one member of an odd kind."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.dcm", GOOD)
        entry = zipfile.ZipInfo(name)
        entry.create_system, entry.external_attr = 3, mode << 16
        archive.writestr(entry, data)
    return buffer.getvalue()


def zip_encrypted() -> bytes:
    """Return a zip archive whose member says that it is encrypted."""
    data = bytearray(zip_of({"a.dcm": GOOD}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def zip_overlapping(n_members: int, kernel: bytes) -> bytes:
    """Return a zip whose directory names one compressed kernel many times."""
    single = zip_of({"a": kernel})
    at = single.index(b"PK\x01\x02")
    end = single.index(b"PK\x05\x06")
    entry = single[at:end]
    directory = entry * n_members
    tail = struct.pack(
        "<4sHHHHIIH",
        b"PK\x05\x06",
        0,
        0,
        n_members,
        n_members,
        len(directory),
        at,
        0,
    )
    return single[:at] + directory + tail


def tar_of(*members: tuple[str, bytes, bytes, str], compressed: bool = False) -> bytes:
    """Return a tar of (name, type, content, link target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if compressed else "w") as archive:
        for name, kind, data, target in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def written(inbox: Path, files: Mapping[str, Content]) -> Path:
    """Make and write files, and return their folder."""
    made = {n: data if isinstance(data, bytes) else data() for n, data in files.items()}
    return write_files(inbox, made)


def of_files(files: Mapping[str, Content]) -> Callable[[Path, str], Path]:
    """Return a sender of a folder."""
    return lambda inbox, name: written(inbox / name, files)


def of_archive(data: Content, suffix: str) -> Callable[[Path, str], Path]:
    """Return a sender of one archive as a loose file."""

    def send(inbox: Path, name: str) -> Path:
        written(inbox, {name + suffix: data})
        return inbox / (name + suffix)

    return send


def of_odd_entries(inbox: Path, name: str) -> Path:
    """Send links out of the tree, a loop, a pipe and a socket beside an image."""
    folder = write_files(inbox / name, {"good.dcm": GOOD})
    (folder / "absolute.dcm").symlink_to("/etc/passwd")
    (folder / "up.dcm").symlink_to("../../../etc/passwd")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.dcm")
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)
    return folder


def of_hard_link(inbox: Path, name: str) -> Path:
    """Send a second name of a file that stays outside the inbox."""
    outside = write_files(inbox.parent / "outside", {name: GOOD}) / name
    folder = inbox / name
    folder.mkdir(parents=True)
    os.link(outside, folder / "hard.dcm")
    return folder


def of_empty_folders(inbox: Path, name: str) -> Path:
    """Send folders without files around one image, 100 deep."""
    folder = write_files(inbox / name, {"good.dcm": GOOD})
    (folder / "/".join(["d"] * 100)).mkdir(parents=True)
    (folder / "empty").mkdir()
    return folder


def of_sparse(inbox: Path, name: str) -> Path:
    """Send a file that claims 5 GiB and holds none of it."""
    folder = write_files(inbox / name, {"good.dcm": GOOD, "sparse.dcm": META})
    os.truncate(folder / "sparse.dcm", 5 << 30)
    return folder


LONG = "x" * 250
ODD_NAMES = [
    "new\nline.dcm", "tab\t.dcm", "\x1b[31mred.dcm", "$(touch evil).dcm", "-rf",
    "; rm x", "%s%n", "\u202egnp.dcm", "Case.dcm", "CASE.dcm", "case.dcm",
    os.fsdecode(b"latin-\xe9.dcm"), os.fsdecode(b"\xff\xfe"), "e\u0301.dcm",
    "\u00e9.dcm", LONG, "a\\..\\..\\b.dcm", "CON", "name ", " name", "..dcm", "...",
]  # fmt: skip

OF_A_FILE: dict[str, tuple[Content, str, str]] = {
    "no bytes": (b"", "quarantined", "empty file"),
    "one byte": (b"\0", "quarantined", "not DICOM"),
    "preamble only": (bytes(128) + b"DICM", "quarantined", "no SOPInstanceUID"),
    "text": (b"scanned on monday\n" * 50, "quarantined", "not DICOM"),
    "PDF": (b"%PDF-1.7\n" + bytes(500), "quarantined", "not DICOM"),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(500), "quarantined", "not DICOM"),
    "ELF": (b"\x7fELF" + bytes(500), "quarantined", "not DICOM"),
    "zip named dcm": (zip_of({"a.dcm": GOOD}), "quarantined", "not DICOM"),
    "executable before DICM": (
        b"MZ" + GOOD[2:128] + GOOD[128:] + b"\x7fELF" + bytes(600),
        "quarantined", "bytes after the last element",
    ),
    "no preamble": (GOOD[132:], "accepted", ""),
    "no file meta": (BODY, "accepted", ""),
    "PE header in the preamble": (b"MZ" + GOOD[2:], "accepted", ""),
    "cut in the meta": (GOOD[:150], "quarantined", "truncated"),
    "cut in the header": (GOOD[: META_END + 100], "quarantined", "truncated"),
    "cut in the pixels": (GOOD[:-3], "quarantined", "truncated"),
    "bytes after the end": (GOOD + b"more", "quarantined",
                            "bytes after the last element"),
    "length of 4 GiB": (
        with_tail(element(0x7FE0, 0x10, b"OW", b"", length=0xFFFFFFFE)),
        "quarantined", "truncated",
    ),
    "length of 4 GiB in the header": (
        META + element(8, 5, b"UT", b"", length=0xFFFFFFF0) + BODY,
        "quarantined", "truncated",
    ),
    "open pixel data without end": (
        with_tail(element(0x7FE0, 0x10, b"OB", bytes(64), length=0xFFFFFFFF)),
        "quarantined", "broken structure",
    ),
    "open text": (
        META + element(8, 5, b"UT", b"", length=0xFFFFFFFF) + BODY,
        "quarantined", "broken structure",
    ),
    "open sequence that never ends": (
        META + struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF) * 3,
        "quarantined", "broken structure",
    ),
    "10,000 nested sequences": (
        nested(10_000), "quarantined", "nested too deeply",
    ),
    "item longer than its sequence": (
        META + element(8, 0x1140, b"SQ",
                       struct.pack("<HHI", 0xFFFE, 0xE000, 0x7FFFFFFF)) + BODY,
        "quarantined", "broken structure",
    ),
    "unknown value representation": (
        META + element(8, 5, b"??", b"abcd") + BODY, "quarantined", "truncated",
    ),
    "deflate bomb": (
        lambda: deflated(BODY + bytes(300 << 20)),
        "quarantined", "inflates beyond the limit",
    ),
    "deflated and cut": (deflated(BODY)[:-20], "quarantined", "truncated"),
    "deflated rubbish": (meta_for(DEFLATED_UID, b"\xff" * 400), "quarantined",
                         "broken structure"),
    "little endian that says big": (big_endian_claim(), "quarantined", "truncated"),
    "65535 x 65535 x 10000": (
        GOOD.replace(b"\x28\x00\x10\x00US\x02\x00\x04\x00",
                     b"\x28\x00\x10\x00US\x02\x00\xff\xff")
            .replace(b"\x28\x00\x11\x00US\x02\x00\x04\x00",
                     b"\x28\x00\x11\x00US\x02\x00\xff\xff"),
        "quarantined", "pixel data shorter than the image",
    ),
    "no patient": (mr_bytes(patient_id=""), "quarantined", "no patient id"),
    "no study": (mr_bytes(study=0), "quarantined", "no study uid"),
    "patient id of a path": (
        mr_bytes(patient_id="../../../etc/passwd"), "accepted", ""),
    "unknown character set": (
        META + element(8, 5, b"CS", b"ISO 2022 IR 999 ") + BODY, "accepted", ""),
}  # fmt: skip
"""One file beside a good one: content, its verdict, the reason."""


def _of_one(data: Content, verdict: str, reason: str) -> Hostile:
    files: dict[str, Content] = {"good.dcm": mr_bytes(instance=2), "odd.dcm": data}
    verdicts = {"accepted": 1}
    verdicts[verdict] = verdicts.get(verdict, 0) + 1
    return Hostile(of_files(files), verdicts, {reason: 1} if reason else {})


REG = tarfile.REGTYPE
OTHER = mr_bytes(note="other")
NAMED = [mr_bytes(instance=100 + n) for n in range(len(ODD_NAMES))]


@functools.cache
def bomb() -> bytes:
    """Return a zip archive that unpacks to a thousand times its size."""
    return zip_of({"bomb.dcm": bytes(80 << 20)})


DROPS: dict[str, Hostile] = {
    **{name: _of_one(*case) for name, case in OF_A_FILE.items()},
    "zip slip": Hostile(
        of_archive(zip_of({"../../evil.dcm": GOOD,
                           "/abs/evil.dcm": mr_bytes(instance=3),
                           "C:\\evil.dcm": mr_bytes(instance=4)}), ".zip"),
        {"accepted": 3},
    ),
    "tar slip": Hostile(
        of_archive(tar_of(("../../evil.dcm", REG, GOOD, ""),
                          ("/abs/evil.dcm", REG, mr_bytes(instance=3), "")), ".tar"),
        {"accepted": 2},
    ),
    "tar of links and devices": Hostile(
        of_archive(tar_of(
            ("good.dcm", REG, GOOD, ""),
            ("out", tarfile.SYMTYPE, b"", "/etc"),
            ("out/evil.dcm", REG, mr_bytes(instance=3), ""),
            ("hard", tarfile.LNKTYPE, b"", "/etc/passwd"),
            ("null", tarfile.CHRTYPE, b"", ""),
            ("disk", tarfile.BLKTYPE, b"", ""),
            ("pipe", tarfile.FIFOTYPE, b"", ""),
        ), ".tar"),
        {"accepted": 2, "quarantined": 5}, {"not a regular file": 5},
    ),
    "link in a zip": Hostile(
        of_archive(zip_with_mode("link", stat.S_IFLNK | 0o777, b"/etc/passwd"), ".zip"),
        {"accepted": 1, "quarantined": 1}, {"not a regular file": 1},
    ),
    "device in a zip": Hostile(
        of_archive(zip_with_mode("null", stat.S_IFCHR | 0o666, b""), ".zip"),
        {"accepted": 1, "quarantined": 1}, {"not a regular file": 1},
    ),
    "setuid in a zip": Hostile(
        of_archive(zip_with_mode("x.dcm", stat.S_IFREG | 0o6777, mr_bytes(instance=9)),
                   ".zip"),
        {"accepted": 2},
    ),
    "zip bomb": Hostile(
        of_archive(bomb, ".zip"), {"quarantined": 1},
        {"archive unpacks to too many times its size": 1},
    ),
    "zip of one kernel many times": Hostile(
        of_archive(lambda: zip_overlapping(5000, bytes(4 << 20)), ".zip"),
        {"quarantined": 1},
        {"archive unpacks to too many times its size": 1},
    ),
    "nested zip bomb": Hostile(
        of_archive(lambda: zip_of({f"{n}.zip": bomb() for n in range(16)}), ".zip"),
        {"quarantined": 1, "duplicate": 15},
        {"archive inside an archive": 1, "same content as an earlier file": 15},
    ),
    "gzip bomb": Hostile(
        of_archive(
            lambda: tar_of(("a.dcm", REG, bytes(80 << 20), ""), compressed=True),
            ".tar.gz",
        ),
        {"quarantined": 1}, {"archive unpacks to too many times its size": 1},
    ),
    "gzip bomb without a tar": Hostile(
        of_archive(lambda: gzip.compress(bytes(80 << 20)), ".tgz"), {"quarantined": 1},
        {"archive unpacks to too many times its size": 1},
    ),
    "encrypted zip": Hostile(
        of_archive(zip_encrypted(), ".zip"), {"quarantined": 1},
        {"archive encrypted": 1},
    ),
    "cut zip": Hostile(
        of_archive(zip_of({"a.dcm": GOOD})[:-30], ".zip"), {"quarantined": 1},
        {"archive damaged or cut off": 1},
    ),
    "cut tar": Hostile(
        of_archive(tar_of(("a.dcm", REG, GOOD, ""))[:700], ".tar"), {"quarantined": 1},
        {"archive damaged or cut off": 1},
    ),
    "cut tar.gz": Hostile(
        of_archive(tar_of(("a.dcm", REG, GOOD, ""), compressed=True)[:-9], ".tar.gz"),
        {"quarantined": 1}, {"archive damaged or cut off": 1},
    ),
    "text named zip": Hostile(
        of_archive(b"no archive\n" * 99, ".zip"), {"quarantined": 1},
        {"archive damaged or cut off": 1},
    ),
    "names in a zip": Hostile(
        of_archive(zip_of({"n" * 300 + ".dcm": GOOD,
                           "a\nb\x1b[0m": mr_bytes(instance=2),
                           "A": mr_bytes(instance=3),
                           "a": mr_bytes(instance=4)}), ".zip"),
        {"accepted": 4},
    ),
    "odd names": Hostile(
        of_files(dict(zip(ODD_NAMES, NAMED, strict=True))),
        {"accepted": len(ODD_NAMES)},
    ),
    "links, pipes and sockets": Hostile(
        of_odd_entries, {"accepted": 1, "quarantined": 6}, {"not a regular file": 6}
    ),
    "hard link to a file outside": Hostile(of_hard_link, {"accepted": 1}),
    "empty folders": Hostile(of_empty_folders, {"accepted": 1}),
    "two patients": Hostile(
        of_files({"1.dcm": GOOD, "2.dcm": mr_bytes(patient_id="Bob^2", study=2)}),
        {"accepted": 2},
    ),
    "one study UID for two patients": Hostile(
        of_files({"1.dcm": GOOD, "2.dcm": mr_bytes(patient_id="Bob^2", instance=2)}),
        {"accepted": 2},
    ),
    "one instance with two contents": Hostile(
        of_files({"1.dcm": GOOD, "2.dcm": OTHER}), {"accepted": 2}
    ),
    "DICOMDIR that points outside": Hostile(
        of_files({"DICOMDIR": META + b"../../../etc/passwd", "I/1": GOOD}),
        {"accepted": 1, "ignored": 1}, {"left by an operating system": 1},
    ),
    "litter": Hostile(
        of_files({".DS_Store": b"1", "Thumbs.db": b"2", "__MACOSX/._a.dcm": b"3",
                  "a.dcm": GOOD}),
        {"accepted": 1, "ignored": 3}, {"left by an operating system": 3},
    ),
}  # fmt: skip
