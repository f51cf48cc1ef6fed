"""Objects of one S3 bucket: every request, and every failure in our own words."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imaging_platform.files.digests import CHUNK_BYTES
from imaging_platform.model.errors import BadConfig, BadInput, PlatformError, ToolFailed

PUT_LIMIT_BYTES = 5 * 1024**3
"""Largest object that one S3 request may write (Amazon S3 quotas)."""

_ABSENT = {"NoSuchKey", "404"}
_CONFLICT = {"PreconditionFailed", "ConditionalRequestConflict", "409", "412"}
_REFUSED = {
    "AccessDenied",
    "AllAccessDisabled",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "NoSuchBucket",
    "PermanentRedirect",
    "SignatureDoesNotMatch",
    "401",
    "403",
}


@dataclass(frozen=True)
class S3Endpoint:
    """
    Where a server answers and as whom it is asked.

    Parameters
    ----------
    url
        Address of the server; None for Amazon S3.
    region
        Region that requests are signed for.
    access_key, secret_key
        Credentials; both None to let boto3 find them. Never shown.
    attempts
        How often a request is sent at most before it counts as failed.
    timeout_s
        Seconds to wait for a connection, and for each part of an answer.
    """

    url: str | None = None
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    attempts: int = 4
    timeout_s: int = 60

    def connect(self) -> Any:  # boto3 makes its client classes while running
        """Return the boto3 client of this endpoint, one a process."""
        return _make_client(self)


@functools.lru_cache(maxsize=8)
def _make_client(endpoint: S3Endpoint) -> Any:  # see `S3Endpoint.connect`
    import boto3.session
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": endpoint.attempts, "mode": "standard"},
        connect_timeout=endpoint.timeout_s,
        read_timeout=endpoint.timeout_s,
        # Servers other than Amazon's seldom have a host name for each bucket.
        s3={"addressing_style": "path" if endpoint.url else "auto"},
    )
    with explained("its configuration"):
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint.url,
            region_name=endpoint.region,
            aws_access_key_id=endpoint.access_key,
            aws_secret_access_key=endpoint.secret_key,
            config=config,
        )


@dataclass(frozen=True)
class Bucket:
    """
    The objects below one prefix of a bucket.

    Every method raises `BadConfig` when the server refuses (no such bucket, no
    right, no credentials) and `ToolFailed` when it does not answer or fails.

    Parameters
    ----------
    name
        Name of the bucket; it must exist.
    connect
        Returns the boto3 client; called at the first request, not before.
    prefix
        Put before each key, without a slash at its ends; may be empty.
    workers
        Requests that may be under way at once.
    """

    name: str
    connect: Callable[[], Any]  # `S3Endpoint.connect`, or a test's own client
    prefix: str = ""
    workers: int = 8

    def read(self, key: str) -> tuple[bytes, str] | None:
        """Return content and ETag of a small object, or None when there is none."""
        from botocore.exceptions import ClientError

        with self._asking("reading") as client:
            try:
                answer = client.get_object(Bucket=self.name, Key=self._full(key))
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise
            return answer["Body"].read(), answer["ETag"]

    def write(self, key: str, data: bytes) -> None:
        """Put a small object, whatever stood there."""
        self._put(key, data, hashlib.sha256(data).hexdigest())

    def exchange(self, key: str, data: bytes, *, seen_etag: str | None) -> None:
        """
        Put a small object if it is still the one that was read.

        Parameters
        ----------
        key
            Key of the object.
        data
            Its new content.
        seen_etag
            ETag as `read` gave it; None when there was no object.

        Raises
        ------
        ToolFailed
            Another writer was faster; nothing was written.
        """
        condition = {"IfMatch": seen_etag} if seen_etag else {"IfNoneMatch": "*"}
        self._put(key, data, hashlib.sha256(data).hexdigest(), **condition)

    def upload(self, file: Path, key: str, digest: str) -> None:
        """
        Put a file and prove that the server holds `digest` (SHA-256, hex).

        Raises
        ------
        BadInput
            The file is larger than `PUT_LIMIT_BYTES`.
        BadConfig
            The server keeps no SHA-256 checksums, so nothing could be proved.
        ToolFailed
            What the server holds differs from the file in size or digest.
        """
        size = file.stat().st_size
        if size > PUT_LIMIT_BYTES:
            raise BadInput(
                f"A file of {size} bytes is larger than one S3 request may write.",
                fix="Keep trees with files over 5 GiB in a local store.",
            )
        with file.open("rb") as body:
            self._put(key, body, digest)
        self._prove(key, size, digest)

    def download(self, key: str, file: Path) -> str | None:
        """Write an object to `file`; return its SHA-256 as hex, None when absent."""
        from botocore.exceptions import ClientError

        digest = hashlib.sha256()
        with self._asking("reading") as client:
            try:
                answer = client.get_object(Bucket=self.name, Key=self._full(key))
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise
            with file.open("wb") as writer:
                for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                    digest.update(chunk)
                    writer.write(chunk)
        return digest.hexdigest()

    def keys(self, folder: str) -> list[str]:
        """Return the keys of all objects that start with `folder`, sorted."""
        found: list[str] = []
        with self._asking("listing") as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=self._full(folder)
            )
            for page in pages:
                found += [item["Key"] for item in page.get("Contents", [])]
        start = len(self._full(""))
        return sorted(key[start:] for key in found)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are absent already do no harm."""
        self.each(self._delete, [(key,) for key in keys])

    def each(self, action: Callable[..., None], calls: list[tuple[Any, ...]]) -> None:
        """
        Call `action` with each tuple of arguments, `workers` at once.

        The first failure is raised after the calls under way have ended; those
        that have not begun are dropped.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            running = [pool.submit(action, *call) for call in calls]
            try:
                for future in running:
                    future.result()
            finally:
                for future in running:
                    future.cancel()

    def _delete(self, key: str) -> None:
        with self._asking("deleting") as client:
            client.delete_object(Bucket=self.name, Key=self._full(key))

    def _put(self, key: str, body: Any, digest: str, **condition: str) -> None:
        with self._asking("writing") as client:
            client.put_object(
                Bucket=self.name,
                Key=self._full(key),
                Body=body,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=_to_base64(digest),
                **condition,
            )

    def _prove(self, key: str, size: int, digest: str) -> None:
        with self._asking("checking") as client:
            head = client.head_object(
                Bucket=self.name, Key=self._full(key), ChecksumMode="ENABLED"
            )
        if "ChecksumSHA256" not in head:
            raise BadConfig(
                f"The server of bucket {self.name} keeps no SHA-256 checksums.",
                fix="Use an S3 server that supports additional checksums.",
            )
        if (head["ContentLength"], head["ChecksumSHA256"]) != (
            size,
            _to_base64(digest),
        ):
            raise ToolFailed(
                f"An object in bucket {self.name} differs from the file sent.",
                fix="Run the step again; the damaged object is not in use.",
            )

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[Any]:
        with explained(f"{doing} in bucket {self.name}"):
            yield self.connect()

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn botocore's errors into ours; their text may hold addresses and keys."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    try:
        yield
    except ClientError as error:
        raise _explain(what, _code(error)) from None
    except (NoCredentialsError, PartialCredentialsError, ValueError):
        raise BadConfig(
            f"S3 failed at {what}: address or credentials are absent or not valid.",
            fix="Set the address, the access key and the secret key of the store.",
        ) from None
    except BotoCoreError as error:
        raise ToolFailed(
            f"S3 failed at {what}: {type(error).__name__}.",
            fix="See whether the server is up and its address is right; try again.",
        ) from None


def _explain(what: str, code: str) -> PlatformError:
    if code in _REFUSED:
        return BadConfig(
            f"S3 refused {what}: {code}.",
            fix="See that the bucket exists and that the access key may list, read, "
            "write and delete in it.",
        )
    if code in _CONFLICT:
        return ToolFailed(
            f"S3 refused {what}: another writer was faster.",
            fix="Run the step again; what the other wrote is complete.",
        )
    return ToolFailed(
        f"S3 failed at {what}: {code}.", fix="Try again; read the server's log."
    )


def _code(error: Any) -> str:  # botocore's ClientError, imported late
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _to_base64(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()
