"""What Dagster has to know of a study, told again from the trees alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.held import tell_held
from imaging_platform.assets.scope import Scope
from imaging_platform.intake.drop_report import DropReport, report_drops
from imaging_platform.intake.zone import telling
from imaging_platform.model.layout import (
    BESIDE,
    NOTEBOOK,
    SESSION_TREES,
    STUDY_TREES,
    Home,
    app_dataset_name,
)
from imaging_platform.pipeline.names import DROP_INDEX
from imaging_platform.planning.state import Made
from imaging_platform.processing.telling import is_told, tell_made, told_together
from imaging_platform.provenance.trees import Tree, read_trees
from imaging_platform.resources.database import find_database
from imaging_platform.survey.history import chunks, read_made

REBUILT = "Told again from the published tree."
PORTION = 1000
"""Partitions, or materializations, that are added at once."""


@dataclass(frozen=True)
class Rebuilt:
    """
    What one call did.

    Parameters
    ----------
    study
        Its name.
    n_drops, n_sessions
        Drops and sessions that are there.
    told
        Materializations that were added, by asset; none when all was known.
    """

    study: str
    n_drops: int
    n_sessions: int
    told: dict[str, int]


def rebuild_index(
    home: Home, scope: Scope, instance: dg.DagsterInstance, graph: dg.AssetGraph
) -> Rebuilt:
    """
    Tell Dagster of every drop and tree that it does not know as it is.

    Killed at any line and called again, it goes on; called once more, it adds
    nothing. Drops come first, so that sensors see that their sessions are made.

    Parameters
    ----------
    home
        Holds receipts, indexes and trees; only read.
    instance
        Gets partitions and materializations.
    graph
        Has the code version of ``drop_index``, which leaves no record.
    """
    told: Counter[str] = Counter()
    zone = home.zone("identified", scope.name)
    version = graph.get(scope.key(DROP_INDEX)).code_version or ""
    trees = [
        tree
        for tree in read_trees(home.root, scope.name).values()
        if tree.name not in BESIDE
    ]
    sessions = {tree.partition for tree in trees if tree.partition}
    with telling(zone):
        reports = list(report_drops(zone))
        sessions |= {s.session_key for report in reports for s in report.sessions}
        _add_partitions(instance, scope.drops, [r.drop_id for r in reports])
        _add_partitions(instance, scope.sessions, sorted(sessions))
        known = read_made(find_database(instance), scope.name, DROP_INDEX)
        unknown = (r for r in reports if not _is_known(r, known.get(r.drop_id)))
        for portion in chunks(unknown, PORTION):
            with told_together(instance):
                for report in portion:
                    tell_drop(instance, scope, report, version)
                    told[DROP_INDEX] += 1
        if told[DROP_INDEX]:
            tell_held(instance, scope, zone)
    for portion in chunks(_untold(instance, scope, trees), PORTION):
        with told_together(instance):
            for tree in portion:
                _tell_tree(instance, scope, tree)
                told[tree.record.asset] += 1
    return Rebuilt(scope.name, len(reports), len(sessions), dict(sorted(told.items())))


def _tell_tree(instance: dg.DagsterInstance, scope: Scope, tree: Tree) -> None:
    tell_made(
        instance,
        scope,
        tree.record.asset,
        tree.record,
        key=tree.key,
        description=REBUILT,
        metadata=_read_policy(tree),
    )


def _untold(
    instance: dg.DagsterInstance, scope: Scope, trees: list[Tree]
) -> Iterator[Tree]:
    """Yield the trees that the event log does not have as they are, upstream first."""
    apps = {app_dataset_name(app.name, app.version) for app in scope.study.apps}
    known = (*SESSION_TREES, *sorted(apps), *STUDY_TREES)
    notebooks = sorted({t.name for t in trees if t.name.endswith(NOTEBOOK)})
    database = find_database(instance)
    for name in (*known, *notebooks):
        own = [tree for tree in trees if tree.name == name]
        made = read_made(database, scope.name, own[0].record.asset) if own else {}
        for tree in own:
            if not is_told(tree.record, made.get(tree.partition or None)):
                yield tree


def _read_policy(tree: Tree) -> dict[str, str]:
    """Return what `shown.anonymized` says of the policy: a plan looks there first."""
    policy = tree.record.report.get("policy_digest", "")
    return {"policy": policy[:12]} if policy else {}


def tell_drop(
    instance: dg.DagsterInstance,
    scope: Scope,
    report: DropReport,
    version: str,
    gone: Iterable[str] = (),
) -> None:
    """Report a drop as indexed; `gone` are sessions that lost their last file."""
    sessions = {s.session_key: s.members_digest for s in report.sessions}
    lost = dict.fromkeys(gone, "")
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=scope.key(DROP_INDEX),
            partition=report.drop_id,
            description="Told again from receipt and index.",
            metadata={
                **shown.drop(report),
                "sessions": dg.MetadataValue.json({**lost, **sessions}),
            },
            tags={
                "dagster/data_version": report.data_version,
                "dagster/code_version": version,
            },
        )
    )


def _is_known(report: DropReport, made: Made | None) -> bool:
    return made is not None and made.data_version == report.data_version


def _add_partitions(
    instance: dg.DagsterInstance,
    partitions: dg.DynamicPartitionsDefinition,
    keys: list[str],
) -> None:
    for start in range(0, len(keys), PORTION):
        portion = keys[start : start + PORTION]
        instance.add_dynamic_partitions(partitions.name or "", portion)
