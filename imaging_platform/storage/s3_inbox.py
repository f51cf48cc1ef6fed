"""
Drops below a prefix of an S3 bucket, brought into the inbox as proved copies.

Each first part of a key below the prefix is an arrival: a folder, or one archive
or file. It settles by the same rule as in a folder, is copied under a hidden
name, proved object by object against the size and checksum that the server
keeps, gets its name with one rename, and only then leaves the bucket.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from imaging_platform.files.digests import CHUNK_BYTES
from imaging_platform.intake.admission import free_bytes
from imaging_platform.intake.arrivals import (
    MARKER_NAME,
    Arrival,
    drop_id_of,
    is_settled,
    rename_to_free_name,
)
from imaging_platform.intake.settings import S3InboxSettings
from imaging_platform.model.errors import BadInput, Held
from imaging_platform.storage.bucket import S3Endpoint, explained

_STAGED = ".staged-"
_DROP_NAME = "from-bucket"
_LONGEST_PART_BYTES = 200
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class S3Object:
    """
    One object of an arrival.

    Parameters
    ----------
    key
        Its whole key; may identify the subject.
    name
        Relative name that it gets in the inbox.
    n_bytes
        Size.
    etag
        What the server calls this content.
    changed_ns
        When it was written, by the server's clock, ns since 1970.
    """

    key: str
    name: str
    n_bytes: int
    etag: str
    changed_ns: int

    def __repr__(self) -> str:
        """Show the size only."""
        return f"S3Object(n_bytes={self.n_bytes})"


@dataclass(frozen=True, repr=False)
class S3Arrival:
    """
    One entry of the prefix.

    Parameters
    ----------
    arrival
        What a folder of the same names and sizes would be.
    objects
        Its objects, without the marker.
    markers
        Keys of its markers.
    """

    arrival: Arrival
    objects: tuple[S3Object, ...]
    markers: tuple[str, ...]


@dataclass(frozen=True)
class S3Inbox:
    """
    A prefix of a bucket, seen as an inbox.

    Every method raises `BadConfig` when the server refuses and `ToolFailed` when
    it does not answer.

    Parameters
    ----------
    bucket, prefix
        Where drops are put; the prefix is empty or ends in a slash.
    connect
        Returns the boto3 client; called at the first request.
    """

    bucket: str
    prefix: str
    connect: Callable[[], Any]  # boto3 makes its client classes while running

    def look(
        self, *, secret: bytes, first: int = 0, most: int | None = None
    ) -> tuple[S3Arrival, ...]:
        """
        Return arrivals in order of name; of those, `most` from number `first` on.

        Only these are looked into, so one look costs the same however many
        arrivals there are.
        """
        end = None if most is None else first + most
        return tuple(self._look_at(name, secret) for name in self._entries()[first:end])

    def fetch(self, found: S3Arrival, inbox: Path, *, reserve_bytes: int) -> Path:
        """
        Bring an arrival into an inbox, whole and marked, and out of the bucket.

        Raises
        ------
        Held
            An object has changed since it was listed, or the disk is too full.
        BadInput
            What came is not what the server keeps, or it keeps no checksum.
        """
        inbox.mkdir(parents=True, exist_ok=True)
        if free_bytes(inbox) < reserve_bytes + found.arrival.n_bytes:
            raise Held(
                "The disk of the inbox has no room for a drop of the bucket.",
                fix="Free some space, then start the run again; the drop is still "
                "in the bucket.",
            )
        staged = Path(tempfile.mkdtemp(prefix=_STAGED, dir=inbox))
        try:
            for item in found.objects:
                self._download(item, staged / item.name)
            (staged / MARKER_NAME).touch()
            staged.chmod(inbox.stat().st_mode & 0o7777)
            place = rename_to_free_name(staged, inbox, _DROP_NAME)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        # Markers first: one that outlived its drop would vouch for the next.
        for key in (*found.markers, *(item.key for item in found.objects)):
            with explained(f"deleting in bucket {self.bucket}"):
                self.connect().delete_object(Bucket=self.bucket, Key=key)
        return place

    def _entries(self) -> list[str]:
        """Return the first parts of all keys, a folder's with its slash."""
        names: set[str] = set()
        for page in self._pages(Prefix=self.prefix, Delimiter="/"):
            names |= {found["Prefix"] for found in page.get("CommonPrefixes", [])}
            names |= {found["Key"] for found in page.get("Contents", [])}
        start = len(self.prefix)
        return sorted(
            name[start:]
            for name in names
            if name[start:].strip("/")
            and not name[start:].startswith(".")
            and not name.endswith(MARKER_NAME)
        )

    def _look_at(self, entry: str, secret: bytes) -> S3Arrival:
        full = self.prefix + entry
        listed = [
            item
            for page in self._pages(Prefix=full)
            for item in page.get("Contents", [])
            if item["Key"] == full or entry.endswith("/")
        ]
        start = len(full) if entry.endswith("/") else len(self.prefix)
        inside = f"{full}{MARKER_NAME}"
        objects = _name_objects(
            [item for item in listed if item["Key"] != inside], start
        )
        beside = f"{full.rstrip('/')}{MARKER_NAME}"
        markers = [inside] if any(i["Key"] == inside for i in listed) else []
        markers += [beside] if self._is_there(beside) else []
        return S3Arrival(_arrival_of(objects, bool(markers), secret), objects,
                         tuple(markers))  # fmt: skip

    def _is_there(self, key: str) -> bool:
        pages = self._pages(Prefix=key)
        return any(i["Key"] == key for page in pages for i in page.get("Contents", []))

    def _pages(self, **asked: str) -> Iterator[Any]:  # boto3's own
        with explained(f"listing in bucket {self.bucket}"):
            lister = self.connect().get_paginator("list_objects_v2")
            yield from lister.paginate(Bucket=self.bucket, **asked)

    def _download(self, item: S3Object, file: Path) -> None:
        from botocore.exceptions import ClientError

        file.parent.mkdir(parents=True, exist_ok=True)
        with explained(f"reading in bucket {self.bucket}"):
            try:
                answer = self.connect().get_object(
                    Bucket=self.bucket,
                    Key=item.key,
                    IfMatch=item.etag,
                    ChecksumMode="ENABLED",
                )
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 412):
                    raise _changed() from None
                raise
            part_bytes = self._part_bytes(item)
            sha256, etag = _write(answer["Body"], file, part_bytes)
        _prove(item, answer, file.stat().st_size, sha256, etag)

    def _part_bytes(self, item: S3Object) -> int | None:
        """Return the size of the parts that an object came in; None for a whole."""
        if "-" not in item.etag:
            return None
        head = self.connect().head_object(
            Bucket=self.bucket, Key=item.key, PartNumber=1
        )
        return max(1, head["ContentLength"])


def open_s3_inbox(settings: S3InboxSettings) -> S3Inbox | None:
    """Return the prefix that a study file names, or None when it names none."""
    if not settings.bucket:
        return None
    endpoint = S3Endpoint(url=settings.url or None, region=settings.region)
    prefix = settings.prefix.strip("/")
    return S3Inbox(settings.bucket, f"{prefix}/" if prefix else "", endpoint.connect)


def bring_in(
    settings: S3InboxSettings,
    inbox: Path,
    *,
    drop_id: str,
    secret: bytes,
    now_s: float,
    quiet_s: float,
    reserve_bytes: int,
) -> int:
    """
    Bring the settled arrivals of one drop from the bucket; return how many.

    None when the study has no bucket. Killed and started again, a drop may come
    twice, which costs no more than its bytes: the content is kept once.
    """
    bucket = open_s3_inbox(settings)
    if bucket is None:
        return 0
    chosen = [
        found
        for found in bucket.look(secret=secret)
        if found.arrival.drop_id == drop_id
        and is_settled(found.arrival, now_s=now_s, quiet_s=quiet_s)
    ]
    for found in chosen:
        bucket.fetch(found, inbox, reserve_bytes=reserve_bytes)
    return len(chosen)


def _name_objects(listed: list[Any], start: int) -> tuple[S3Object, ...]:
    """
    Give each object the name it has in the inbox.

    A key can be what no path can: it climbs, has empty or endless parts, or is
    both file and folder. Such an object is named by a digest of its key.
    """
    keys = {item["Key"] for item in listed}
    folders = {
        key[:at] for key in keys for at, letter in enumerate(key) if letter == "/"
    }
    return tuple(
        S3Object(
            key=item["Key"],
            name=_name_of(item["Key"], start, is_folder=item["Key"] in folders),
            n_bytes=item["Size"],
            etag=item["ETag"],
            changed_ns=_to_ns(item["LastModified"]),
        )
        for item in listed
        if not (item["Key"].endswith("/") and item["Size"] == 0)
    )


def _name_of(key: str, start: int, *, is_folder: bool) -> str:
    name = key[start:]
    parts = name.split("/")
    is_path = all(
        part not in ("", ".", "..")
        and "\0" not in part
        and len(part.encode()) <= _LONGEST_PART_BYTES
        for part in parts
    )
    if is_path and not is_folder and len(name.encode()) < 1000:
        return name
    return f"unnamed-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _arrival_of(
    objects: tuple[S3Object, ...], is_marked: bool, secret: bytes
) -> Arrival:
    changes_ns = tuple(sorted({item.changed_ns for item in objects})) or (0,)
    return Arrival(
        path=Path(_DROP_NAME),
        n_files=len(objects),
        n_bytes=sum(item.n_bytes for item in objects),
        newest_change_ns=changes_ns[-1],
        changes_ns=changes_ns,
        drop_id=drop_id_of(((i.name, i.n_bytes) for i in objects), secret=secret),
        is_marked=is_marked,
    )


def _to_ns(moment: datetime) -> int:
    return int(moment.timestamp()) * _NS_PER_S


def _write(body: Any, file: Path, part_bytes: int | None) -> tuple[bytes, str]:
    """
    Write a stream to the disk; return its SHA-256 and the ETag that it should have.

    That is the MD5; of what came in parts, the MD5 of the MD5s of the parts and
    their number (as servers make it; Amazon S3 user guide, "Checking object
    integrity").
    """
    sha256, parts = hashlib.sha256(), _PartDigests(part_bytes)
    with file.open("xb") as writer:
        for chunk in body.iter_chunks(CHUNK_BYTES):
            sha256.update(chunk)
            parts.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return sha256.digest(), parts.etag()


class _PartDigests:
    """The MD5 of each part of a stream."""

    def __init__(self, part_bytes: int | None) -> None:
        self._part_bytes = part_bytes
        self._left = part_bytes or 0
        self._digests = [hashlib.md5(usedforsecurity=False)]

    def update(self, chunk: bytes) -> None:
        if self._part_bytes is None:
            self._digests[-1].update(chunk)
            return
        while chunk:
            if self._left == 0:
                self._digests.append(hashlib.md5(usedforsecurity=False))
                self._left = self._part_bytes
            self._digests[-1].update(chunk[: self._left])
            taken = min(self._left, len(chunk))
            self._left, chunk = self._left - taken, chunk[taken:]

    def etag(self) -> str:
        if self._part_bytes is None:
            return self._digests[-1].hexdigest()
        whole = b"".join(digest.digest() for digest in self._digests)
        of_parts = hashlib.md5(whole, usedforsecurity=False).hexdigest()
        return f"{of_parts}-{len(self._digests)}"


def _prove(item: S3Object, answer: Any, n_bytes: int, sha256: bytes, etag: str) -> None:
    """Compare size and checksum; an ETag is one unless a key service encrypts."""
    kept = answer.get("ChecksumSHA256", "")
    if kept and "-" not in kept:
        is_same = kept == base64.b64encode(sha256).decode()
    elif "kms" in answer.get("ServerSideEncryption", ""):
        raise BadInput(
            "An object of the bucket has no checksum by which its copy could be "
            "proved.",
            fix="Upload with SHA-256 checksums: --checksum-algorithm SHA256.",
        )
    else:
        is_same = item.etag.strip('"') == etag
    if not is_same or n_bytes != item.n_bytes:
        raise BadInput(
            "The copy of an object differs from what the bucket keeps.",
            fix="Start the run again; the drop is still in the bucket.",
        )


def _changed() -> Held:
    return Held(
        "An object of the drop changed or went away while it was copied.",
        fix="Wait until the upload has ended; the drop is still in the bucket.",
    )
