"""What follows from decisions about files: Dagster is told, empty sessions go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from imaging_platform.assets.attachments import bring_late, hand_over
from imaging_platform.assets.held import tell_held
from imaging_platform.assets.leaving import UNFINISHED, clear_emptied
from imaging_platform.assets.scope import Scope
from imaging_platform.intake.drop_report import report_drop
from imaging_platform.intake.index import read_index
from imaging_platform.intake.marks import drops_with
from imaging_platform.intake.resolving import (
    DISCARDED,
    Move,
    Resolution,
    is_companion,
    read_resolutions,
)
from imaging_platform.intake.selection import catch_up
from imaging_platform.intake.session import digest_sessions
from imaging_platform.intake.zone import telling
from imaging_platform.model.errors import Held
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.names import DROP_INDEX
from imaging_platform.processing.rebuilding import tell_drop
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import EchoGuard, IdentifiedZone, PublishedZone
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
    kept
        Sessions without a file that stay until their files are made anew under
        another label.
    """

    drops: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


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
    resolutions = read_resolutions(zone)
    moves = [move for one in resolutions for move in one.moves]
    _hand_over(home, scope.name, resolutions)
    if not moves:
        left = clear_emptied(home, scope, instance)
        return Settled(gone=left.removed, kept=left.kept)
    catch_up(zone)
    with telling(zone):
        return _tell_moves(home, scope, instance, graph, moves)


def _hand_over(home: Home, study: str, resolutions: Sequence[Resolution]) -> None:
    """Let what a person attached to a session go with it to its new label."""
    published = PublishedZone(home=str(home.root), reports_url="")
    relabelled = {
        (move.origin, move.to)
        for one in resolutions
        if one.action == "relabel"
        for move in one.moves
    }
    for origin, to in sorted(relabelled):
        keys = SessionKey.parse(origin), SessionKey.parse(to)
        hand_over(study, *keys, published=published)


def _tell_moves(
    home: Home,
    scope: Scope,
    instance: dg.DagsterInstance,
    graph: dg.AssetGraph,
    moves: Sequence[Move],
) -> Settled:
    zone = home.zone("identified", scope.name)
    keys = {p for m in moves for p in (m.origin, m.to)} - {"", DISCARDED}
    now = digest_sessions(zone, keys)
    told = read_told(find_database(instance), scope.name)
    changed = {key for key in keys if told.get(key, "") != now[key]}
    drops = {m.drop_id for m in moves if {m.origin, m.to} & changed}
    drops |= _one_drop_each(zone, {key for key in changed if now[key]})
    gone = {key for key in keys if not now[key]}
    drops |= _told_otherwise(zone, scope, instance, {m.drop_id for m in moves})
    version = graph.get(scope.key(DROP_INDEX)).code_version or ""
    for drop_id in sorted(drops):
        lost = sorted(gone & changed)
        tell_drop(instance, scope, report_drop(zone, drop_id), version, gone=lost)
    if drops:
        tell_held(instance, scope, zone)
    left = clear_emptied(home, scope, instance)
    stay = sorted(changed - gone)
    return Settled(tuple(sorted(drops)), tuple(stay), left.removed, left.kept)


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


def _one_drop_each(zone: Path, keys: set[str]) -> set[str]:
    """Return a drop of each session: what it tells covers all files of the session."""
    found: dict[str, str] = {}
    for drop in drops_with(zone, keys):
        for key in keys - found.keys():
            if read_index(drop, session_key=key):
                found[key] = drop.drop_id
    return set(found.values())


def _told_otherwise(
    zone: Path, scope: Scope, instance: dg.DagsterInstance, drop_ids: set[str]
) -> set[str]:
    """Return the drops of which Dagster knows another state."""
    made = read_made(find_database(instance), scope.name, DROP_INDEX, sorted(drop_ids))
    return {
        drop_id
        for drop_id in drop_ids
        if drop_id not in made
        or made[drop_id].data_version != report_drop(zone, drop_id).data_version
    }
