"""What is made from a BIDS App follows when all that it needs is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.pipeline.stages import Outline
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import PublishedZone

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

    from imaging_platform.survey.study import Site

INTERVAL_S = 30
MOST_EVENTS_A_TICK = 20

Followers = Mapping[str, Sequence[str]]
"""Names of assets that an app stands before, each with what it needs."""


def make_followers_sensor(
    scope: Scope,
    outline: Outline,
    followers: Followers,
    jobs: Sequence[UnresolvedAssetJobDefinition],
) -> dg.SensorDefinition:
    """
    Return the sensor that follows what notebooks need that need an app.

    An app has runs of its own, so that the run of a session cannot hold them.

    Parameters
    ----------
    scope, outline
        The study and its stages.
    followers
        These notebooks.
    jobs
        The one of a session and the one of the whole study.
    """

    @dg.sensor(
        name=f"{scope.name}_followers",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs notebooks that need a BIDS App when all they need is made.",
    )
    def following(
        context: dg.SensorEvaluationContext, published: PublishedZone
    ) -> dg.SensorResult | dg.SkipReason:
        from imaging_platform.survey.study import Site

        if frozen := published.frozen(scope.name):
            return dg.SkipReason(f"The study is {frozen}.")
        instance = context.instance
        site = Site(outline, find_database(instance), published.store())
        requests, cursor = request_followers(
            site, instance, followers, cursor=context.cursor
        )
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return following


def request_followers(
    site: Site,
    instance: dg.DagsterInstance,
    followers: Followers,
    *,
    cursor: str | None,
) -> tuple[list[dg.RunRequest], str | None]:
    """
    Return runs of the followers that can be made since, and where to go on.

    Parameters
    ----------
    site, instance
        The study and the Dagster that works on it.
    followers
        Notebooks that need an app.
    cursor
        Storage id of the last event that was seen to, None for the beginning.
    """
    scope = Scope(site.study)
    needs = {need for needed in followers.values() for need in needed}
    events = _next_events(scope, instance, sorted(needs), after=int(cursor or 0))
    newest = {event.partition_key or "": event.storage_id for event in events}
    requests = [
        dg.RunRequest(
            run_key=f"{job}:{partition or 'cohort'}:followers:{storage_id}",
            job_name=job,
            partition_key=partition or None,
            asset_selection=[scope.key(asset) for asset in ready],
        )
        for partition, storage_id in newest.items()
        if (ready := _find_ready(site, followers, partition))
        for job in [scope.job_of(ready[0], partition)]
    ]
    return requests, str(events[-1].storage_id) if events else cursor


def _next_events(
    scope: Scope, instance: dg.DagsterInstance, assets: Sequence[str], *, after: int
) -> list[dg.EventLogRecord]:
    """Return the next materializations of some assets, in order, with no gap."""
    events: list[dg.EventLogRecord] = []
    ends: list[int] = []
    for asset in assets:
        page = instance.fetch_materializations(
            dg.AssetRecordsFilter(scope.key(asset), after_storage_id=after),
            limit=MOST_EVENTS_A_TICK,
            ascending=True,
        )
        events += page.records
        if len(page.records) == MOST_EVENTS_A_TICK:
            ends.append(page.records[-1].storage_id)
    end = min(ends, default=None)
    seen = [event for event in events if end is None or event.storage_id <= end]
    return sorted(seen, key=lambda event: event.storage_id)


def _find_ready(site: Site, followers: Followers, partition: str) -> list[str]:
    """Return the followers in a partition that can be made, all they need being so."""
    from imaging_platform.planning.cells import State
    from imaging_platform.survey.study import survey_study

    plan = survey_study(site, partition or None).plan
    cells = [cell for cell in plan.cells if cell.partition == partition]
    fresh = {cell.asset for cell in cells if cell.state is State.FRESH}
    return [
        cell.asset
        for cell in cells
        if cell.is_ready
        and cell.state is not State.RUNNING
        and fresh.issuperset(followers.get(cell.asset, [cell.asset]))
    ]
