"""Finished sessions bring dataset, catalog and study report up to date."""

import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from imaging_platform.assets.leaving import clear_emptied
from imaging_platform.assets.scope import STUDY_TAG, Scope
from imaging_platform.model.layout import Home
from imaging_platform.resources.zones import PublishedZone

INTERVAL_S = 30
LONGEST_WAIT_S = 600
"""While sessions keep coming, what spans them all is rebuilt this often."""
RUNNING = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def make_cohort_sensor(
    scope: Scope, chosen: Sequence[dg.AssetKey] | None = None
) -> dg.SensorDefinition:
    """
    Return the sensor that follows ``session_report`` and the apps of sessions.

    Parameters
    ----------
    scope
        The study.
    chosen
        What of the job is run; all of it when None.
    """

    @dg.sensor(
        name=f"{scope.name}_cohort",
        job_name=scope.cohort_job,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Rebuilds what spans all sessions, once no session is running.",
    )
    def cohort(
        context: dg.SensorEvaluationContext, published: PublishedZone
    ) -> dg.SensorResult | dg.SkipReason:
        if frozen := published.frozen(scope.name):
            return dg.SkipReason(f"The study is {frozen}.")
        newest = newest_report(scope, context.instance)
        done, waiting_since_s = _parse_cursor(context.cursor)
        if newest is None or newest == done:
            return dg.SkipReason("No session was finished since.")
        now_s = int(time.time())
        since_s = waiting_since_s or now_s
        if is_busy(scope, context.instance) and now_s - since_s < LONGEST_WAIT_S:
            reason = dg.SkipReason("Sessions are still running.")
            return dg.SensorResult(skip_reason=reason, cursor=f"{done}:{since_s}")
        # New first: what was relabelled goes when its new session is made.
        clear_emptied(Home(Path(published.home)), scope, context.instance)
        request = dg.RunRequest(
            run_key=cohort_run_key(scope, newest), asset_selection=chosen
        )
        return dg.SensorResult(run_requests=[request], cursor=f"{newest}:0")

    return cohort


def is_busy(scope: Scope, instance: dg.DagsterInstance) -> bool:
    """Return whether a run of a session, its apps, or of a backfill goes on."""
    jobs = [scope.session_job, *map(scope.app_job, scope.session_apps)]
    filters = [dg.RunsFilter(job_name=job, statuses=RUNNING) for job in jobs]
    filters.append(dg.RunsFilter(tags={STUDY_TAG: scope.name}, statuses=RUNNING))
    return any(instance.get_runs_count(each) for each in filters)


def newest_report(scope: Scope, instance: dg.DagsterInstance) -> int | None:
    """Return the storage id of the latest report or result of an app of a session."""
    pages = [
        instance.fetch_materializations(scope.key(asset), limit=1)
        for asset in ("session_report", *scope.session_apps)
    ]
    found = [page.records[0].storage_id for page in pages if page.records]
    return max(found, default=None)


def _parse_cursor(cursor: str | None) -> tuple[int, int]:
    """Return the event that was seen to, and since when a newer one waits (0: none)."""
    done, _, since_s = (cursor or "0:0").partition(":")
    return int(done), int(since_s)


def cohort_run_key(scope: Scope, newest: int) -> str:
    """Return the run key of the cohort as it is after that event."""
    return f"{scope.name}:cohort:{newest}"
