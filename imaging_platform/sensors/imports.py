"""A session that was imported gets a run of what follows its BIDS tree."""

from collections.abc import Sequence
from typing import cast

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.provenance.record import EXISTING_DATASET
from imaging_platform.resources.zones import PublishedZone

INTERVAL_S = 30
MOST_EVENTS_A_TICK = 200


def make_imports_sensor(
    scope: Scope, following: Sequence[dg.AssetKey]
) -> dg.SensorDefinition:
    """
    Return the sensor that follows imported sessions of a study.

    Parameters
    ----------
    scope
        The study.
    following
        What follows the BIDS tree of a session.
    """

    @dg.sensor(
        name=f"{scope.name}_imports",
        job_name=scope.session_job,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Processes each session that was imported from a BIDS dataset.",
    )
    def imports(
        context: dg.SensorEvaluationContext, published: PublishedZone
    ) -> dg.SensorResult | dg.SkipReason:
        if frozen := published.frozen(scope.name):
            return dg.SkipReason(f"The study is {frozen}.")
        requests, cursor = request_imported(
            scope, following, context.instance, cursor=context.cursor
        )
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return imports


def request_imported(
    scope: Scope,
    following: Sequence[dg.AssetKey],
    instance: dg.DagsterInstance,
    *,
    cursor: str | None,
) -> tuple[list[dg.RunRequest], str]:
    """
    Return runs for the sessions imported since, and where to go on.

    Parameters
    ----------
    following
        What to run in them.
    cursor
        Storage id of the last event that was looked at, None for the beginning.
    """
    after = int(cursor or 0)
    page = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=scope.key("bids_session"), after_storage_id=after
        ),
        limit=MOST_EVENTS_A_TICK,
        ascending=True,
    )
    requests = [
        dg.RunRequest(
            run_key=imported_run_key(scope, record.partition_key or "", version),
            partition_key=record.partition_key,
            asset_selection=list(following),
        )
        for record in page.records
        if (version := _imported_version(record))
        and not _is_finished_since(scope, instance, record)
    ]
    seen = page.records[-1].storage_id if page.records else after
    return requests, str(seen)


def imported_run_key(scope: Scope, key: str, data_version: str) -> str:
    """Return the run key of an imported session with exactly this content."""
    return f"{scope.name}:{key}:import:{data_version[:16]}"


def _is_finished_since(
    scope: Scope, instance: dg.DagsterInstance, imported: dg.EventLogRecord
) -> bool:
    """Return whether `process` made the session's report after the import."""
    page = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=scope.key("session_report"),
            asset_partitions=[imported.partition_key or ""],
            after_storage_id=imported.storage_id,
        ),
        limit=1,
    )
    return bool(page.records)


def _imported_version(record: dg.EventLogRecord) -> str:
    """Return what came in by an import; empty for a conversion."""
    materialization = record.asset_materialization
    inputs = materialization.metadata.get("inputs") if materialization else None
    if inputs is None:
        return ""
    return cast(dict[str, str], inputs.value).get(EXISTING_DATASET, "")
