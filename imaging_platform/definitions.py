"""What Dagster loads: the assets, checks, jobs and sensors of every study."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.assets.apps import app_tags, make_app_assets
from imaging_platform.assets.bids import make_bids_assets
from imaging_platform.assets.catalog import make_catalog_assets
from imaging_platform.assets.derivatives import make_derivative_assets
from imaging_platform.assets.dicom import make_dicom_assets
from imaging_platform.assets.held import make_held_check, make_held_spec
from imaging_platform.assets.intake import make_intake_assets
from imaging_platform.assets.notebooks import make_notebook_assets
from imaging_platform.assets.plan import make_plan_assets
from imaging_platform.assets.quality import make_quality_assets
from imaging_platform.assets.reports import make_report_assets
from imaging_platform.assets.scope import Scope
from imaging_platform.model.layout import TO_BIDS, Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.pipeline.stages import Outline
from imaging_platform.planning.plan import Plan
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import EchoGuard, IdentifiedZone, PublishedZone
from imaging_platform.sensors.apps import make_apps_sensor
from imaging_platform.sensors.buckets import make_bucket_sensor
from imaging_platform.sensors.cohort import make_cohort_sensor
from imaging_platform.sensors.drops import make_drops_sensor
from imaging_platform.sensors.followers import Followers, make_followers_sensor
from imaging_platform.sensors.imports import make_imports_sensor
from imaging_platform.sensors.reprocessing import make_reprocess_sensor
from imaging_platform.sensors.sessions import make_sessions_sensor
from imaging_platform.settings import (
    DEMO_STUDY,
    Study,
    find_home,
    find_reports_url,
    load_study,
)
from imaging_platform.storage.local import LocalStore

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )


def define_study(study: Study, notebooks: Sequence[Path] = ()) -> dg.Definitions:
    """
    Return assets, jobs and sensors of one study.

    Parameters
    ----------
    study
        The study.
    notebooks
        Folders of the notebooks that become assets.
    """
    scope, outline = Scope(study), outline_study(study, notebooks)
    read_plan = functools.partial(_read_plan, outline)
    assets = [
        *make_intake_assets(scope, outline),
        *make_dicom_assets(scope, outline),
        *make_bids_assets(scope, outline),
        *make_derivative_assets(scope, outline),
        *make_quality_assets(scope, outline),
        *make_report_assets(scope, outline),
        *make_catalog_assets(scope, outline),
        *make_plan_assets(scope, outline, read_plan),
    ]
    apps = {asset.key.path[-1]: asset for asset in make_app_assets(scope, outline)}
    pages = make_notebook_assets(scope, outline)
    followers = _find_followers(pages, [*assets, *apps.values()], scope.apps)
    assets += pages
    of_apps = [
        _define_job(scope.app_job(app.name), [apps[app.name]], tags=app_tags(app))
        for app in study.apps
    ]
    drops, sessions, cohort = (
        _define_job(scope.drop_job, _with(assets, scope.drops)),
        _define_job(scope.session_job, _with(assets, scope.sessions)),
        _define_job(
            scope.cohort_job,
            _with(assets, None),
            tags={"imaging/study_level": scope.cohort_job},
        ),
    )
    return dg.Definitions(
        assets=[*assets, make_held_spec(scope), *apps.values()],
        asset_checks=[make_held_check(scope)],
        jobs=[drops, sessions, cohort, *of_apps],
        sensors=[
            make_drops_sensor(scope),
            *([make_bucket_sensor(scope)] if scope.study.s3_inbox.bucket else []),
            make_sessions_sensor(scope, _choose(assets, scope.sessions, followers)),
            make_imports_sensor(scope, _after_bids(assets, scope, followers)),
            make_cohort_sensor(scope, _choose(assets, None, followers)),
            make_reprocess_sensor(scope, outline, [sessions, cohort, *of_apps]),
            *([make_apps_sensor(scope, of_apps)] if of_apps else []),
            *(
                [make_followers_sensor(scope, outline, followers, [sessions, cohort])]
                if followers
                else []
            ),
        ],
    )


def _read_plan(
    outline: Outline, instance: dg.DagsterInstance, store: LocalStore
) -> Plan:
    """Return the plan of a study, for the asset that shows it."""
    from imaging_platform.survey.describing import describe_some
    from imaging_platform.survey.site import Site
    from imaging_platform.survey.study import add_costs, survey_study

    site = Site(outline, find_database(instance), store)
    return add_costs(site, describe_some(site, survey_study(site).plan))


def _with(
    assets: Sequence[dg.AssetsDefinition], partitions: dg.PartitionsDefinition | None
) -> list[dg.AssetsDefinition]:
    return [asset for asset in assets if asset.partitions_def == partitions]


def _after_bids(
    assets: Sequence[dg.AssetsDefinition], scope: Scope, followers: Followers
) -> list[dg.AssetKey]:
    """Return what a session still needs that came in as a BIDS tree."""
    own = [asset.key for asset in _with(assets, scope.sessions)]
    return [key for key in own if key.path[-1] not in {*TO_BIDS, *followers}]


def _find_followers(
    pages: Sequence[dg.AssetsDefinition],
    others: Sequence[dg.AssetsDefinition],
    apps: AbstractSet[str],
) -> Followers:
    """
    Return the notebooks that cannot run before an app of the same partition.

    What a notebook about the study reads of sessions is there or not: of them it
    waits for nothing.
    """
    partitions = {asset.key: asset.partitions_def for asset in others}
    needs = {
        page.key.path[-1]: [
            key.path[-1]
            for key in page.dependency_keys
            if partitions[key] == page.partitions_def
        ]
        for page in pages
    }
    return {name: own for name, own in needs.items() if not apps.isdisjoint(own)}


def _choose(
    assets: Sequence[dg.AssetsDefinition],
    partitions: dg.PartitionsDefinition | None,
    followers: Followers,
) -> list[dg.AssetKey] | None:
    """Return what a sensor runs of a job at once; None for all of it."""
    own = [asset.key for asset in _with(assets, partitions)]
    chosen = [key for key in own if key.path[-1] not in followers]
    return chosen if len(chosen) < len(own) else None


def _define_job(
    name: str,
    assets: Sequence[dg.AssetsDefinition],
    *,
    tags: Mapping[str, str] | None = None,
) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*assets),
        # One process a run: starting one a step costs more than most steps.
        executor_def=dg.in_process_executor,
        tags=dict(tags or {}),
    )


def define_home(home: Home, names: Sequence[str] = ()) -> dg.Definitions:
    """
    Return the definitions of every study of a home.

    A home without a study shows the pipeline of the demo study, so that the
    graph can be read before anything is there.

    Parameters
    ----------
    home
        The home.
    names
        Only these studies; all when empty.
    """
    studies = [load_study(home, name) for name in names or home.studies()]
    resources = {
        "identified": IdentifiedZone(home=str(home.root)),
        "echo_guard": EchoGuard(home=str(home.root)),
        "published": PublishedZone(home=str(home.root), reports_url=find_reports_url()),
    }
    return dg.Definitions.merge(
        *(define_study(s, home.notebooks(s.name)) for s in studies or [DEMO_STUDY]),
        # For runs of a backfill, which belong to no job of ours.
        dg.Definitions(resources=resources, executor=dg.in_process_executor),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return what Dagster loads, from the home that ``IMAGING_HOME`` names."""
    return define_home(find_home())
