"""Steps and failures of a run, as its event log tells them."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from dagster import DagsterEventType

from imaging_platform.planning.cells import HELD_CLASSES
from imaging_platform.processing.outstanding import Order

_STEP_ENDS = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE}


@dataclass(frozen=True)
class StepDone:
    """
    One asset that was made, or failed.

    Parameters
    ----------
    study, partition, asset
        What it was; `partition` is empty for the whole study.
    succeeded
        Whether it was made.
    duration_s
        Wall-clock time in seconds; 0 for a failure.
    """

    study: str
    partition: str
    asset: str
    succeeded: bool
    duration_s: float


@dataclass(frozen=True)
class Problem:
    """
    One failure, for a person.

    Parameters
    ----------
    study, partition, asset
        Where it happened.
    cause
        What went wrong, as a sentence.
    is_held
        True when something waits for a person; False when something failed.
    """

    study: str
    partition: str
    asset: str
    cause: str
    is_held: bool


def watch(
    instance: dg.DagsterInstance, order: Order, run_id: str, cursor: str | None
) -> tuple[list[StepDone], str | None]:
    """Return the steps of a run that ended since `cursor`, and the next cursor."""
    page = instance.get_records_for_run(run_id, cursor=cursor, of_type=_STEP_ENDS)
    events = [r.event_log_entry.dagster_event for r in page.records]
    steps = [
        StepDone(
            study=order.study,
            partition=order.partition,
            asset=(event.step_key or "").removeprefix(f"{order.study}__"),
            succeeded=event.is_step_success,
            duration_s=event.step_success_data.duration_ms / 1000
            if event.is_step_success
            else 0.0,
        )
        for event in events
        if event is not None
    ]
    return steps, page.cursor


def read_problems(
    instance: dg.DagsterInstance, order: Order, run_id: str
) -> list[Problem]:
    """Return each failed step of a run; the run itself when no step failed."""
    page = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE)
    problems = []
    for record in page.records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        failure = event.step_failure_data.user_failure_data
        metadata = failure.metadata if failure else {}
        kind = metadata.get("class")
        problems.append(
            Problem(
                study=order.study,
                partition=order.partition,
                asset=(event.step_key or "").removeprefix(f"{order.study}__"),
                cause=(failure.description or "")
                if failure
                else _unexpected(event.step_failure_data),
                is_held=kind is not None and kind.value in HELD_CLASSES,
            )
        )
    return problems or [_run_problem(order)]


def _unexpected(data: object) -> str:
    error = getattr(data, "error", None)
    return str(getattr(error, "message", "unknown cause")).strip()


def _run_problem(order: Order) -> Problem:
    return Problem(
        study=order.study,
        partition=order.partition,
        asset=order.job,
        cause="The run ended before its first step. Start `process` again; the run's "
        "log in Dagster says more.",
        is_held=False,
    )
