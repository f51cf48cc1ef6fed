"""``imaging-platform discard``, ``assign``, ``merge``, ``split``, ``relabel``."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.cli.terminal import find_user
from imaging_platform.files.audit import append_audit
from imaging_platform.files.digests import digest_bytes
from imaging_platform.intake.ledger import read_ledger
from imaging_platform.intake.resolving import DISCARDED, Action, Move, Resolution
from imaging_platform.intake.selection import (
    Chosen,
    carry_out,
    choose_of_drop,
    choose_of_session,
    choose_waiting,
    mark_conflicts,
    moves_back,
    moves_to,
    narrow,
    refuse_known,
    refuse_unknown,
    studies_to,
    studies_waiting,
)
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.planning.decisions import refuse_frozen
from imaging_platform.resources.mapping import read_labels
from imaging_platform.settings import enter_home, find_home, load_study

SHOWN_DIGITS = 12


@dataclasses.dataclass(frozen=True)
class _Told:
    """Who decides, why, and whether it is only shown."""

    author: str | None
    reason: str | None
    dry_run: bool
    as_json: bool


def _deciding(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every decision about files has."""
    for option in (
        json_option,
        click.option("--dry-run", is_flag=True, help="Only show what would move."),
        click.option(
            "--author", help="Who decides it; the user of this computer when left out."
        ),
        click.option("--reason", help="Why; needed unless --dry-run is given."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("name", metavar="STUDY")
@click.argument("target", metavar="DROP|SESSION")
@click.option("--drop", "drop_id", help="Only files that this drop brought.")
@click.option("--series", type=int, multiple=True, help="Only series of this number.")
@click.option("--file", "digests", multiple=True, help="Only this file, by its digest.")
@click.option(
    "--conflicting", is_flag=True, help="Only images that came with two contents."
)
@click.option("--undo", is_flag=True, help="Bring back what was discarded.")
@_deciding
def discard(
    name: str,
    target: str,
    drop_id: str | None,
    series: tuple[int, ...],
    digests: tuple[str, ...],
    conflicting: bool,
    undo: bool,
    author: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Take files of a drop or session out of their sessions; nothing is deleted.

    The originals stay in the store, and --undo brings them back. A session that
    has no file left loses all that was made of it.
    """
    home, told = _enter(name), _Told(author, reason, dry_run, as_json)
    zone = home.zone("identified", name)
    if undo:
        _decide(home, name, "restore", target, moves_back(zone, target), told)
        return
    if target.startswith("drop-"):
        chosen = [f for f in choose_of_drop(zone, target) if f.session_key != DISCARDED]
    else:
        chosen = mark_conflicts(zone, str(SessionKey.parse(target)))
    left = narrow(
        chosen,
        drop_id=drop_id,
        digests=digests,
        series=series,
        is_conflicting=conflicting,
    )
    _decide(home, name, "discard", target, moves_to(left, DISCARDED), told, left)


@click.command()
@click.argument("name", metavar="STUDY")
@click.argument("drop_id", metavar="DROP")
@click.argument("session")
@click.option("--file", "digests", multiple=True, help="Only this file, by its digest.")
@_deciding
def assign(
    name: str,
    drop_id: str,
    session: str,
    digests: tuple[str, ...],
    author: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Give files of DROP that do not say whose they are to SESSION.

    Files whose patient and study are known may found a new session; files of the
    same study that come later go there, too.
    """
    home, told = _enter(name), _Told(author, reason, dry_run, as_json)
    zone, to = home.zone("identified", name), SessionKey.parse(session)
    chosen = narrow(choose_waiting(zone, drop_id), digests=digests)
    labels = read_labels(home, name, load_study(home, name).labels)
    found = studies_waiting(zone, chosen, lambda h: labels.of_study(h).patient)
    if not found:
        refuse_unknown(zone, to)
    studies = tuple((patient, study, str(to)) for patient, study in sorted(found))
    subject, moves = f"{drop_id} to {to}", moves_to(chosen, str(to))
    _decide(home, name, "assign", subject, moves, told, chosen, studies)


@click.command()
@click.argument("name", metavar="STUDY")
@click.argument("session")
@click.argument("into")
@_deciding
def merge(
    name: str,
    session: str,
    into: str,
    author: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make SESSION part of INTO: two studies of the scanner that are one visit."""
    home, told = _enter(name), _Told(author, reason, dry_run, as_json)
    zone = home.zone("identified", name)
    origin, to = SessionKey.parse(session), SessionKey.parse(into)
    refuse_unknown(zone, to)
    if origin == to:
        raise BadConfig(f"{origin} is {to}.", fix="Name two sessions.")
    _move_whole(home, name, "merge", origin, to, told)


@click.command()
@click.argument("name", metavar="STUDY")
@click.argument("session")
@click.argument("new")
@_deciding
def relabel(
    name: str,
    session: str,
    new: str,
    author: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Call SESSION NEW, as sub-<label>_ses-<label>, in everything that was made of it.

    `process` makes everything anew under the new label and then removes what stood
    under SESSION. Files of its studies that come later get the new label, too.
    """
    home, told = _enter(name), _Told(author, reason, dry_run, as_json)
    origin, to = SessionKey.parse(session), SessionKey.parse(new)
    refuse_known(home.zone("identified", name), to)
    _move_whole(home, name, "relabel", origin, to, told)


@click.command()
@click.argument("name", metavar="STUDY")
@click.argument("session")
@click.argument("into")
@click.option("--series", type=int, multiple=True, required=True, help="Its number.")
@_deciding
def split(
    name: str,
    session: str,
    into: str,
    series: tuple[int, ...],
    author: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Move series of SESSION to the session INTO, which may be new."""
    home, told = _enter(name), _Told(author, reason, dry_run, as_json)
    zone, to = home.zone("identified", name), SessionKey.parse(into)
    origin = SessionKey.parse(session)
    left = narrow(choose_of_session(zone, str(origin)), series=series)
    studies = _name_new(home, name, origin, to)
    subject = f"{origin} to {to}"
    _decide(home, name, "split", subject, moves_to(left, str(to)), told, left, studies)


def _name_new(
    home: Home, study: str, origin: SessionKey, to: SessionKey
) -> tuple[tuple[str, str, str], ...]:
    """Return what makes a new session known, as a study that no scanner made."""
    ledger = read_ledger(home.zone("identified", study))
    if to in ledger.values():
        return ()
    patients = sorted(patient for (patient, _), key in ledger.items() if key == origin)
    refuse_known(home.zone("identified", study), to)
    return tuple((p, digest_bytes(f"split {to}".encode()), str(to)) for p in patients)


def _move_whole(
    home: Home,
    study: str,
    action: Action,
    origin: SessionKey,
    to: SessionKey,
    told: _Told,
) -> None:
    zone = home.zone("identified", study)
    chosen = choose_of_session(zone, str(origin))
    studies = studies_to(zone, origin, to)
    subject = f"{origin} to {to}"
    moves = moves_to(chosen, str(to))
    _decide(home, study, action, subject, moves, told, chosen, studies)


def _enter(study: str) -> Home:
    home = find_home()
    load_study(home, study)
    enter_home(home)
    return home


def _decide(
    home: Home,
    study: str,
    action: Action,
    subject: str,
    moves: tuple[Move, ...],
    told: _Told,
    chosen: Sequence[Chosen] = (),
    studies: tuple[tuple[str, str, str], ...] = (),
) -> None:
    """Show the moves, or write them into trail and list and carry them out."""
    if told.dry_run:
        _show(moves, chosen, as_json=told.as_json)
        return
    if not (told.reason or "").strip():
        raise BadConfig(
            "A decision about files needs a reason.",
            fix='Give --reason "..."; it is kept in the audit trail.',
        )
    import dagster as dg

    from imaging_platform.assets.scope import Scope
    from imaging_platform.definitions import define_home
    from imaging_platform.processing.loop import only_one
    from imaging_platform.processing.resolving import (
        bring_moved,
        refuse_running,
        settle_resolutions,
    )

    refuse_frozen(home.root, study)
    zone, scope = home.zone("identified", study), Scope(load_study(home, study))
    graph = define_home(home).resolve_asset_graph()
    now, author = datetime.now(UTC), told.author or find_user()
    touched = {p for m in moves for p in (m.drop_id, m.origin, m.to)}
    when, reason = now.isoformat(timespec="seconds"), told.reason or ""
    with only_one(home.dagster), dg.DagsterInstance.get() as instance:
        refuse_running(instance, scope, touched)
        append_audit(
            zone, action=action, subject=subject, author=author, reason=reason, now=now
        )
        carry_out(zone, Resolution(action, author, reason, when, moves, studies))
        done = settle_resolutions(home, scope, instance, graph)
        bring_moved(home, scope, moves, done)
    if told.as_json:
        print_json(dataclasses.asdict(done))
        return
    n_files = sum(len(move.files) for move in moves)
    click.echo(f"{action} {subject}: {n_files} file(s) moved.")
    if done.gone:
        click.echo(f"Removed, having no file left: {', '.join(done.gone)}")
    if done.kept:
        click.echo(f"Removed when the new ones are made: {', '.join(done.kept)}")
    click.echo(f"Go on with: imaging-platform process --study {study}")


def _show(moves: Sequence[Move], chosen: Sequence[Chosen], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "drop": one.drop_id,
                "session": one.session_key,
                "series": one.series_number,
                "digest": one.sha256[:SHOWN_DIGITS],
                "conflicting": one.is_conflicting,
            }
            for one in chosen
        ]
        print_json(rows)
        return
    counts = Counter[tuple[str, str, str]]()
    for move in moves:
        counts[move.drop_id, move.origin or "waiting", move.to or "waiting"] += len(
            move.files
        )
    print_table(
        "Would move",
        ["drop", "from", "to", "files"],
        [(*key, n) for key, n in sorted(counts.items())],
    )
