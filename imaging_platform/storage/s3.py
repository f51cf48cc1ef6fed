"""
Trees in an S3 bucket, all or nothing although S3 replaces only single objects.

Below ``<key>/`` stand:

- ``.trees/<serial>-<digest>/<path>``: the files of one tree;
- ``.trees/<serial>-<digest>.json``: its manifest, the digest of each path; the
  digest in the name is the manifest's own, so a tree is proved from its name;
- ``.current``: serial, name of the tree, and record. A publish writes it last,
  and only if no one else has written it since.

The serial grows with each publish, so a name is never used for a second tree
and no one deletes what another has begun to write after him.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from imaging_platform.files.digests import (
    OUTPUTS_NAME,
    digest_bytes,
    digest_file,
    sorted_files,
)
from imaging_platform.model.errors import BadConfig, BadInput, MissingInput
from imaging_platform.model.layout import ZONES
from imaging_platform.provenance.record import Record, seal_record, write_record
from imaging_platform.storage.bucket import Bucket
from imaging_platform.storage.proof import refuse_held, refuse_unproved

CURRENT = ".current"
TREES = ".trees"
HOLDS = ".holds"

FETCH_ATTEMPTS = 5
"""How often a reader starts anew because a publish took the tree from under it."""


@dataclass(frozen=True)
class S3Store:
    """
    A `imaging_platform.storage.store.Store` in one bucket.

    The server must support conditional writes (``If-Match``) and SHA-256
    checksums.

    Parameters
    ----------
    bucket
        Name of the bucket; it must exist.
    connect
        Returns the boto3 client, such as `S3Endpoint.connect`; not called
        before the first request.
    prefix
        Put before each key; may be empty.
    zones
        The zones that this store may touch; any other key is refused.
    scratch
        Folder for what is being fetched or built; None for the system's.
    workers
        Requests that may be under way at once.
    """

    bucket: str
    connect: Callable[[], Any]  # boto3 makes its client classes while running
    prefix: str = ""
    zones: tuple[str, ...] = ZONES
    scratch: Path | None = None
    workers: int = 8

    @contextlib.contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """
        Give a copy that is removed afterwards; see `Store.fetch`.

        Raises
        ------
        BadInput
            What the bucket holds is not what was published.
        """
        refuse_held(key, self._read_hold)
        with contextlib.ExitStack() as scratches:
            yield self._download(key, scratches)

    @contextlib.contextmanager
    def stage(self, key: str) -> Iterator[Path]:
        """Give a scratch folder that is removed afterwards; see `Store.stage`."""
        self._check_zone(key)
        with self._scratch() as folder:
            yield folder

    def publish(self, tree: Path, key: str, record: Record) -> str:
        """
        Upload what is new, then move the pointer; see `Store.publish`.

        A tree that is there already is not sent again. What earlier publishes
        left behind is deleted after the pointer has moved.
        """
        self._check_zone(key)
        record = seal_record(tree, record)
        manifest = _list_files(tree)
        # Read before the first upload: see the race that `exchange` decides.
        old, etag = self._read_pointer(key)
        there = self._bucket.keys(f"{key}/{TREES}/")
        new = _follow(old, manifest, record)
        if new.tree != (old.tree if old else None):
            self._upload(tree, f"{key}/{TREES}/{new.tree}", manifest)
        stale = _find_stale(there, f"{key}/{TREES}/{new.tree}", manifest)
        if stale or not _is_same(old, new):
            self._bucket.exchange(f"{key}/{CURRENT}", new.encode(), seen_etag=etag)
        self._bucket.delete([*stale, self._hold_key(key)])
        return record.data_version

    def read(self, key: str) -> Record | None:
        """Return the record at `key` with one request; see `Store.read`."""
        self._check_zone(key)
        pointer, _ = self._read_pointer(key)
        return pointer.record if pointer else None

    def hold(self, key: str, reason: str) -> None:
        """Write the hold; see `Store.hold`."""
        hold = json.dumps({"key": key, "reason": reason}, sort_keys=True)
        self._bucket.write(self._hold_key(key), hold.encode())

    def held(self, prefix: str) -> dict[str, str]:
        """Return what is held; see `Store.held`."""
        self._check_zone(prefix)
        found = [
            self._bucket.read(key)
            for key in self._bucket.keys(f"{_study_folder(prefix)}/{HOLDS}/")
        ]
        holds = [json.loads(hold[0]) for hold in found if hold]
        return {h["key"]: h["reason"] for h in holds if h["key"].startswith(prefix)}

    @property
    def _bucket(self) -> Bucket:
        return Bucket(self.bucket, self.connect, self.prefix.strip("/"), self.workers)

    def _scratch(self) -> contextlib.AbstractContextManager[Path]:
        return _make_scratch(self.scratch)

    def _check_zone(self, key: str) -> None:
        if key.split("/")[0] not in self.zones:
            raise BadConfig(
                f"{key} lies outside the zones of this store.",
                fix="Ask for the resource of the zone that the key belongs to.",
            )

    def _upload(self, tree: Path, target: str, manifest: dict[str, str]) -> None:
        self._bucket.each(
            self._bucket.upload,
            [(tree / n, f"{target}/{n}", digest) for n, digest in manifest.items()],
        )
        self._bucket.write(f"{target}.json", _encode_manifest(manifest))

    def _download(self, key: str, scratches: contextlib.ExitStack) -> Path:
        """Return a complete copy of the tree at `key`, old or new, never a mix."""
        for _ in range(FETCH_ATTEMPTS):
            pointer, _ = self._read_pointer(key)
            if pointer is None:
                raise MissingInput(
                    f"{key} has not been published.",
                    fix="Materialize the asset that makes it first, or run `process`.",
                )
            folder = scratches.enter_context(self._scratch())
            if self._download_tree(key, pointer, folder):
                refuse_unproved(key, pointer.record, folder)
                write_record(folder, pointer.record)
                return folder
            scratches.close()
            if self._read_pointer(key)[0] == pointer:
                break
        raise _explain_damage(key)

    def _download_tree(self, key: str, pointer: Pointer, folder: Path) -> bool:
        """Write the files of a tree into `folder`; False when some are gone."""
        source = f"{key}/{TREES}/{pointer.tree}"
        found = self._bucket.read(f"{source}.json")
        if found is None:
            return False
        if digest_bytes(found[0]) != pointer.tree.split("-")[1]:
            raise _explain_damage(key)
        missing: list[str] = []

        def take(name: str, digest: str) -> None:
            file = _place(folder, name, key)
            taken = self._bucket.download(f"{source}/{name}", file)
            if taken is None:
                missing.append(name)
            elif taken != digest:
                raise _explain_damage(key)

        self._bucket.each(take, list(json.loads(found[0]).items()))
        return not missing

    def _read_pointer(self, key: str) -> tuple[Pointer | None, str | None]:
        found = self._bucket.read(f"{key}/{CURRENT}")
        return (Pointer.decode(found[0]), found[1]) if found else (None, None)

    def _read_hold(self, key: str) -> str | None:
        found = self._bucket.read(self._hold_key(key))
        return json.loads(found[0])["reason"] if found else None

    def _hold_key(self, key: str) -> str:
        self._check_zone(key)
        name = "--".join(key.split("/")[2:]) or "study"
        return f"{_study_folder(key)}/{HOLDS}/{name}.json"


@dataclass(frozen=True)
class Pointer:
    """
    What ``.current`` says.

    Parameters
    ----------
    serial
        Number of the publish, from 1.
    tree
        Name of the tree: the serial that brought it and its manifest's digest.
    record
        Where the tree comes from; its own object could not change with the
        pointer in one step.
    """

    serial: int
    tree: str
    record: Record

    def encode(self) -> bytes:
        """Return the pointer as one line of JSON."""
        return (json.dumps(dataclasses.asdict(self), sort_keys=True) + "\n").encode()

    @classmethod
    def decode(cls, data: bytes) -> Pointer:
        """Return the pointer that `encode` wrote."""
        values = json.loads(data)
        return cls(values["serial"], values["tree"], Record(**values["record"]))


def _follow(old: Pointer | None, manifest: dict[str, str], record: Record) -> Pointer:
    """Return the pointer after `old`; an equal tree keeps its place."""
    serial = (old.serial if old else 0) + 1
    digest = digest_bytes(_encode_manifest(manifest))
    if old and old.tree.split("-")[1] == digest:
        return Pointer(serial, old.tree, record)
    return Pointer(serial, f"{serial:06d}-{digest}", record)


def _is_same(old: Pointer | None, new: Pointer) -> bool:
    """Say whether tree and record stay as they are; lists and tuples are equal."""
    if old is None:
        return False
    return dataclasses.replace(new, serial=old.serial).encode() == old.encode()


def _find_stale(there: list[str], target: str, manifest: dict[str, str]) -> list[str]:
    kept = {f"{target}.json", *(f"{target}/{name}" for name in manifest)}
    return [key for key in there if key not in kept]


def _list_files(tree: Path) -> dict[str, str]:
    """Return the SHA-256 of the bytes of each file by its path in the tree."""
    return {
        file.relative_to(tree).as_posix(): digest_file(file)
        for file in (*sorted_files(tree), tree / OUTPUTS_NAME)
    }


def _encode_manifest(manifest: dict[str, str]) -> bytes:
    return json.dumps(manifest, sort_keys=True, indent=0).encode()


def _place(folder: Path, name: str, key: str) -> Path:
    """Return where a file of a manifest goes, its folder made; never outside."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _explain_damage(key)
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _study_folder(key: str) -> str:
    return "/".join(key.split("/")[:2])


@contextlib.contextmanager
def _make_scratch(area: Path | None) -> Iterator[Path]:
    if area:
        area.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkdtemp makes the folder with mode 0700.
    with tempfile.TemporaryDirectory(prefix="imaging-", dir=area) as folder:
        yield Path(folder)


def _explain_damage(key: str) -> BadInput:
    return BadInput(
        f"The store does not hold {key} as it was published.",
        fix="Materialize the asset that makes it again.",
    )
