"""What is out of date is made again by itself; off until a person switches it on."""

from __future__ import annotations

from collections.abc import Sequence
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

    from imaging_platform.survey.site import Site

INTERVAL_S = 60
MOST_RUNS_A_TICK = 50


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
        requests = request_stale(site, position)
        return dg.SensorResult(run_requests=requests, cursor=position)

    return reprocess_stale


def find_position(scope: Scope, instance: dg.DagsterInstance) -> str:
    """Return a position that moves with each event of the log and with the study."""
    newest = instance.event_log_storage.get_maximum_record_id() or 0
    return f"{newest}:{digest_json(scope.study.model_dump(mode='json'))[:12]}"


def request_stale(site: Site, position: str) -> list[dg.RunRequest]:
    """
    Return a run for each of the next sessions in which something is stale.

    Nothing that failed or is held is asked for again. The whole study comes when no
    session is left.

    Parameters
    ----------
    position
        As `find_position`; what is asked for twice at one position runs once.
    """
    from imaging_platform.planning.cells import State
    from imaging_platform.planning.plan import (
        Choice,
        choose_frontier,
        without_followers,
    )
    from imaging_platform.survey.study import survey_study

    scope = Scope(site.study)
    plan = survey_study(site).plan
    chosen: dict[tuple[str, str], list[dg.AssetKey]] = {}
    ready = choose_frontier(plan, Choice(frozenset({State.STALE})))
    for cell in without_followers(ready, site.parents, scope.apps):
        job = scope.job_of(cell.asset, cell.partition)
        chosen.setdefault((job, cell.partition), []).append(scope.key(cell.asset))
    return [
        dg.RunRequest(
            run_key=f"{job}:{partition or 'cohort'}:stale:{position}",
            job_name=job,
            partition_key=partition or None,
            asset_selection=keys,
        )
        for (job, partition), keys in list(chosen.items())[:MOST_RUNS_A_TICK]
    ]
