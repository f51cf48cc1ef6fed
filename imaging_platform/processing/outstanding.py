"""What is left to run in a study: drops, then sessions, then the cohort."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.pipeline.names import PROCESSING_PLAN
from imaging_platform.pipeline.stages import Outline
from imaging_platform.planning.cells import Cell
from imaging_platform.planning.plan import without_followers
from imaging_platform.planning.reasons import join_sentences
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.sensors.apps import app_run_key
from imaging_platform.sensors.buckets import request_bucket_drops
from imaging_platform.sensors.cohort import cohort_run_key, newest_report
from imaging_platform.sensors.drops import request_drops
from imaging_platform.sensors.sessions import session_run_key
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.describing import describe
from imaging_platform.survey.site import Site
from imaging_platform.survey.study import Survey, survey_study

RUN_APP = "run_"
"""Before the name of a BIDS App: its job without the study."""


@dataclass(frozen=True)
class Order:
    """
    One run to start.

    Parameters
    ----------
    study
        Name of the study.
    job
        Name of the job without the study: ``index_drop``, ``process_session``,
        ``summarize_cohort``, or ``run_`` and the name of a BIDS App.
    partition
        Drop or session; empty for the cohort.
    reasons
        Why each asset must run, by asset name; empty: the whole job.
    run_key
        The key that the sensor of this job gives the run, so that a daemon which
        is started later does not start it again.
    """

    study: str
    job: str
    partition: str
    reasons: Mapping[str, str]
    run_key: str

    @property
    def name(self) -> str:
        """What the run is about, for people."""
        return self.partition or "whole study"


def find_drop_orders(
    scope: Scope, instance: dg.DagsterInstance, identified: IdentifiedZone
) -> tuple[list[Order], int]:
    """Return runs for settled drops, and how many drops are still settling."""
    requests, waiting = request_drops(scope, identified, instance, now_s=time.time())
    fetched, _ = request_bucket_drops(
        scope, identified, first=0, most=sys.maxsize, now_s=time.time()
    )
    requests += fetched
    orders = [
        Order(scope.name, "index_drop", str(r.partition_key), {}, r.run_key or "")
        for r in requests
    ]
    return orders, waiting


def find_session_orders(
    outline: Outline,
    instance: dg.DagsterInstance,
    identified: IdentifiedZone,
    store: LocalStore,
) -> list[Order]:
    """
    Return a run for each session in which something is missing or out of date.

    A session of an existing dataset begins with its BIDS tree: nothing before that
    is missing, and only the import itself makes it anew.

    Parameters
    ----------
    outline
        The study and its stages.
    instance
        Its event log says what is made.
    identified
        Knows which series a person let through the gate.
    store
        Holds what the sessions consisted of, for the policy and rules of today.
    """
    released = identified.released_versions(outline.study.name)
    site = Site(outline, find_database(instance), store, released)
    return list_orders(site, survey_study(site), instance)[0]


def find_cohort_orders(
    outline: Outline, instance: dg.DagsterInstance, store: LocalStore
) -> list[Order]:
    """Return the run that brings dataset, catalog and study report up to date."""
    site = Site(outline, find_database(instance), store)
    return list_orders(site, survey_study(site), instance)[1]


def list_orders(
    site: Site, survey: Survey, instance: dg.DagsterInstance
) -> tuple[list[Order], list[Order]]:
    """Return the runs of all that a survey found ready: sessions, whole study."""
    scope = Scope(site.study)
    name, apps = scope.name, scope.apps
    ready = without_followers(
        (cell for cell in survey.plan.cells if cell.is_ready), site.parents, apps
    )
    own = [cell for cell in ready if cell.asset not in apps]
    of_apps = [_order_app(site, cell) for cell in ready if cell.asset in apps]
    sessions = [
        Order(
            name,
            "process_session",
            key,
            _explain(site, cells),
            session_run_key(scope, key, survey.members[key]),
        )
        for key, cells in itertools.groupby(
            (cell for cell in own if cell.partition), key=lambda cell: cell.partition
        )
    ]
    sessions += [order for order in of_apps if order.partition]
    cohort = [order for order in of_apps if not order.partition]
    reasons = _explain(site, (cell for cell in own if not cell.partition))
    if not reasons:
        return sessions, cohort
    reasons[PROCESSING_PLAN] = "follows the others"
    run_key = cohort_run_key(scope, newest_report(scope, instance) or 0)
    return sessions, [Order(name, "summarize_cohort", "", reasons, run_key), *cohort]


def _order_app(site: Site, cell: Cell) -> Order:
    """Return the run of one app; in a run of its own it holds up nothing else."""
    version = ""
    if cell.partition:
        key = SessionKey.parse(cell.partition)
        record = site.store.read(layout.bids_session(site.study.name, key))
        version = record.data_version if record else ""
    return Order(
        site.study.name,
        f"{RUN_APP}{cell.asset}",
        cell.partition,
        _explain(site, [cell]),
        app_run_key(Scope(site.study), cell.asset, cell.partition, version),
    )


def _explain(site: Site, cells: Iterable[Cell]) -> dict[str, str]:
    return {c.asset: join_sentences(describe(site, c).reasons) for c in cells}
