"""Trees in folders of one file system."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.files.staging import (
    publish_tree,
    recover_target,
    remove_tree,
    staged_tree,
)
from imaging_platform.files.writing import write_json
from imaging_platform.model.errors import BadConfig, MissingInput
from imaging_platform.model.layout import IDENTIFIED_ZONES, ZONES, find_tree
from imaging_platform.planning.decisions import refuse_frozen
from imaging_platform.provenance.record import (
    Record,
    read_outputs,
    read_record,
    seal_record,
    write_record,
)
from imaging_platform.storage.changes import find_changes, note_step
from imaging_platform.storage.proof import refuse_held, refuse_unproved

HOLDS = ".holds"
CHANGES = ".changes"


@dataclass(frozen=True)
class LocalStore:
    """
    A `imaging_platform.storage.store.Store` below one folder.

    Parameters
    ----------
    root
        The home; the first two parts of a key name zone and study.
    zones
        The zones that this store may touch; any other key is refused.
    """

    root: Path
    zones: tuple[str, ...] = ZONES

    def path(self, key: str) -> Path:
        """
        Return where `key` stands on disk, published or not.

        Raises
        ------
        BadConfig
            The key belongs to a zone that this store may not touch.
        """
        if key.split("/")[0] not in self.zones:
            raise BadConfig(
                f"{key} lies outside the zones of this store.",
                fix="Ask for the resource of the zone that the key belongs to.",
            )
        return self.root / key

    @contextlib.contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Give the published folder itself; see `Store.fetch`."""
        refuse_held(key, self._read_hold)
        tree = self.path(key)
        recover_target(tree)
        record = read_record(tree)
        if record is None:
            raise MissingInput(
                f"{key} has not been published.",
                fix="Materialize the asset that makes it first, or run `process`.",
            )
        refuse_unproved(key, record, tree)
        yield tree

    @contextlib.contextmanager
    def stage(self, key: str) -> Iterator[Path]:
        """Give a folder in the study's own staging area; see `Store.stage`."""
        self._refuse_frozen(key)
        with staged_tree(self._study_folder(key), _name_in_study(key)) as tree:
            yield tree

    def publish(self, tree: Path, key: str, record: Record) -> str:
        """Exchange the staged folder with the published one; see `Store.publish`."""
        self._refuse_frozen(key)
        sealed = seal_record(tree, record)
        write_record(tree, sealed)
        self._note_step(key, tree, sealed)
        publish_tree(tree, self.path(key))
        self._hold_file(key).unlink(missing_ok=True)
        return sealed.data_version

    def changes(self, key: str, since: str) -> dict[str, str]:
        """
        Return ``added``, ``changed`` or ``removed`` by path since a data version.

        Empty when that version is too old. Remembered of the trees of sessions: those
        of the whole study would keep labels that are gone, and names of originals are
        not for everybody.
        """
        return find_changes(self._file_of(CHANGES, key), since)

    def read(self, key: str) -> Record | None:
        """Return the record at `key`; see `Store.read`."""
        return read_record(self.path(key))

    def hold(self, key: str, reason: str) -> None:
        """Write the hold; see `Store.hold`."""
        write_json(self._hold_file(key), {"key": key, "reason": reason})

    def remove(self, key: str) -> None:
        """Remove the tree at `key`, its hold, and what its staging left; for good."""
        self._refuse_frozen(key)
        remove_tree(self.path(key), self._study_folder(key), _name_in_study(key))
        self._hold_file(key).unlink(missing_ok=True)
        self._file_of(CHANGES, key).unlink(missing_ok=True)

    def held(self, prefix: str) -> dict[str, str]:
        """Return what is held; see `Store.held`."""
        files = sorted((self._study_folder(prefix) / HOLDS).glob("*.json"))
        holds = [json.loads(file.read_text()) for file in files]
        return {h["key"]: h["reason"] for h in holds if h["key"].startswith(prefix)}

    def _refuse_frozen(self, key: str) -> None:
        refuse_frozen(self.root, key.split("/")[1])

    def _read_hold(self, key: str) -> str | None:
        try:
            return json.loads(self._hold_file(key).read_text())["reason"]
        except FileNotFoundError:
            return None

    def _note_step(self, key: str, tree: Path, sealed: Record) -> None:
        _, _, session = find_tree(key) or ("", "", "")
        before = self.read(key)
        is_open = key.split("/")[0] not in IDENTIFIED_ZONES
        if before is not None and session and is_open:
            note_step(
                self._file_of(CHANGES, key),
                (before.data_version, read_outputs(self.path(key))),
                (sealed.data_version, read_outputs(tree)),
            )

    def _hold_file(self, key: str) -> Path:
        return self._file_of(HOLDS, key)

    def _file_of(self, folder: str, key: str) -> Path:
        name = _name_in_study(key).replace("/", "--")
        return self._study_folder(key) / folder / f"{name}.json"

    def _study_folder(self, key: str) -> Path:
        return self.path("/".join(key.split("/")[:2]))


def _name_in_study(key: str) -> str:
    return "/".join(key.split("/")[2:]) or "study"
