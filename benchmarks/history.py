"""A made-up event log: many sessions, all of whose assets were made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import dagster as dg
import sqlalchemy
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from benchmarks.hollow import DIGEST, SCOPE, metadata_of, session_label
from imaging_platform.model.layout import Home
from imaging_platform.survey.history import chunks


def fill_history(
    instance: dg.DagsterInstance, graph: dg.AssetGraph, *, n_sessions: int
) -> None:
    """
    Record that one drop brought `n_sessions` and that all of their assets were made.

    Parameters
    ----------
    instance
        Instance on a disk or a server.
    graph
        The study's graph; each asset of a session is recorded.
    n_sessions
        How many.
    """
    labels = [session_label(number) for number in range(n_sessions)]
    specs = [
        graph.get(key).to_asset_spec()
        for key in graph.toposorted_asset_keys
        if graph.get(key).partitions_def == SCOPE.sessions
    ]
    instance.add_dynamic_partitions(SCOPE.sessions.name or "", labels)
    _report(
        instance,
        dg.AssetSpec(SCOPE.key("drop_index")),
        "drop-0123456789abcdef",
        {"sessions": dg.MetadataValue.json(dict.fromkeys(labels, DIGEST))},
    )
    for spec in specs:
        _report(instance, spec, labels[0], metadata_of(spec))
    _repeat_rows(instance, labels[0], labels[1:])


def index_file(home: Home) -> Path:
    """Return the database in which Dagster keeps the events of all assets."""
    return home.dagster / "history" / "runs" / "index.db"


def _report(
    instance: dg.DagsterInstance,
    spec: dg.AssetSpec,
    partition: str,
    metadata: dict[str, dg.MetadataValue],
) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=spec.key,
            partition=partition,
            metadata=metadata,
            tags={
                "dagster/code_version": spec.code_version or "",
                "dagster/data_version": DIGEST,
            },
        )
    )


def _repeat_rows(
    instance: dg.DagsterInstance, first: str, others: Sequence[str]
) -> None:
    """Copy the first session's rows: through Dagster, 10,000 events take minutes."""
    storage = cast(SqlEventLogStorage, instance.event_log_storage)
    names = [column.name for column in Events.columns if column.name != "id"]
    columns = [Events.columns[name] for name in names]
    query = sqlalchemy.select(*columns).where(Events.c.partition == first)
    with storage.index_connection() as connection:
        pattern = [
            dict(zip(names, row, strict=True)) for row in connection.execute(query)
        ]
        for chunk in chunks(others, 500):
            rows = [
                {**row, "partition": other, "event": row["event"].replace(first, other)}
                for other in chunk
                for row in pattern
            ]
            connection.execute(sqlalchemy.insert(Events), rows)
