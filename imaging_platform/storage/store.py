"""What every store can do."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from imaging_platform.provenance.record import Record


class Store(Protocol):
    """
    Published trees by key (`imaging_platform.model.layout`).

    A tree is replaced as a whole: a reader sees the old or the new one.
    """

    def fetch(self, key: str) -> AbstractContextManager[Path]:
        """
        Give the tree at `key` as a local folder that must not be written to.

        Raises
        ------
        MissingInput
            Nothing is published at `key`.
        Held
            The latest attempt to publish at `key` was held for a person, or the
            de-identification of its session is not proved
            (`imaging_platform.storage.proof`).
        """
        ...

    def stage(self, key: str) -> AbstractContextManager[Path]:
        """
        Give an empty folder in which the next tree of `key` is built.

        Raises
        ------
        Held
            The study is frozen (`imaging_platform.planning.decisions`).
        """
        ...

    def publish(self, tree: Path, key: str, record: Record) -> str:
        """
        Put a staged tree and its record at `key` and return its data version.

        A hold at `key` ends with it.

        Raises
        ------
        Held
            The study is frozen.
        """
        ...

    def read(self, key: str) -> Record | None:
        """Return the record at `key`, or None when nothing is published."""
        ...

    def hold(self, key: str, reason: str) -> None:
        """Keep `key` from being fetched until it is published anew."""
        ...

    def held(self, prefix: str) -> dict[str, str]:
        """Return the reason of each held key that starts with `prefix`."""
        ...
