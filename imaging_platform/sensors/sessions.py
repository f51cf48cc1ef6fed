"""What was indexed becomes session partitions and a run for each."""

from collections.abc import Mapping, Sequence
from typing import cast

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.resources.zones import PublishedZone

INTERVAL_S = 10
MOST_SESSIONS_A_TICK = 50


def make_sessions_sensor(
    scope: Scope, chosen: Sequence[dg.AssetKey] | None = None
) -> dg.SensorDefinition:
    """
    Return the sensor that follows ``drop_index`` of a study.

    Parameters
    ----------
    scope
        The study.
    chosen
        What of the job is run; all of it when None.
    """

    @dg.sensor(
        name=f"{scope.name}_sessions",
        job_name=scope.session_job,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Processes each session that a drop brought or changed.",
    )
    def sessions(
        context: dg.SensorEvaluationContext, published: PublishedZone
    ) -> dg.SensorResult | dg.SkipReason:
        if frozen := published.frozen(scope.name):
            return dg.SkipReason(f"The study is {frozen}.")
        requests, cursor = request_sessions(
            scope, context.instance, cursor=context.cursor, chosen=chosen
        )
        context.instance.add_dynamic_partitions(
            scope.sessions.name or "", [str(r.partition_key) for r in requests]
        )
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return sessions


def request_sessions(
    scope: Scope,
    instance: dg.DagsterInstance,
    *,
    cursor: str | None,
    chosen: Sequence[dg.AssetKey] | None = None,
) -> tuple[list[dg.RunRequest], str | None]:
    """
    Return runs for the next indexed sessions, and where to go on.

    Parameters
    ----------
    scope
        The study.
    instance
        Holds what ``drop_index`` materialized.
    cursor
        Position ``<storage id>:<sessions of that drop already asked for>``, or
        None for the beginning. Its size does not grow.
    chosen
        What of the job is run; all of it when None.
    """
    after, asked = _parse_cursor(cursor)
    record = _next_indexed_drop(scope, instance, after=after)
    if record is None:
        return [], cursor
    found = sorted(read_sessions(record).items())
    next_ones = found[asked : asked + MOST_SESSIONS_A_TICK]
    done = asked + len(next_ones)
    finished = _finished_since(scope, instance, record, [key for key, _ in next_ones])
    requests = [
        dg.RunRequest(
            run_key=session_run_key(scope, key, digest),
            partition_key=key,
            asset_selection=chosen,
        )
        for key, digest in next_ones
        if key not in finished
    ]
    more = done < len(found)
    return requests, f"{after}:{done}" if more else f"{record.storage_id}:0"


def session_run_key(scope: Scope, key: str, members_digest: str) -> str:
    """Return the run key of a session with exactly these files."""
    return f"{scope.name}:{key}:{members_digest[:16]}"


def read_sessions(record: dg.EventLogRecord) -> Mapping[str, str]:
    """Return the members digest of each session that an indexed drop belongs to."""
    materialization = record.asset_materialization
    if materialization is None:
        return {}
    found = cast(Mapping[str, str], materialization.metadata["sessions"].value)
    # A session without a digest lost its last file.
    return {key: digest for key, digest in found.items() if digest}


def _finished_since(
    scope: Scope,
    instance: dg.DagsterInstance,
    indexed: dg.EventLogRecord,
    keys: Sequence[str],
) -> set[str | None]:
    """Return the sessions whose report was made after the drop was indexed."""
    page = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=scope.key("session_report"),
            asset_partitions=keys,
            after_storage_id=indexed.storage_id,
        ),
        limit=MOST_SESSIONS_A_TICK,
    )
    return {record.partition_key for record in page.records}


def _next_indexed_drop(
    scope: Scope, instance: dg.DagsterInstance, *, after: int
) -> dg.EventLogRecord | None:
    page = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=scope.key("drop_index"), after_storage_id=after
        ),
        limit=1,
        ascending=True,
    )
    return page.records[0] if page.records else None


def _parse_cursor(cursor: str | None) -> tuple[int, int]:
    if not cursor:
        return 0, 0
    storage_id, asked = cursor.split(":")
    return int(storage_id), int(asked)
