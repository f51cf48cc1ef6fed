"""Content digests that ignore what carries no meaning (early cut-off)."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

CHUNK_BYTES = 1 << 20

VOLATILE_SIDECAR_KEYS = frozenset(
    {"ConversionSoftware", "ConversionSoftwareVersion", "GeneratedBy"}
)
"""Sidecar keys that name the tool and not the data."""

RECORD_NAME = ".record.json"
"""The provenance record of a published tree; it describes the tree, it is not in it."""

OUTPUTS_NAME = ".outputs.json"
"""The content digest of each file of a published tree by its path; not in it either."""

HEADERS_NAME = ".headers.json"
"""The header index of a tree of DICOM files (`dicom.header_index`); not in it."""

DESCRIPTIONS = frozenset({RECORD_NAME, OUTPUTS_NAME, HEADERS_NAME})
"""Files at the top of a published tree that are no part of it."""


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: object) -> str:
    """Return the SHA-256 of `value` as canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return digest_bytes(text.encode())


def digest_file(path: Path) -> str:
    """Return the SHA-256 of the bytes of the file at `path`, as hex."""
    return _digest_stream(_read_chunks(path))


def digest_content(path: Path) -> str:
    """
    Return the SHA-256 of what a file means, as hex.

    A ``.nii.gz`` is read uncompressed (gzip headers and levels carry no
    meaning); a ``.json`` object is canonical and without `VOLATILE_SIDECAR_KEYS`;
    a DICOM file is taken without its preamble and file meta group (PS3.10
    section 7.1); everything else is its bytes.

    Parameters
    ----------
    path
        A regular file. A damaged gzip or JSON file is digested as bytes.
    """
    if path.name.endswith(".gz"):
        try:
            return _digest_stream(_read_uncompressed(path))
        except (OSError, EOFError, zlib.error):
            return digest_file(path)
    if path.suffix == ".json":
        return _digest_sidecar(path)
    if path.suffix == ".dcm":
        return _digest_dicom(path)
    return digest_file(path)


def digest_tree(root: Path) -> str:
    """
    Return the data version of a folder: SHA-256 over (relative path, content digest).

    Files are taken in the order of their POSIX paths, so neither the order of
    the directory nor times, owners or modes matter. What describes the tree
    (`DESCRIPTIONS`) is left out. An empty folder has a digest too.
    """
    return digest_listing(digest_files(root))


def digest_files(root: Path) -> dict[str, str]:
    """Return the content digest of each file of a folder by its POSIX path, sorted."""
    return {
        path.relative_to(root).as_posix(): digest_content(path)
        for path in sorted_files(root)
    }


def digest_listing(outputs: Mapping[str, str]) -> str:
    """Return the data version of a folder whose files have these content digests."""
    listing = hashlib.sha256()
    for name, digest in sorted(outputs.items()):
        listing.update(f"{name}\0{digest}\n".encode())
    return listing.hexdigest()


def sorted_files(root: Path) -> list[Path]:
    """
    Return each file of a tree in order of POSIX path, but what describes it.

    There are none when there is no such folder.
    """
    return list(map(Path, sorted(list_files(root)))) if root.is_dir() else []


def list_files(folder: Path) -> Iterator[str]:
    """
    Yield the path of each file under `folder` but what describes it, in no order.

    As text: a session has thousands, and making a `Path` costs more than a listing.
    """
    beside = {str(folder / name) for name in DESCRIPTIONS}
    folders = [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file() and entry.path not in beside:
                    yield entry.path


def _digest_sidecar(path: Path) -> str:
    data = path.read_bytes()
    try:
        value = json.loads(data)
    except ValueError:
        return digest_bytes(data)
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in VOLATILE_SIDECAR_KEYS}
        return digest_json(kept)
    return digest_json(value)


def _digest_dicom(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(144)
        # (0002,0000) UL: the length of the file meta group, which follows it.
        if head[128:136] == b"DICM\x02\x00\x00\x00" and head[136:138] == b"UL":
            file.seek(144 + int.from_bytes(head[140:144], "little"))
        else:
            file.seek(0)
        return _digest_stream(iter(lambda: file.read(CHUNK_BYTES), b""))


def _digest_stream(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _read_uncompressed(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
