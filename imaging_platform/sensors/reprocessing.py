"""What is out of date is made again by itself; off until a person switches it on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.files.digests import digest_json
from imaging_platform.pipeline.stages import Outline
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import PublishedZone

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

    from imaging_platform.planning.plan import Plan
    from imaging_platform.survey.site import Site

Result = tuple[str, str]
"""Name of an asset and a session; the session is empty for the whole study."""

INTERVAL_S = 60
MOST_RUNS_A_TICK = 50
MOST_ATTEMPTS = 2
"""A run whose machine died is worth a second try; one that its memory kills is not."""

STALE_TAG = "imaging/stale"
"""Tag of a run that the sensor asked for: a digest of what is stale, and why."""

VAIN = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def make_reprocess_sensor(
    scope: Scope, outline: Outline, jobs: Sequence[UnresolvedAssetJobDefinition]
) -> dg.SensorDefinition:
    """
    Return the sensor that brings a study up to date.

    Parameters
    ----------
    scope, outline
        The study and its stages.
    jobs
        The one of a session, the one of the whole study, and those of apps.
    """

    @dg.sensor(
        name=f"{scope.name}_reprocess_stale",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Makes what is out of date again, a bounded number of runs a tick.",
    )
    def reprocess_stale(
        context: dg.SensorEvaluationContext, published: PublishedZone
    ) -> dg.SensorResult | dg.SkipReason:
        from imaging_platform.survey.site import Site

        position = find_position(scope, context.instance)
        # An acceptance or a thaw is no event of the log.
        position = f"{position}:{published.count_decisions(scope.name)}"
        if position == context.cursor:
            return dg.SkipReason("Nothing happened since.")
        site = Site(outline, find_database(context.instance), published.store())
        requests = request_stale(site, context.instance, position)
        return dg.SensorResult(run_requests=requests, cursor=position)

    return reprocess_stale


def find_position(scope: Scope, instance: dg.DagsterInstance) -> str:
    """Return a position that moves with each event of the log and with the study."""
    newest = instance.event_log_storage.get_maximum_record_id() or 0
    return f"{newest}:{digest_json(scope.study.model_dump(mode='json'))[:12]}"


def request_stale(
    site: Site, instance: dg.DagsterInstance, position: str
) -> list[dg.RunRequest]:
    """
    Return a run for each of the next sessions in which something is stale.

    Nothing that failed or is held is asked for again, and nothing a third time for
    the same reasons when its runs were interrupted. The whole study comes when no
    session is left.

    Parameters
    ----------
    instance
        Knows the runs that were asked for before.
    position
        As `find_position`; what is asked for twice at one position runs once.
    """
    from imaging_platform.survey.study import survey_study

    plan = survey_study(site).plan
    requests, besides = _find_next(site, plan, position, frozenset()), set[Result]()
    # What comes to nothing keeps the whole study from nothing.
    while vain := _find_vain(instance, requests):
        besides |= vain
        requests = _find_next(site, plan, position, besides)
    return requests[:MOST_RUNS_A_TICK]


def _find_next(
    site: Site, plan: Plan, position: str, besides: Collection[Result]
) -> list[dg.RunRequest]:
    from imaging_platform.planning.cells import Cell, State
    from imaging_platform.planning.plan import (
        Choice,
        choose_frontier,
        without_followers,
    )

    scope = Scope(site.study)
    chosen: dict[tuple[str, str], list[Cell]] = {}
    ready = choose_frontier(plan, Choice(frozenset({State.STALE})), besides)
    for cell in without_followers(ready, site.parents, scope.apps):
        job = scope.job_of(cell.asset, cell.partition)
        chosen.setdefault((job, cell.partition), []).append(cell)
    return [
        dg.RunRequest(
            run_key=f"{job}:{partition or 'cohort'}:stale:{position}",
            job_name=job,
            partition_key=partition or None,
            asset_selection=[scope.key(cell.asset) for cell in cells],
            tags={STALE_TAG: digest_json([dataclasses.asdict(c) for c in cells])},
        )
        for (job, partition), cells in chosen.items()
    ]


def _find_vain(
    instance: dg.DagsterInstance, requests: Sequence[dg.RunRequest]
) -> set[Result]:
    """Return what was asked for often enough for the same reasons."""
    if not requests:
        return set()
    digests = [each.tags[STALE_TAG] for each in requests]
    filters = dg.RunsFilter(tags={STALE_TAG: digests}, statuses=VAIN)
    times = Counter(run.tags[STALE_TAG] for run in instance.get_runs(filters))
    return {
        (key.path[-1], each.partition_key or "")
        for each in requests
        if times[each.tags[STALE_TAG]] >= MOST_ATTEMPTS
        for key in each.asset_selection or ()
    }
