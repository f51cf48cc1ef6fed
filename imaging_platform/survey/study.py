"""The plan of a study, from Dagster's event log, the stores and people's decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from imaging_platform.model.layout import Home, app_dataset_name
from imaging_platform.pipeline.names import (
    ANONYMIZED_DICOM,
    BIDS_SESSION,
    RAW_SESSION,
)
from imaging_platform.planning.cells import Cell, Facts, judge_partition
from imaging_platform.planning.pausing import uncollected
from imaging_platform.planning.plan import Plan
from imaging_platform.planning.releases import Release, find_releases
from imaging_platform.survey.cohort import gather_cohort, judge_cohort
from imaging_platform.survey.history import read_costs
from imaging_platform.survey.sessions import gather_sessions, read_log
from imaging_platform.survey.site import Makings, Site

NOT_RUN = (RAW_SESSION, ANONYMIZED_DICOM, BIDS_SESSION)
"""Assets that an imported session does not have, or that the import itself made."""


@dataclass(frozen=True)
class Survey:
    """
    A plan, and what else was learned on the way.

    Parameters
    ----------
    plan
        The state of every result.
    members
        Digest of the files of each session; of an imported one, of its content.
    """

    plan: Plan
    members: Mapping[str, str]


def survey_study(site: Site, session: str | None = None) -> Survey:
    """
    Return the state of every result of a study; nothing is changed.

    Parameters
    ----------
    site
        The study.
    session
        Only this session and nothing of the whole study; all when None.
    """
    with uncollected():
        return _survey(site, session)


def _survey(site: Site, session: str | None) -> Survey:
    log = read_log(site, session)
    cells: list[Cell] = []
    for facts in gather_sessions(site, log):
        is_imported = facts.partition not in log.members
        nodes = [n for n in log.nodes if not is_imported or n.asset not in NOT_RUN]
        cells += judge_partition(nodes, site.parents, facts, site.decisions)
    if session is None:
        cells += judge_cohort(site, log.made, cells)
    plan = Plan(
        site.study.name,
        tuple(cells),
        frozen=site.decisions.frozen or "",
        releases=_find_releases(site, log.made) if session is None else (),
    )
    return Survey(plan, log.known)


def _find_releases(site: Site, made: Makings) -> tuple[Release, ...]:
    home, study = site.store.root, site.study.name
    if not Home(home).release_versions(study):
        return ()
    names = {
        app.name: app_dataset_name(app.name, app.version) for app in site.study.apps
    }
    versions = {
        f"{names.get(asset, asset)}[{key}]": one.data_version
        for asset, found in made.items()
        for key, one in found.items()
    }
    return find_releases(home, study, site.decisions, versions)


def read_facts(site: Site, session: str) -> Facts | None:
    """
    Return what is known of all results of a session; None when there is none.

    Parameters
    ----------
    session
        Empty for what spans all sessions.
    """
    if not session:
        return gather_cohort(site, read_log(site, None).made)
    return next(gather_sessions(site, read_log(site, session)), None)


def add_costs(site: Site, plan: Plan) -> Plan:
    """Return the plan with what each asset has cost before."""
    assets = dict.fromkeys(cell.asset for cell in plan.cells)
    return replace(plan, costs=read_costs(site.database, site.study.name, assets))
