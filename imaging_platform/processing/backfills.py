"""Backfills of exactly the results that are wanted, as Dagster's UI shows them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.execution.backfill import (
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.utils import make_new_backfill_id

from imaging_platform.assets.apps import app_tags
from imaging_platform.assets.scope import STUDY_TAG
from imaging_platform.pipeline.names import PROCESSING_PLAN
from imaging_platform.planning.cells import Cell
from imaging_platform.processing.live import LiveSite
from imaging_platform.processing.worker import LAUNCHED_BY, QUIET

REPROCESS = "reprocess"
UNFINISHED = (
    BulkActionStatus.REQUESTED,
    BulkActionStatus.CANCELING,
    BulkActionStatus.FAILING,
)


@dataclass(frozen=True)
class Progress:
    """
    How far a backfill is.

    Parameters
    ----------
    n_done, n_all
        Results that are made or failed, and all that were asked for.
    is_finished
        Whether nothing of it runs any more.
    is_cancelled
        Whether a person stopped it.
    error
        What went wrong with the backfill itself; empty when nothing did.
    """

    n_done: int
    n_all: int
    is_finished: bool
    is_cancelled: bool
    error: str


def launch_backfill(live: LiveSite, cells: Sequence[Cell]) -> str:
    """
    Ask Dagster's daemon for exactly these results and return the backfill's id.

    Results of one session that follow each other are made in one run.
    """
    sessions = sorted({cell.partition for cell in cells if cell.partition})
    if sessions:
        live.instance.add_dynamic_partitions(live.scope.sessions.name or "", sessions)
    wanted = {
        AssetKeyPartitionKey(live.scope.key(cell.asset), cell.partition or None)
        for cell in cells
    }
    tags = {LAUNCHED_BY: REPROCESS, STUDY_TAG: live.scope.name}
    tags |= _tags_of_app(live, cells)
    if not sessions:
        wanted.add(AssetKeyPartitionKey(live.scope.key(PROCESSING_PLAN)))
        # As in the job: what spans all sessions is written by one run at a time.
        tags["imaging/study_level"] = live.scope.cohort_job
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id=make_new_backfill_id(),
        backfill_timestamp=time.time(),
        tags=tags,
        dynamic_partitions_store=live.instance,
        asset_graph_subset=AssetGraphSubset.from_asset_partition_set(
            wanted, live.graph
        ),
        title=f"reprocess {live.scope.name}",
        description=f"{len(cells)} result(s) of {len(sessions)} session(s)",
        run_config=QUIET,
    )
    live.instance.add_backfill(backfill)
    return backfill.backfill_id


def _tags_of_app(live: LiveSite, cells: Sequence[Cell]) -> dict[str, str]:
    """Return the tags of an app's own job, when the backfill is of one app only."""
    assets = {cell.asset for cell in cells}
    apps = [app for app in live.scope.study.apps if app.name in assets]
    return app_tags(apps[0]) if len(assets) == len(apps) == 1 else {}


def find_unfinished(live: LiveSite) -> list[str]:
    """Return the backfills of this study that `reprocess` began and that go on."""
    filters = BulkActionsFilter(statuses=UNFINISHED)
    return [
        backfill.backfill_id
        for backfill in live.instance.get_backfills(filters=filters)
        if backfill.tags.get(LAUNCHED_BY) == REPROCESS
        and backfill.tags.get(STUDY_TAG) == live.scope.name
    ]


def read_progress(live: LiveSite, backfill_id: str) -> Progress:
    """Return how far a backfill is."""
    backfill = live.instance.get_backfill(backfill_id)
    if backfill is None:
        return Progress(0, 0, True, False, "It was removed from Dagster's database.")
    data = backfill.get_asset_backfill_data(live.graph)
    done = data.materialized_subset | data.failed_and_downstream_subset
    is_broken = backfill.status is BulkActionStatus.FAILED
    return Progress(
        done.num_partitions_and_non_partitioned_assets,
        data.target_subset.num_partitions_and_non_partitioned_assets,
        backfill.status not in UNFINISHED,
        backfill.status in (BulkActionStatus.CANCELED, BulkActionStatus.CANCELING),
        (backfill.error.message if backfill.error else "failed") if is_broken else "",
    )
