"""What follows from decisions about files: Dagster is told, empty sessions go."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from imaging_platform.assets.attachments import bring_late
from imaging_platform.assets.scope import Scope
from imaging_platform.intake.companions import companion_digests
from imaging_platform.intake.drop import report_drop
from imaging_platform.intake.index import digest_members, read_index, read_members
from imaging_platform.intake.resolving import (
    DISCARDED,
    Move,
    is_companion,
    read_resolutions,
)
from imaging_platform.intake.selection import catch_up
from imaging_platform.intake.zone import drop_folders
from imaging_platform.model.errors import Held
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import (
    SESSION_TREES,
    Home,
    companions,
    derivative_dataset,
    tree_key,
)
from imaging_platform.processing.loop import UNFINISHED
from imaging_platform.processing.rebuilding import DROP_INDEX, tell_drop
from imaging_platform.resources.zones import EchoGuard, IdentifiedZone, PublishedZone
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_made
from imaging_platform.survey.history import read_members as read_told


@dataclass(frozen=True)
class Settled:
    """
    What one call did.

    Parameters
    ----------
    drops
        Drops that Dagster was told of anew.
    changed
        Sessions that have other files now, and are out of date.
    gone
        Sessions without a file whose trees or partition were removed.
    """

    drops: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]


def refuse_running(
    instance: dg.DagsterInstance, scope: Scope, partitions: Iterable[str]
) -> None:
    """
    Refuse to move files of a session or drop that a run is reading.

    Raises
    ------
    Held
        A run of one of the partitions has not ended.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    running = {
        run.tags.get("dagster/partition", "")
        for run in runs
        if run.job_name.startswith(f"{scope.name}_")
    }
    if busy := sorted(running & set(partitions)):
        raise Held(
            f"A run of {busy[0]} has not ended.",
            fix="Wait until it has, or end it; then call this again.",
        )


def settle_resolutions(
    home: Home, scope: Scope, instance: dg.DagsterInstance, graph: dg.AssetGraph
) -> Settled:
    """
    Bring intake, Dagster and trees to all that was decided about files.

    Killed at any line and called again, it goes on; called once more, it does
    nothing.

    Parameters
    ----------
    home
        Holds decisions, indexes and trees.
    scope, graph
        The study and its assets.
    instance
        Is told of each drop and session that changed.
    """
    zone = home.zone("identified", scope.name)
    moves = [move for one in read_resolutions(zone) for move in one.moves]
    if not moves:
        return Settled((), (), ())
    catch_up(zone)
    keys = {p for m in moves for p in (m.origin, m.to)} - {"", DISCARDED}
    now = _digests_now(zone, keys)
    told = read_told(instance, scope)
    changed = {key for key in keys if told.get(key, "") != now[key]}
    drops = {m.drop_id for m in moves if {m.origin, m.to} & changed}
    drops |= _one_drop_each(zone, {key for key in changed if now[key]})
    gone = {key for key in keys if not now[key]}
    drops |= _told_otherwise(zone, scope, instance, {m.drop_id for m in moves})
    removed = _remove_gone(home, scope, instance, sorted(gone))
    version = graph.get(scope.key(DROP_INDEX)).code_version or ""
    for drop_id in sorted(drops):
        lost = sorted(gone & changed)
        tell_drop(instance, scope, report_drop(zone, drop_id), version, gone=lost)
    return Settled(tuple(sorted(drops)), tuple(sorted(changed - gone)), removed)


def bring_moved(
    home: Home, scope: Scope, moves: Sequence[Move], settled: Settled
) -> None:
    """Publish anew what came beside images, for sessions where that changed."""
    beside = {
        place
        for move in moves
        for place in (move.origin, move.to)
        if any(is_companion(file) for file in move.files)
    }
    root = str(home.root)
    bring_late(
        scope.name,
        tuple(key for key in settled.changed if key in beside),
        identified=IdentifiedZone(home=root),
        published=PublishedZone(home=root, reports_url=""),
        echo_guard=EchoGuard(home=root),
    )


def _digests_now(zone: Path, keys: set[str]) -> dict[str, str]:
    members = read_members(zone, session_keys=frozenset(keys))
    beside = companion_digests(zone, keys)
    return {
        key: digest_members(digests | beside[key]) if digests or beside[key] else ""
        for key, digests in members.items()
    }


def _one_drop_each(zone: Path, keys: set[str]) -> set[str]:
    """Return a drop of each session: what it tells covers all files of the session."""
    found: dict[str, str] = {}
    for drop in drop_folders(zone):
        for key in keys - found.keys():
            if read_index(drop, session_key=key):
                found[key] = drop.drop_id
    return set(found.values())


def _told_otherwise(
    zone: Path, scope: Scope, instance: dg.DagsterInstance, drop_ids: set[str]
) -> set[str]:
    """Return the drops of which Dagster knows another state."""
    made = read_made(instance, scope, DROP_INDEX, sorted(drop_ids)) if drop_ids else {}
    return {
        drop_id
        for drop_id in drop_ids
        if drop_id not in made
        or made[drop_id].data_version != report_drop(zone, drop_id).data_version
    }


def _remove_gone(
    home: Home, scope: Scope, instance: dg.DagsterInstance, keys: list[str]
) -> tuple[str, ...]:
    """Remove the trees, holds and partition of sessions that have no file left."""
    store, partitions = LocalStore(home.root), scope.sessions.name or ""
    known = set(instance.get_dynamic_partitions(partitions)) if keys else set[str]()
    removed = []
    for text in keys:
        key = SessionKey.parse(text)
        datasets = home.app_datasets(scope.name)
        trees = [tree(scope.name, key) for tree in SESSION_TREES.values()]
        trees += [tree_key(scope.name, name, text) for name in datasets]
        trees.append(companions(scope.name, key))
        if text not in known and not any(store.path(t).exists() for t in trees):
            continue
        for tree in trees:
            store.remove(tree)
        home.guard_file(scope.name, key).unlink(missing_ok=True)
        _remove_of_subject(home, store, scope.name, key)
        for log in home.app_logs(scope.name, text):
            log.unlink()
        _remove_empty_subjects(home, scope.name, key)
        if text in known:
            instance.delete_dynamic_partition(partitions, text)
        removed.append(text)
    return tuple(removed)


def _remove_of_subject(
    home: Home, store: LocalStore, study: str, key: SessionKey
) -> None:
    """Remove what apps made of all sessions of the subject: this one was among them."""
    for name in home.app_datasets(study):
        place = f"{derivative_dataset(study, name)}/sub-{key.subject}"
        if store.read(place) is not None:
            store.remove(place)
    for log in home.app_logs(study, f"sub-{key.subject}"):
        log.unlink()


def _remove_empty_subjects(home: Home, study: str, key: SessionKey) -> None:
    """Remove what is left of a subject that has no session in a dataset any more."""
    datasets = [home.zone("bids", study), *home.zone("derivatives", study).glob("*")]
    for dataset in datasets:
        subject = dataset / f"sub-{key.subject}"
        if subject.is_dir() and not any(subject.glob("ses-*")):
            shutil.rmtree(subject)
