"""A made-up event log: many sessions, all of whose assets were made."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from benchmarks.hollow import DIGEST, SCOPE, metadata_of, session_label
from imaging_platform.model.layout import Home


def fill_history(
    instance: dg.DagsterInstance, home: Home, graph: dg.AssetGraph, *, n_sessions: int
) -> None:
    """
    Record that one drop brought `n_sessions` and that all of their assets were made.

    Parameters
    ----------
    instance
        Instance on the home's disk.
    home
        The home.
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
    _repeat_rows(home, labels[0], labels[1:])


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


def _repeat_rows(home: Home, first: str, others: Sequence[str]) -> None:
    """Copy the first session's rows: through Dagster, 10,000 events take minutes."""
    with contextlib.closing(sqlite3.connect(index_file(home))) as log, log:
        log.execute(
            "CREATE TEMP TABLE pattern AS SELECT * FROM event_logs WHERE partition = ?",
            [first],
        )
        log.executemany(
            "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp,"
            " step_key, asset_key, partition) SELECT run_id, replace(event, ?1, ?2),"
            " dagster_event_type, timestamp, step_key, asset_key, ?2 FROM pattern",
            [(first, other) for other in others],
        )
