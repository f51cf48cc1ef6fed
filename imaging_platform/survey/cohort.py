"""How results stand that span all sessions of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from imaging_platform.assets.apps import cohort_inputs
from imaging_platform.assets.bids import BIDS_SESSION
from imaging_platform.assets.catalog import RATINGS
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
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


def judge_cohort(site: Site, made: Makings, cells: Sequence[Cell]) -> list[Cell]:
    """
    Return the state of what spans all sessions; nothing while there is none.

    What spans them reads their trees: a session that a person removed from disk is
    no input, although the event log still tells of it. Where no tree at all is on
    this disk, the event log is believed.
    """
    told = {
        f"{asset}[{key}]": one.data_version
        for asset, found in made.items()
        if asset != "raw_session"
        for key, one in found.items()
    }
    versions = _find_standing(site, made)
    if not versions:
        # No tree of a session is on this disk: a partition that a person removed
        # is gone all the same.
        there = set(
            site.instance.get_dynamic_partitions(site.scope.sessions.name or "")
        )
        versions = {n: v for n, v in told.items() if _partition_of(n) in there}
    collected = find_ancestors(site.parents, "catalog")
    if not told:
        return []
    nodes = site.nodes(None)
    names = [node.asset for node in nodes]
    makings = read_makings(site.instance, site.scope, names)
    current = {a: found[None] for a, found in makings.items() if None in found}
    sessions = {
        name: version
        for name, version in versions.items()
        if name.startswith(f"{BIDS_SESSION}[")
    }
    report = {
        asset: current[asset].data_version
        for asset in ("catalog", "bids_dataset")
        if asset in current
    }
    attempts = read_attempts(site.instance, site.scope, names)
    rated = _versions_of(sessions)
    ratings = digest_ratings(find_ratings(site.decisions, rated))
    cataloged = {n: v for n, v in versions.items() if _asset_of(n) in collected}
    cataloged |= {RATINGS: ratings} if ratings else {}
    home = Home(site.store.root)
    of_apps = {
        app.name: cohort_inputs(home, site.scope.name, app, rated)
        for app in site.scope.study.apps
        if app.level != "session"
    }
    facts = Facts(
        "",
        current,
        {
            **{
                node.asset: _own_inputs(site, node.asset, versions, current)
                for node in nodes
            },
            "catalog": cataloged,
            "bids_dataset": sessions,
            "study_report": report,
            **of_apps,
        },
        {asset: found[""] for asset, found in attempts.items() if "" in found},
        moving={cell.asset for cell in cells if cell.state in MOVING},
    )
    return judge_partition(nodes, site.parents, facts, site.decisions)


def _find_standing(site: Site, made: Makings) -> dict[str, str]:
    """Return the version of each result that was made and has a tree on disk."""
    root, study = str(site.store.root), site.scope.name
    keys = {
        key: SessionKey.parse(key) for found in made.values() for key in found if key
    }
    return {
        f"{asset}[{text}]": one.data_version
        for asset, found in made.items()
        if asset != "raw_session"
        for text, one in found.items()
        # A Path each would take a second of a plan of thousands.
        if text
        and os.access(
            f"{root}/{layout.session_tree(study, asset, keys[text])}", os.F_OK
        )
    }


def _own_inputs(
    site: Site,
    asset: str,
    versions: Mapping[str, str],
    current: Mapping[str, Made],
) -> dict[str, str]:
    """Return the versions of what an asset of the whole study stands behind."""
    parents = site.parents[asset]
    of_sessions = {n: v for n, v in versions.items() if _asset_of(n) in parents}
    return of_sessions | {p: current[p].data_version for p in parents if p in current}


def _asset_of(result: str) -> str:
    return result.partition("[")[0]


def _partition_of(result: str) -> str:
    return result.rstrip("]").partition("[")[2]


def _versions_of(results: Mapping[str, str]) -> dict[str, str]:
    """Return versions by session, of results named ``asset[session]``."""
    return {_partition_of(name): version for name, version in results.items()}
