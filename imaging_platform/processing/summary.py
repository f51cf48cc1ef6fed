"""The state of a study in two tables: its sessions, and the time of each stage."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.catalog.collecting import collect_records
from imaging_platform.catalog.rows import SessionRow
from imaging_platform.catalog.tables import metric_rows, session_rows
from imaging_platform.model.layout import Home
from imaging_platform.planning.ratings import read_ratings
from imaging_platform.qc.cohort import judge_cohort
from imaging_platform.settings import load_study


@dataclass(frozen=True)
class StageTime:
    """
    How long one asset took, over its latest materializations.

    Parameters
    ----------
    asset
        Name of the asset.
    n_runs
        Over how many materializations.
    mean_s, longest_s
        Wall-clock time in seconds.
    """

    asset: str
    n_runs: int
    mean_s: float
    longest_s: float


@dataclass(frozen=True)
class Summary:
    """
    A study at a glance.

    Parameters
    ----------
    study
        Name of the study.
    sessions
        A row a session.
    times
        A row an asset, in the order of the pipeline.
    """

    study: str
    sessions: tuple[SessionRow, ...]
    times: tuple[StageTime, ...]


def summarize(home: Home, name: str) -> Summary:
    """Return the summary of a study from its published trees and Dagster's log."""
    from imaging_platform.definitions import define_home

    scope = Scope(load_study(home, name))
    graph = define_home(home).resolve_asset_graph()
    keys = [key for key in graph.toposorted_asset_keys if key.path[0] == name]
    with dg.DagsterInstance.get() as instance:
        times = tuple(
            StageTime(key.path[-1], len(s), statistics.fmean(s), max(s))
            for key in keys
            if (s := _durations_s(instance, scope, key))
        )
    records = collect_records(home.root, name, scope.study.pipelines)
    ratings = read_ratings(home.root, name, records)
    cohort = judge_cohort(metric_rows(records), scope.study.cohort)
    return Summary(name, tuple(session_rows(records, ratings, cohort)), times)


def _durations_s(
    instance: dg.DagsterInstance, scope: Scope, key: dg.AssetKey
) -> list[float]:
    latest: dict[str | None, float] = {}
    step = "__".join(key.path)
    for record in instance.fetch_materializations(key, limit=100).records:
        if record.partition_key in latest:
            continue
        for stats in instance.get_run_step_stats(record.run_id, [step]):
            if stats.start_time and stats.end_time:
                latest[record.partition_key] = stats.end_time - stats.start_time
    return list(latest.values())
