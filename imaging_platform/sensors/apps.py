"""Each session that was converted anew becomes a run of each BIDS App."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.pipeline.names import BIDS_SESSION
from imaging_platform.resources.zones import PublishedZone

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

INTERVAL_S = 30
MOST_SESSIONS_A_TICK = 20


def make_apps_sensor(
    scope: Scope, jobs: Sequence[UnresolvedAssetJobDefinition]
) -> dg.SensorDefinition:
    """
    Return the sensor that follows ``bids_session`` of a study.

    Parameters
    ----------
    jobs
        Those of the study's apps.
    """

    @dg.sensor(
        name=f"{scope.name}_apps",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs each BIDS App of a session that was converted anew.",
    )
    def apps(
        context: dg.SensorEvaluationContext, published: PublishedZone
    ) -> dg.SensorResult | dg.SkipReason:
        if frozen := published.frozen(scope.name):
            return dg.SkipReason(f"The study is {frozen}.")
        requests, cursor = request_apps(scope, context.instance, cursor=context.cursor)
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return apps


def request_apps(
    scope: Scope, instance: dg.DagsterInstance, *, cursor: str | None
) -> tuple[list[dg.RunRequest], str | None]:
    """
    Return runs for the next converted sessions, and where to go on.

    Apps of a subject or of the whole study are not among them: they would run again
    at each session.

    Parameters
    ----------
    scope
        The study.
    instance
        Holds what ``bids_session`` materialized.
    cursor
        Storage id of the last event that was seen to, None for the beginning.
    """
    page = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=scope.key(BIDS_SESSION), after_storage_id=int(cursor or 0)
        ),
        limit=MOST_SESSIONS_A_TICK,
        ascending=True,
    )
    requests = [
        dg.RunRequest(
            run_key=app_run_key(
                scope, app, record.partition_key or "", _version(record)
            ),
            job_name=scope.app_job(app),
            partition_key=record.partition_key,
        )
        for record in page.records
        for app in scope.session_apps
    ]
    last = str(page.records[-1].storage_id) if page.records else cursor
    return requests, last


def app_run_key(scope: Scope, app: str, partition: str, version: str) -> str:
    """Return the run key of an app on this version of a session's BIDS tree."""
    return f"{scope.name}:{app}:{partition}:{version[:16]}"


def _version(record: dg.EventLogRecord) -> str:
    made = record.asset_materialization
    tags = made.tags if made and made.tags else {}
    return tags.get("dagster/data_version", "")
