"""How results stand that span all sessions of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.app_trees import (
    cohort_inputs,
    read_wide_apps,
    tree_name,
)
from imaging_platform.pipeline.names import (
    BIDS_SESSION,
    RATINGS,
    RAW_SESSION,
    sessions_of,
)
from imaging_platform.pipeline.stages import Per
from imaging_platform.planning.cells import (
    MOVING,
    Cell,
    Facts,
    find_ancestors,
    judge_partition,
)
from imaging_platform.planning.ratings import digest_ratings, find_ratings
from imaging_platform.planning.state import Made
from imaging_platform.survey.attempts import read_attempts
from imaging_platform.survey.history import read_makings
from imaging_platform.survey.site import Makings, Site

Versions = dict[str, dict[str, str]]
"""Data version of results, by asset and session."""


def judge_cohort(site: Site, made: Makings, cells: Sequence[Cell]) -> list[Cell]:
    """Return the state of what spans all sessions; nothing while there is none."""
    facts = gather_cohort(site, made, cells)
    if facts is None:
        return []
    nodes = site.nodes(Per.STUDY)
    return judge_partition(nodes, site.parents, facts, site.decisions)


def gather_cohort(
    site: Site, made: Makings, cells: Sequence[Cell] = ()
) -> Facts | None:
    """
    Return what is known of what spans all sessions; None while there is no session.

    What spans them reads their trees: a session that a person removed from disk is
    no input, although the event log still tells of it. Where no tree at all is on
    this disk, the event log is believed.
    """
    told = {
        asset: {key: one.data_version for key, one in found.items() if key}
        for asset, found in made.items()
        if asset != RAW_SESSION
    }
    if not any(told.values()):
        return None
    versions = _keep_standing(site, told)
    names = [node.asset for node in site.nodes(Per.STUDY)]
    makings = read_makings(site.database, site.study.name, names)
    current = {a: found[None] for a, found in makings.items() if None in found}
    attempts = read_attempts(site.database, site.study.name, names)
    return Facts(
        "",
        current,
        {asset: _find_inputs(site, asset, versions, current) for asset in names},
        {asset: found[""] for asset, found in attempts.items() if "" in found},
        moving={cell.asset for cell in cells if cell.state in MOVING},
    )


def _keep_standing(site: Site, told: Versions) -> Versions:
    """Return the versions of what has a tree on disk."""
    root, study = str(site.store.root), site.study
    trees = {asset: tree_name(study, asset) for asset in told}
    keys = {key: SessionKey.parse(key) for key in set().union(*told.values())}
    standing = {
        asset: {
            key: version
            for key, version in found.items()
            # A Path each would take a second of a plan of thousands.
            if os.access(
                f"{root}/{layout.session_tree(study.name, trees[asset], keys[key])}",
                os.F_OK,
            )
        }
        for asset, found in told.items()
    }
    if any(standing.values()):
        return standing
    # No tree of a session is on this disk: a partition that a person removed
    # is gone all the same.
    there = _read_partitions(site)
    return {
        asset: {key: version for key, version in found.items() if key in there}
        for asset, found in told.items()
    }


def _read_partitions(site: Site) -> set[str]:
    """Return the sessions that are partitions now."""
    question = "SELECT partition FROM dynamic_partitions WHERE partitions_def_name = ?"
    with site.database.events() as connection:
        rows = connection.ask(question, [sessions_of(site.study.name)])
        return {partition for (partition,) in rows}


def _find_inputs(
    site: Site, asset: str, versions: Versions, current: Mapping[str, Made]
) -> dict[str, str]:
    """Return the versions of what an asset of the whole study is made from, as now."""
    sessions = versions.get(BIDS_SESSION, {})
    apps = {app.name: app for app in site.study.apps if app.level != "session"}
    if asset in apps:
        home = Home(site.store.root)
        return cohort_inputs(home, site.study.name, apps[asset], sessions)
    if asset == "catalog":
        of_sessions = find_ancestors(site.parents, asset)
        ratings = digest_ratings(find_ratings(site.decisions, sessions))
        others = {RATINGS: ratings} if ratings else {}
        others |= read_wide_apps(site.store, site.study)
    elif asset == "bids_dataset":
        of_sessions, others = {BIDS_SESSION}, {}
    elif asset == "study_report":
        of_sessions, parents = set[str](), ("catalog", "bids_dataset")
        others = {p: current[p].data_version for p in parents if p in current}
    else:
        of_sessions = set(site.parents[asset])
        others = {p: current[p].data_version for p in of_sessions if p in current}
    return others | {
        f"{name}[{key}]": version
        for name in of_sessions
        for key, version in versions.get(name, {}).items()
    }
