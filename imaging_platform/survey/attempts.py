"""Attempts that made nothing: running, failed with a class, or interrupted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
import sqlalchemy
from dagster import DagsterEventType, DagsterRunStatus
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events

from imaging_platform.assets.explaining import FAILED_CODE_TAG, FAILED_TAG
from imaging_platform.assets.scope import Scope
from imaging_platform.planning.cells import Attempt
from imaging_platform.survey.event_log import EventLog, open_log
from imaging_platform.survey.history import MADE, chunks

FINISHED = (
    DagsterRunStatus.SUCCESS,
    DagsterRunStatus.FAILURE,
    DagsterRunStatus.CANCELED,
)
PLANNED = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
INTERRUPTED = "DagsterExecutionInterruptedError"
"""A step that was told to end; it says nothing about the result."""
Attempts = dict[str, dict[str, Attempt]]


def read_attempts(
    instance: dg.DagsterInstance,
    scope: Scope,
    assets: Iterable[str],
    partitions: Sequence[str] | None = None,
) -> Attempts:
    """
    Return the latest attempt of each asset and partition that has made nothing.

    Parameters
    ----------
    assets
        Their names.
    partitions
        Only these; all when None, with an empty name for what has none.
    """
    with open_log(instance, scope) as log:
        run_ids = {asset: _find_unmade(log, asset, partitions) for asset in assets}
    runs = _read_runs(
        instance, {i for found in run_ids.values() for i in found.values()}
    )
    failures: dict[str, Mapping[str, str]] = {}
    attempts: Attempts = {}
    for asset, found in run_ids.items():
        for partition, run_id in found.items():
            run = runs.get(run_id)
            if run is None:
                continue
            is_running = run.status not in FINISHED
            if not is_running and run_id not in failures:
                failures[run_id] = _read_failures(instance, scope, run)
            attempts.setdefault(asset, {})[partition] = Attempt(
                run_id,
                is_running,
                "" if is_running else failures[run_id].get(asset, ""),
                run.tags.get(f"{FAILED_CODE_TAG}{asset}", ""),
            )
    return attempts


def _find_unmade(
    log: EventLog, asset: str, partitions: Sequence[str] | None
) -> dict[str, str]:
    """Return the run of the latest attempt by partition, where it made nothing."""
    planned = sqlalchemy.case(
        (Events.c.dagster_event_type == PLANNED.value, Events.c.id)
    )
    newest, newest_planned = map(sqlalchemy.func.max, (Events.c.id, planned))
    unmade = log.latest(asset, partitions, MADE, PLANNED)
    unmade = unmade.having(newest == newest_planned).subquery()
    query = sqlalchemy.select(Events.c.partition, Events.c.run_id)
    rows = log.connection.execute(query.join(unmade, Events.c.id == unmade.c.id))
    return {partition or "": run_id for partition, run_id in rows}


def _read_runs(
    instance: dg.DagsterInstance, run_ids: set[str]
) -> dict[str, dg.DagsterRun]:
    records = [
        record
        for chunk in chunks(sorted(run_ids))
        for record in instance.get_run_records(dg.RunsFilter(run_ids=chunk))
    ]
    return {record.dagster_run.run_id: record.dagster_run for record in records}


def _read_failures(
    instance: dg.DagsterInstance, scope: Scope, run: dg.DagsterRun
) -> dict[str, str]:
    """Return the class of each step's failure in a run, by asset."""
    told = {
        name.removeprefix(FAILED_TAG): value
        for name, value in run.tags.items()
        if name.startswith(FAILED_TAG)
    }
    if told or run.status is not DagsterRunStatus.FAILURE:
        return told
    # Nobody expected this failure, so nothing but the run's own log names it.
    page = instance.get_records_for_run(
        run.run_id, of_type=DagsterEventType.STEP_FAILURE
    )
    events = [record.event_log_entry.dagster_event for record in page.records]
    return {
        (event.step_key or "").removeprefix(f"{scope.name}__"): _classify(event)
        for event in events
        if event is not None
    }


def _classify(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    cause = error.cause if error and error.cause else error
    name = (cause.cls_name if cause else None) or "Unexpected"
    return "" if name == INTERRUPTED else name
