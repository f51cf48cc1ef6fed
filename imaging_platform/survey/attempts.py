"""Attempts that made nothing: running, failed with a class, or interrupted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imaging_platform.pipeline.names import FAILED_CODE_TAG, FAILED_TAG
from imaging_platform.planning.cells import Attempt
from imaging_platform.survey.database import Database, marks
from imaging_platform.survey.event_log import MADE, PLANNED, EventLog, open_log
from imaging_platform.survey.history import chunks, parse_event

FAILURE = "FAILURE"
FINISHED = ("SUCCESS", FAILURE, "CANCELED")
STEP_FAILED = "STEP_FAILURE"
INTERRUPTED = "DagsterExecutionInterruptedError"
"""A step that was told to end; it says nothing about the result."""
Attempts = dict[str, dict[str, Attempt]]


@dataclass(frozen=True)
class _Run:
    """A run: its id, status, and tags that tell of failures."""

    run_id: str
    status: str
    tags: dict[str, str] = field(default_factory=dict)


def read_attempts(
    database: Database,
    study: str,
    assets: Iterable[str],
    partitions: Sequence[str] | None = None,
) -> Attempts:
    """
    Return the latest attempt of each asset and partition that has made nothing.

    Parameters
    ----------
    database, study
        Where Dagster keeps events and runs of which study.
    assets
        Their names.
    partitions
        Only these; all when None, with an empty name for what has none.
    """
    with open_log(database, study) as log:
        run_ids = {asset: _find_unmade(log, asset, partitions) for asset in assets}
    runs = _read_runs(
        database, {i for found in run_ids.values() for i in found.values()}
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
                failures[run_id] = _read_failures(database, study, run)
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
    latest = log.latest(asset, partitions, MADE, PLANNED)
    rows = log.connection.ask(
        "SELECT event_logs.partition, event_logs.run_id FROM event_logs "
        f"JOIN ({latest.text} HAVING max(id) = "
        "max(CASE WHEN dagster_event_type = ? THEN id END)) AS unmade "
        "ON event_logs.id = unmade.id",
        (*latest.values, PLANNED),
    )
    return {partition or "": run_id for partition, run_id in rows}


def _read_runs(database: Database, run_ids: set[str]) -> dict[str, _Run]:
    runs: dict[str, _Run] = {}
    if not run_ids:
        return runs
    with database.runs() as connection:
        for chunk in chunks(sorted(run_ids)):
            among = f"WHERE run_id IN ({marks(chunk)})"
            rows = connection.ask(f"SELECT run_id, status FROM runs {among}", chunk)
            runs |= {run_id: _Run(run_id, status) for run_id, status in rows}
            told = connection.ask(
                f"SELECT run_id, key, value FROM run_tags {among} "
                "AND (key LIKE ? OR key LIKE ?)",
                (*chunk, f"{FAILED_TAG}%", f"{FAILED_CODE_TAG}%"),
            )
            for run_id, key, value in told:
                if run_id in runs:
                    runs[run_id].tags[key] = value
    return runs


def _read_failures(database: Database, study: str, run: _Run) -> dict[str, str]:
    """Return the class of each step's failure in a run, by asset."""
    told = {
        name.removeprefix(FAILED_TAG): value
        for name, value in run.tags.items()
        if name.startswith(FAILED_TAG)
    }
    if told or run.status != FAILURE:
        return told
    # Nobody expected this failure, so nothing but the run's own log names it.
    with database.run_log(run.run_id) as log:
        if log is None:
            return {}
        rows = log.ask(
            "SELECT event FROM event_logs WHERE run_id = ? AND dagster_event_type = ? "
            "ORDER BY id",
            (run.run_id, STEP_FAILED),
        )
        events = [parse_event(text) for (text,) in rows]
    return {
        (event["step_key"] or "").removeprefix(f"{study}__"): _classify(event)
        for event in events
    }


def _classify(event: Mapping[str, Any]) -> str:  # see `parse_event`
    error = event["event_specific_data"]["error"] or {}
    name = (error.get("cause") or error).get("cls_name") or "Unexpected"
    return "" if name == INTERRUPTED else name
