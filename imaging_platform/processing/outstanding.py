"""What is left to run in a study: drops, then sessions, then the cohort."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from imaging_platform.assets.bids import BIDS_SESSION, RULES_INPUT
from imaging_platform.assets.dicom import ANONYMIZED_DICOM, POLICY_INPUT
from imaging_platform.assets.scope import Scope
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.planning.state import (
    Made,
    Node,
    choose_ready,
    find_outdated,
)
from imaging_platform.processing.history import read_made, read_members
from imaging_platform.processing.imports import NOT_RUN, find_imported
from imaging_platform.processing.policies import PolicyWatch
from imaging_platform.processing.rules import RuleWatch
from imaging_platform.provenance.record import ATTACHMENTS
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.sensors.buckets import request_bucket_drops
from imaging_platform.sensors.cohort import cohort_run_key, newest_report
from imaging_platform.sensors.drops import request_drops
from imaging_platform.sensors.sessions import session_run_key
from imaging_platform.storage.proof import UNDER_WAY
from imaging_platform.storage.store import Store


@dataclass(frozen=True)
class Order:
    """
    One run to start.

    Parameters
    ----------
    study
        Name of the study.
    job
        Name of the job without the study: ``index_drop``, ``process_session`` or
        ``summarize_cohort``.
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
    scope: Scope,
    instance: dg.DagsterInstance,
    graph: dg.AssetGraph,
    identified: IdentifiedZone,
    store: Store,
) -> list[Order]:
    """
    Return a run for each session in which something is missing or out of date.

    A session of an existing dataset begins with its BIDS tree: nothing before that
    is missing, and only the import itself makes it anew.

    Parameters
    ----------
    scope, graph
        The study and its assets.
    instance
        Its event log says what is made.
    identified
        Knows which series a person let through the gate.
    store
        Holds what the sessions consisted of, for the policy and rules of today.
    """
    members = read_members(instance, scope)
    nodes = _nodes(scope, graph, scope.sessions)
    made = {node.asset: read_made(instance, scope, node.asset) for node in nodes}
    parents = {node.asset: _parents(scope, graph, node.asset) for node in nodes}
    released = identified.released_versions(scope.name)
    watch = PolicyWatch(scope, store)
    rules = RuleWatch(scope, store)
    interrupted = _interrupted(scope, store)
    orders = []
    for key in sorted(members):
        current = {a: found[key] for a, found in made.items() if key in found}
        inputs = {
            node.asset: _session_inputs(node, parents, current, members[key])
            for node in nodes
        }
        gated = current.get(ANONYMIZED_DICOM)
        inputs[ANONYMIZED_DICOM] |= watch.inputs(key, gated)
        inputs[BIDS_SESSION] |= rules.inputs(key, current.get(BIDS_SESSION))
        if key in released:
            inputs[ANONYMIZED_DICOM]["released"] = released[key]
        brought = store.read(layout.attachments(scope.name, SessionKey.parse(key)))
        if brought is not None:
            inputs[BIDS_SESSION][ATTACHMENTS] = brought.data_version
        outdated = find_outdated(nodes, current, inputs)
        if key in interrupted:
            outdated.setdefault(ANONYMIZED_DICOM, UNDER_WAY)
        reasons = choose_ready(outdated, parents)
        if reasons.get(ANONYMIZED_DICOM) == f"changed input: {POLICY_INPUT}":
            reasons[ANONYMIZED_DICOM] = watch.describe(key)
        if reasons.get(BIDS_SESSION) == f"changed input: {RULES_INPUT}":
            reasons[BIDS_SESSION] = rules.describe(key)
        if reasons:
            run_key = session_run_key(scope, key, members[key])
            orders.append(Order(scope.name, "process_session", key, reasons, run_key))
    orders += _imported_orders(scope, nodes, made, parents, known=members)
    return orders


def _imported_orders(
    scope: Scope,
    nodes: Sequence[Node],
    made: Mapping[str, Mapping[str | None, Made]],
    parents: Mapping[str, Sequence[str]],
    *,
    known: Mapping[str, str],
) -> list[Order]:
    """Return runs for imported sessions; of those in `known` DICOM came, too."""
    imported = find_imported(made[BIDS_SESSION])
    after = [node for node in nodes if node.asset not in NOT_RUN]
    orders = []
    for key in sorted(imported.keys() - known.keys()):
        current = {a: found[key] for a, found in made.items() if key in found}
        inputs = {n.asset: _session_inputs(n, parents, current, "") for n in after}
        if reasons := choose_ready(find_outdated(after, current, inputs), parents):
            run_key = session_run_key(scope, key, imported[key])
            orders.append(Order(scope.name, "process_session", key, reasons, run_key))
    return orders


def find_cohort_orders(
    scope: Scope, instance: dg.DagsterInstance, graph: dg.AssetGraph
) -> list[Order]:
    """Return the run that brings dataset, catalog and study report up to date."""
    sessions = {
        node.asset: read_made(instance, scope, node.asset)
        for node in _nodes(scope, graph, scope.sessions)
        if node.asset != "raw_session"
    }
    versions = {
        f"{asset}[{key}]": made.data_version
        for asset, found in sessions.items()
        for key, made in found.items()
    }
    if not versions:
        return []
    nodes = _nodes(scope, graph, None)
    made = {
        node.asset: found[None]
        for node in nodes
        if None in (found := read_made(instance, scope, node.asset))
    }
    inputs = {
        "catalog": versions,
        "bids_dataset": {
            name: version
            for name, version in versions.items()
            if name.startswith("bids_session[")
        },
        "study_report": {
            asset: made[asset].data_version
            for asset in ("catalog", "bids_dataset")
            if asset in made
        },
    }
    reasons = find_outdated(nodes, made, inputs)
    if not reasons:
        return []
    run_key = cohort_run_key(scope, newest_report(scope, instance) or 0)
    return [Order(scope.name, "summarize_cohort", "", reasons, run_key)]


def _interrupted(scope: Scope, store: Store) -> set[str]:
    """Return the sessions closed by an attempt that never came to an end."""
    prefix = layout.anonymized_dicoms(scope.name)
    holds = store.held(prefix)
    return {key.removeprefix(prefix) for key, why in holds.items() if why == UNDER_WAY}


def _session_inputs(
    node: Node,
    parents: Mapping[str, Sequence[str]],
    made: Mapping[str, Made],
    members_digest: str,
) -> dict[str, str]:
    if node.asset == "raw_session":
        return {"drop_index": members_digest}
    return {
        name: made[name].data_version for name in parents[node.asset] if name in made
    }


def _parents(scope: Scope, graph: dg.AssetGraph, asset: str) -> list[str]:
    return sorted(key.path[-1] for key in graph.get(scope.key(asset)).parent_keys)


def _nodes(
    scope: Scope, graph: dg.AssetGraph, partitions: dg.PartitionsDefinition | None
) -> list[Node]:
    """Return the study's assets with these partitions, upstream first."""
    return [
        Node(key.path[-1], graph.get(key).code_version or "")
        for key in graph.toposorted_asset_keys
        if key.path[0] == scope.name and graph.get(key).partitions_def == partitions
    ]
