"""The plan of a study, from Dagster's event log, the stores and people's decisions."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.apps.edits import EDITS_INPUT, edits_version
from imaging_platform.assets.apps import cohort_inputs
from imaging_platform.assets.bids import BIDS_SESSION
from imaging_platform.assets.catalog import RATINGS
from imaging_platform.assets.dicom import ANONYMIZED_DICOM
from imaging_platform.assets.scope import VERSION_PARTS, Scope
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home, app_dataset_name
from imaging_platform.model.rating import Rating
from imaging_platform.planning.cells import (
    MOVING,
    Cell,
    Decisions,
    Facts,
    find_ancestors,
    judge_partition,
)
from imaging_platform.planning.decisions import read_decisions
from imaging_platform.planning.pausing import uncollected
from imaging_platform.planning.plan import Plan
from imaging_platform.planning.ratings import digest_ratings, find_ratings
from imaging_platform.planning.reasons import DECIDED, Reason, name_some
from imaging_platform.planning.releases import Release, find_releases
from imaging_platform.planning.state import Made, Node
from imaging_platform.provenance.record import ATTACHMENTS, EXISTING_DATASET
from imaging_platform.storage.local import LocalStore
from imaging_platform.storage.proof import UNDER_WAY
from imaging_platform.survey.attempts import Attempts, read_attempts
from imaging_platform.survey.history import read_costs, read_makings, read_members
from imaging_platform.survey.policies import PolicyWatch
from imaging_platform.survey.rules import RuleWatch

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

PROCESSING_PLAN = "processing_plan"
RELEASED_INPUT = "released"
NOT_RUN = ("raw_session", ANONYMIZED_DICOM, BIDS_SESSION)
"""Assets that an imported session does not have, or that the import itself made."""

MOST_DESCRIBED = 200
"""Each needs the record of its session; all of one kind read much alike."""

Makings = Mapping[str, Mapping[str | None, Made]]


@dataclass(frozen=True)
class Site:
    """
    A study and all that knows how it stands.

    Parameters
    ----------
    scope, graph
        The study and its assets.
    instance
        Its event log says what is made.
    store
        Holds what the sessions consisted of, for the policy and rules of today.
    released
        Version of what a person let through the gate, by session; None where it
        cannot be known: then it counts as it was.
    """

    scope: Scope
    graph: BaseAssetGraph
    instance: dg.DagsterInstance
    store: LocalStore
    released: Mapping[str, str] | None = None

    @functools.cached_property
    def decisions(self) -> Decisions:
        """What people decided about results."""
        return read_decisions(self.store.root, self.scope.name)

    def nodes(self, partitions: dg.PartitionsDefinition | None) -> list[Node]:
        """Return the study's assets with these partitions, upstream first."""
        keys = [
            key
            for key in self.graph.toposorted_asset_keys
            if key.path[0] == self.scope.name
            and key.path[-1] != PROCESSING_PLAN
            # What no run makes is never missing.
            and self.graph.get(key).is_executable
            and self.graph.get(key).partitions_def == partitions
        ]
        return [
            Node(
                key.path[-1],
                self.graph.get(key).code_version or "",
                tuple(self.graph.get(key).metadata[VERSION_PARTS].split(", ")),
            )
            for key in keys
        ]

    @functools.cached_property
    def parents(self) -> dict[str, list[str]]:
        """Inputs of each asset of the study, by name."""
        return {
            key.path[-1]: sorted(p.path[-1] for p in self.graph.get(key).parent_keys)
            for key in self.graph.toposorted_asset_keys
            if key.path[0] == self.scope.name
        }


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
    log = _read_log(site, session)
    cells: list[Cell] = []
    for facts in _gather_sessions(site, log):
        is_imported = facts.partition not in log.members
        nodes = [n for n in log.nodes if not is_imported or n.asset not in NOT_RUN]
        cells += judge_partition(nodes, site.parents, facts, site.decisions)
    if session is None:
        cells += _judge_cohort(site, log.made, cells)
    plan = Plan(
        site.scope.name,
        tuple(cells),
        frozen=site.decisions.frozen or "",
        releases=_find_releases(site, log.made) if session is None else (),
    )
    return Survey(plan, log.known)


def _find_releases(site: Site, made: Makings) -> tuple[Release, ...]:
    home, study = site.store.root, site.scope.name
    if not Home(home).release_versions(study):
        return ()
    names = {
        app.name: app_dataset_name(app.name, app.version)
        for app in site.scope.study.apps
    }
    versions = {
        f"{names.get(asset, asset)}[{key}]": one.data_version
        for asset, found in made.items()
        for key, one in found.items()
    }
    return find_releases(home, study, site.decisions, versions)


def read_facts(site: Site, session: str) -> Facts | None:
    """Return what is known of all results of a session; None when there is none."""
    return next(_gather_sessions(site, _read_log(site, session)), None)


def add_costs(site: Site, plan: Plan) -> Plan:
    """Return the plan with what each asset that is not fresh has cost before."""
    assets = dict.fromkeys(cell.asset for cell in plan.unsettled)
    return replace(plan, costs=read_costs(site.instance, site.scope, assets))


def describe_some(site: Site, plan: Plan) -> Plan:
    """Return the plan with the first of the policy and rules reasons in words."""
    told = [cell for cell in plan.unsettled if any(map(_is_decided, cell.reasons))]
    first = {id(cell) for cell in told[:MOST_DESCRIBED]}
    return replace(
        plan,
        cells=tuple(describe(site, c) if id(c) in first else c for c in plan.cells),
    )


def describe(site: Site, cell: Cell) -> Cell:
    """Return a cell whose reasons say what is decided otherwise, and which files."""
    told = {
        "policy": PolicyWatch(site.scope, site.store).describe,
        "rules": RuleWatch(site.scope, site.store).describe,
    }
    reasons = tuple(
        replace(reason, sentence=told[reason.kind](cell.partition))
        if reason.kind in told
        else _name_files(site, cell.partition, reason)
        for reason in cell.reasons
    )
    return replace(cell, reasons=reasons)


def _name_files(site: Site, partition: str, reason: Reason) -> Reason:
    """Return the reason with the files of its inputs that changed, where known."""
    is_one = len(reason.inputs) == 1
    told = [
        f"{path} {word}" if is_one else f"{name}: {path} {word}"
        for name, before in zip(reason.inputs, reason.befores, strict=False)
        for path, word in _find_changes(site, partition, name, before).items()
    ]
    if not told:
        return reason
    return replace(
        reason,
        sentence=f"{reason.sentence} ({name_some(tuple(told))})",
        files=tuple(told),
    )


def _find_changes(
    site: Site, partition: str, name: str, before: str
) -> Mapping[str, str]:
    asset, _, member = name.rstrip("]").partition("[")
    session = member or partition
    if asset not in layout.SESSION_TREES or not session or not before:
        return {}
    key = layout.tree_key(site.scope.name, asset, session)
    return site.store.changes(key, before)


def _is_decided(reason: Reason) -> bool:
    return reason.kind in DECIDED.values()


def find_imported(made: Mapping[str | None, Made]) -> dict[str, str]:
    """
    Return the data version of each session whose latest BIDS tree was imported.

    Parameters
    ----------
    made
        Latest materialization of ``bids_session`` by session.
    """
    return {
        key: one.data_version
        for key, one in made.items()
        if key is not None and EXISTING_DATASET in one.inputs
    }


@dataclass(frozen=True)
class _Log:
    """
    What the event log says of the sessions of a study.

    Parameters
    ----------
    nodes
        The assets of a session, upstream first.
    made
        Latest materialization by asset and session.
    members
        Digest of the files of each session that came as DICOM.
    known
        The same of all sessions; of an imported one, of its content.
    attempts
        Latest attempts that made nothing.
    """

    nodes: Sequence[Node]
    made: Makings
    members: Mapping[str, str]
    known: Mapping[str, str]
    attempts: Attempts


def _read_log(site: Site, session: str | None) -> _Log:
    nodes = site.nodes(site.scope.sessions)
    _check_gates(site.scope.study.ratings.gates, [node.asset for node in nodes])
    only = None if session is None else [session]
    names = [node.asset for node in nodes]
    made = read_makings(site.instance, site.scope, names, only)
    members = read_members(site.instance, site.scope)
    known = {**find_imported(made[BIDS_SESSION]), **members}
    if session is not None:
        known = {key: digest for key, digest in known.items() if key == session}
    attempts = read_attempts(site.instance, site.scope, made, only)
    return _Log(nodes, made, members, known, attempts)


def _gather_sessions(site: Site, log: _Log) -> Iterator[Facts]:
    watches = (PolicyWatch(site.scope, site.store), RuleWatch(site.scope, site.store))
    holds = _read_holds(site)
    versions = {k: m.data_version for k, m in log.made[BIDS_SESSION].items() if k}
    ratings = find_ratings(site.decisions, versions)
    for key in sorted(log.known):
        current = {a: found[key] for a, found in log.made.items() if key in found}
        inputs = {
            asset: {
                parent: current[parent].data_version
                for parent in site.parents[asset]
                if parent in current
            }
            for asset in log.made
        }
        held = {asset: found[key] for asset, found in holds.items() if key in found}
        if key in log.members:
            _add_other_inputs(site, key, current, inputs, watches)
            inputs["raw_session"] = {"drop_index": log.members[key]}
        _add_edits(site, key, inputs)
        yield Facts(
            key,
            current,
            inputs,
            {a: found[key] for a, found in log.attempts.items() if key in found},
            {a: why for a, why in held.items() if why != UNDER_WAY},
            {a: why for a, why in held.items() if why == UNDER_WAY},
            gates=_find_gates(site, ratings.get(key)),
        )


def _check_gates(gates: Sequence[str], names: Sequence[str]) -> None:
    """
    Refuse to gate what sessions do not have.

    Raises
    ------
    BadConfig
        The study file names such an asset.
    """
    unknown = sorted(set(gates).difference(names))
    if unknown:
        raise BadConfig(
            f"ratings.gates names {', '.join(unknown)}, which sessions do not have.",
            fix=f"Give some of: {', '.join(sorted(names))}.",
        )


def _find_gates(site: Site, rating: Rating | None) -> dict[str, str]:
    """Return what a person's verdict keeps from being made, with it in words."""
    if rating is None or rating.is_expired or rating.verdict != "fail":
        return {}
    return dict.fromkeys(site.scope.study.ratings.gates, rating.sentence)


def _add_other_inputs(
    site: Site,
    key: str,
    current: Mapping[str, Made],
    inputs: dict[str, dict[str, str]],
    watches: tuple[PolicyWatch, RuleWatch],
) -> None:
    """Add what decides about a session and is no asset: policy, rules, people."""
    policy, rules = watches
    gated = current.get(ANONYMIZED_DICOM)
    inputs[ANONYMIZED_DICOM] |= policy.inputs(key, gated)
    inputs[BIDS_SESSION] |= rules.inputs(key, current.get(BIDS_SESSION))
    released = site.released
    if released is None:
        released = {key: gated.inputs.get(RELEASED_INPUT, "")} if gated else {}
    if released.get(key):
        inputs[ANONYMIZED_DICOM][RELEASED_INPUT] = released[key]
    place = layout.attachments(site.scope.name, SessionKey.parse(key))
    brought = site.store.read(place)
    if brought is not None:
        inputs[BIDS_SESSION][ATTACHMENTS] = brought.data_version


def _add_edits(site: Site, key: str, inputs: dict[str, dict[str, str]]) -> None:
    """Add what people corrected by hand for an app of a session."""
    home, study = Home(site.store.root), site.scope.name
    for app in site.scope.study.apps:
        version = edits_version(home.edits(study, app.name, key))
        if version and app.level == "session":
            inputs[app.name][EDITS_INPUT] = version


def _read_holds(site: Site) -> dict[str, dict[str, str]]:
    """Return why a session is held, by asset and session."""
    study = site.scope.name
    dicom, bids = layout.anonymized_dicoms(study), f"{layout.bids_dataset(study)}/"
    return {
        ANONYMIZED_DICOM: {
            place.removeprefix(dicom): why
            for place, why in site.store.held(dicom).items()
        },
        BIDS_SESSION: {
            place.removeprefix(bids).replace("/", "_"): why
            for place, why in site.store.held(bids).items()
        },
    }


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


def _asset_of(result: str) -> str:
    return result.partition("[")[0]


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


def _judge_cohort(site: Site, made: Makings, cells: Sequence[Cell]) -> list[Cell]:
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


def _partition_of(result: str) -> str:
    return result.rstrip("]").partition("[")[2]


def _versions_of(results: Mapping[str, str]) -> dict[str, str]:
    """Return versions by session, of results named ``asset[session]``."""
    return {_partition_of(name): version for name, version in results.items()}
