"""Telling Dagster of a published tree that no run of it has made."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy.engine import Connection

from imaging_platform.assets.scope import Scope
from imaging_platform.planning.state import Made
from imaging_platform.provenance.record import Record

Metadata = Mapping[str, Any]  # what `shown` returns


@contextlib.contextmanager
def told_together(instance: dg.DagsterInstance) -> Iterator[None]:
    """
    Commit all that is told in this block at once, on the embedded database.

    Dagster opens it twice an event, and waits twice for the disk: 15 ms. Killed in
    the block, nothing of it was told; other writers wait, so it is to be short.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        yield
        return
    connect, opened = storage._connect, dict[str, Connection]()
    with contextlib.ExitStack() as stack:

        @contextlib.contextmanager
        def connect_once(shard: str) -> Iterator[Connection]:
            if shard not in opened:
                opened[shard] = stack.enter_context(connect(shard))
            yield opened[shard]

        before = dict(vars(storage))
        # Its own lock lets one connection be open at a time.
        vars(storage).update(_connect=connect_once, _db_lock=threading.RLock())
        try:
            yield
        finally:
            del vars(storage)["_connect"]
            vars(storage)["_db_lock"] = before["_db_lock"]


def tell_made(
    instance: dg.DagsterInstance,
    scope: Scope,
    asset: str,
    record: Record,
    *,
    key: str,
    description: str,
    metadata: Metadata,
) -> None:
    """
    Record a materialization with the versions that the tree's record has.

    Parameters
    ----------
    asset
        Name of the asset without the study.
    record
        Of the published tree; its partition is a session that Dagster knows, or
        empty.
    key
        Where the tree stands.
    description, metadata
        Shown beside the versions.
    """
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=scope.key(asset),
            partition=record.partition or None,
            description=description,
            metadata={
                **metadata,
                "inputs": dg.MetadataValue.json(dict(record.inputs)),
                "published": dg.MetadataValue.text(key),
            },
            tags={
                "dagster/data_version": record.data_version,
                "dagster/code_version": record.code_version,
            },
        )
    )


def is_told(record: Record, made: Made | None) -> bool:
    """Return whether the latest materialization says what the record says."""
    return made is not None and (
        made.data_version,
        made.code_version,
        dict(made.inputs),
    ) == (record.data_version, record.code_version, dict(record.inputs))
