"""A settled drop starts its indexing; nothing is opened, only names are listed."""

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.assets.routing import naming_version
from imaging_platform.assets.scope import Scope
from imaging_platform.resources.zones import IdentifiedZone, PublishedZone

if TYPE_CHECKING:
    from imaging_platform.intake.arrivals import Arrival

INTERVAL_S = 10
MOST_DROPS_A_TICK = 50
MOST_ATTEMPTS = 3
"""How often an interrupted drop is taken up again before a person must look."""


def make_drops_sensor(scope: Scope) -> dg.SensorDefinition:
    """Return the sensor that watches the inbox of a study."""

    @dg.sensor(
        name=f"{scope.name}_drops",
        job_name=scope.drop_job,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Indexes each drop of the inbox once it has settled.",
    )
    def drops(
        context: dg.SensorEvaluationContext,
        identified: IdentifiedZone,
        published: PublishedZone,
    ) -> dg.SensorResult | dg.SkipReason:
        if frozen := published.frozen(scope.name):
            return dg.SkipReason(f"The study is {frozen}.")
        if not identified.inbox(scope.name).is_dir():
            return dg.SkipReason("No inbox yet: `imaging-platform study new` makes it.")
        if not has_room(scope, identified):
            return dg.SkipReason("The disk is too full: drops wait in the inbox.")
        requests, waiting = request_drops(
            scope, identified, context.instance, now_s=time.time()
        )
        if not requests:
            return dg.SkipReason(f"{waiting} drop(s) still settling.")
        return start_drops(context, scope, requests[:MOST_DROPS_A_TICK])

    return drops


def start_drops(
    context: dg.SensorEvaluationContext,
    scope: Scope,
    requests: Sequence[dg.RunRequest],
    *,
    cursor: str | None = None,
) -> dg.SensorResult:
    """Return a tick's result that starts runs, whose partitions there are from now."""
    # A direct call: returned in the result, partitions cost a write each.
    context.instance.add_dynamic_partitions(
        scope.drops.name or "", [str(request.partition_key) for request in requests]
    )
    return dg.SensorResult(run_requests=requests, cursor=cursor)


def has_room(scope: Scope, identified: IdentifiedZone) -> bool:
    """Say whether as much of the identified zone's disk is free as must be."""
    from imaging_platform.intake.admission import free_bytes

    free = free_bytes(identified.folder(scope.name))
    return free >= scope.study.intake.min_free_bytes


def request_drops(
    scope: Scope,
    identified: IdentifiedZone,
    instance: dg.DagsterInstance,
    *,
    now_s: float,
) -> tuple[list[dg.RunRequest], int]:
    """
    Return a run request for each settled drop, and how many are still settling.

    A drop whose indexing was interrupted is asked for again, and so is one whose
    files wait for labels when the table or the patterns have changed.

    Parameters
    ----------
    scope
        The study.
    identified
        Gives inbox and key.
    instance
        Knows which drops are being indexed now.
    now_s
        The time, in seconds since the epoch.
    """
    from imaging_platform.intake.arrivals import list_arrivals

    arrivals = list_arrivals(
        identified.inbox(scope.name), secret=identified.secret(scope.name)
    )
    requests, growing = request_settled(scope, arrivals, now_s=now_s)
    resumed = _resume_drops(scope, identified, instance, besides=set(requests))
    besides = {str(request.partition_key) for request in resumed} | set(requests)
    labelled = _label_again(scope, identified, besides=besides)
    return [*requests.values(), *resumed, *labelled], growing


def request_settled(
    scope: Scope, arrivals: Iterable["Arrival"], *, now_s: float, source: str = ""
) -> tuple[dict[str, dg.RunRequest], int]:
    """
    Return a run request for each arrival that is whole, and how many still grow.

    Parameters
    ----------
    scope
        The study, with its quiet period.
    arrivals
        What stands in an inbox.
    now_s
        The time, in seconds since the epoch.
    source
        Part of the run key that tells one inbox of the study from another.

    Returns
    -------
    tuple
        Requests by drop, and the number of arrivals that have not settled.
    """
    from imaging_platform.intake.arrivals import arrival_stamp, is_settled

    quiet_s, n_growing = scope.study.intake.quiet_s, 0
    requests: dict[str, dg.RunRequest] = {}
    for arrival in arrivals:
        if is_settled(arrival, now_s=now_s, quiet_s=quiet_s):
            stamp = f"{source}{arrival_stamp(arrival)}"
            requests[arrival.drop_id] = dg.RunRequest(
                run_key=f"{scope.name}:{arrival.drop_id}:{stamp}",
                partition_key=arrival.drop_id,
            )
        elif arrival.n_files > 0:
            n_growing += 1
    return requests, n_growing


def _label_again(
    scope: Scope, identified: IdentifiedZone, *, besides: set[str]
) -> list[dg.RunRequest]:
    from imaging_platform.intake.zone import waiting_drops

    waiting = waiting_drops(identified.folder(scope.name))
    if not waiting:
        return []
    version = naming_version(scope, identified)
    return [
        dg.RunRequest(
            run_key=f"{scope.name}:{drop_id}:labels-{version}", partition_key=drop_id
        )
        for drop_id, tried in waiting.items()
        if tried != version and drop_id not in besides
    ]


def _resume_drops(
    scope: Scope,
    identified: IdentifiedZone,
    instance: dg.DagsterInstance,
    *,
    besides: set[str],
) -> list[dg.RunRequest]:
    from imaging_platform.intake.zone import interrupted_drops

    requests = []
    for drop_id in interrupted_drops(identified.folder(scope.name)):
        tags = {"dagster/partition": drop_id}
        runs = instance.get_runs(dg.RunsFilter(job_name=scope.drop_job, tags=tags))
        alive = any(not run.is_finished for run in runs)
        if drop_id not in besides and not alive and len(runs) <= MOST_ATTEMPTS:
            run_key = f"{scope.name}:{drop_id}:attempt-{len(runs)}"
            requests.append(dg.RunRequest(run_key=run_key, partition_key=drop_id))
    return requests
