"""
What people decided about files that came in: a list that only grows.

A decision names each file that it moves and where the file was, so the list gives
the same sessions whenever it is applied, and any decision can be taken back. Files
stay in the store, whatever is decided.

::

    <zone>/resolutions.jsonl    one decision a line
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from imaging_platform.files.digests import digest_bytes
from imaging_platform.files.writing import write_text
from imaging_platform.intake.companions import (
    NO_SESSION,
    UNKNOWN_SESSION,
    Companion,
    read_companions,
    write_companions,
)
from imaging_platform.intake.examination import examine_files
from imaging_platform.intake.holding import note_held
from imaging_platform.intake.index import (
    IndexRow,
    read_index,
    read_placed,
    write_index,
)
from imaging_platform.intake.ledger import (
    followers_of,
    moved_studies,
    read_ledger,
)
from imaging_platform.intake.marks import drops_with
from imaging_platform.intake.receipt import (
    ReceiptLine,
    Verdict,
    extend_receipt,
    list_waiting,
    read_receipt,
)
from imaging_platform.intake.settings import IntakeSettings
from imaging_platform.intake.verdicts import PLACED_LATER
from imaging_platform.intake.zone import (
    DropFolder,
    locked,
    moving_path,
    resolutions_path,
    store_path,
)
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey, parse_drop_id

DISCARDED = "discarded"
"""Stands in place of a session key: the file belongs to none."""

BY_HAND = "discarded by a person"

Action = Literal["discard", "restore", "merge", "split", "relabel", "assign"]


@dataclass(frozen=True)
class Move:
    """
    Files of one drop that go from one session to another, or out.

    Parameters
    ----------
    drop_id
        The drop.
    files
        Each by its digest; what came beside images by `companion_id`.
    origin, to
        Text of a session key, or `DISCARDED`; "" for what waits.
    """

    drop_id: str
    files: tuple[str, ...] = field(repr=False)
    origin: str
    to: str

    def __post_init__(self) -> None:
        parse_drop_id(self.drop_id)
        for place in (self.origin, self.to):
            if place not in ("", DISCARDED):
                SessionKey.parse(place)


@dataclass(frozen=True)
class Resolution:
    """
    One decision.

    Parameters
    ----------
    action
        What was done.
    author, reason
        By whom and why; a person's words, so they may identify.
    when
        Moment in UTC, ISO 8601.
    moves
        Every file that it moves.
    studies
        Pseudonym of the patient, digest of the study UID, and session key of each
        study whose files, also those that come later, go to that session.
    """

    action: Action
    author: str
    reason: str
    when: str
    moves: tuple[Move, ...]
    studies: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)


def companion_id(arrival: int, name: str) -> str:
    """Return what names a file that came beside images, within its drop."""
    return f"{arrival}/{name}"


def is_companion(file: str) -> bool:
    """Return whether a name within a drop (`Move`) is one of `companion_id`."""
    return "/" in file


def read_resolutions(zone: Path) -> tuple[Resolution, ...]:
    """
    Return all decisions, oldest first; none when there is no list.

    Raises
    ------
    BadInput
        A line is damaged; no file changes its session by a guess.
    """
    file = resolutions_path(zone)
    if not file.exists():
        return ()
    try:
        lines = map(json.loads, file.read_text("utf-8").splitlines())
        return tuple(
            Resolution(
                **{
                    **line,
                    "moves": tuple(map(_move_of, line["moves"])),
                    "studies": tuple(map(tuple, line["studies"])),
                }
            )
            for line in lines
        )
    except (ValueError, TypeError, KeyError):
        raise BadInput(
            "The list of decisions about files is damaged.",
            fix="Put resolutions.jsonl of the identified zone back from its backup.",
        ) from None


def append_resolution(zone: Path, resolution: Resolution) -> None:
    """Add a decision to the list; a reader sees the old list or the new."""
    file = resolutions_path(zone)
    with locked(file.with_suffix(".lock")):
        before = file.read_text("utf-8") if file.exists() else ""
        line = json.dumps(asdict(resolution), sort_keys=True)
        write_text(file, f"{before}{line}\n", mode=0o600)


def places_by_hand(
    resolutions: Iterable[Resolution],
) -> Mapping[str, Mapping[str, str]]:
    """Return where each file was put last, by drop and file; "" for back to waiting."""
    places: dict[str, dict[str, str]] = {}
    for resolution in resolutions:
        for move in resolution.moves:
            of_drop = places.setdefault(move.drop_id, {})
            of_drop.update(dict.fromkeys(move.files, move.to))
    return places


def read_places(zone: Path) -> Mapping[str, Mapping[str, str]]:
    """Return `places_by_hand` of a zone."""
    return places_by_hand(read_resolutions(zone))


def list_left(zone: Path) -> dict[str, set[str]]:
    """
    Return each session that files were moved out of, and where its studies are now.

    It may have other files; one that was discarded has no other session.
    """
    moves = [move for one in read_resolutions(zone) for move in one.moves]
    left = {m.origin for m in moves} | {m.to for m in moves}
    followers = followers_of(zone)
    return {
        key: followers.get(key, set())
        for key in sorted(left | followers.keys())
        if key not in ("", DISCARDED)
    }


def mark_discarded(
    lines: Sequence[ReceiptLine], places: Mapping[str, str] = MappingProxyType({})
) -> list[ReceiptLine]:
    """
    Return the lines of a receipt in which what a person discarded says so.

    Parameters
    ----------
    lines
        Of one drop.
    places
        Where files of the drop were put by hand (`places_by_hand`).
    """
    return [
        replace(line, verdict=Verdict.DISCARDED, reason=BY_HAND)
        if line.verdict not in (Verdict.DUPLICATE, Verdict.IGNORED)
        and DISCARDED in (places.get(name) for name in _names_of(line))
        else line
        for line in lines
    ]


def apply_places(drop: DropFolder, places: Mapping[str, str]) -> None:
    """
    Bring index and companions of a drop to what was decided; twice is once.

    Files whose study has another session now go there unless a person put them.

    The caller holds the drop's lock.
    """
    studies = moved_studies(drop.zone)
    if not places and not studies:
        return
    rows = read_index(drop)
    moved = [
        replace(r, session_key=places.get(r.sha256) or _follow(r, studies))
        for r in rows
    ]
    if moved != list(rows):
        write_index(drop, moved)
        note_held(drop)
    brought = read_companions(drop)
    emptied = _emptied(drop.zone, studies)
    placed = [_placed(row, places, emptied) for row in brought]
    if placed != list(brought):
        write_companions(drop, placed)
    _use_assigned(drop, places)


def _use_assigned(drop: DropFolder, places: Mapping[str, str]) -> None:
    """Index or attach what waited and was given to a session by hand."""
    waiting = list_waiting(read_receipt(drop)).values()
    images = [w for w in waiting if places.get(w.sha256, "") not in ("", DISCARDED)]
    beside = [
        line
        for line in waiting
        if line.reason in (NO_SESSION, UNKNOWN_SESSION)
        and places.get(companion_id(line.arrival, line.name), "") not in ("", DISCARDED)
    ]
    paths = [store_path(drop.zone, line.sha256) for line in images]
    examined = examine_files(paths, settings=IntakeSettings(), jobs=1)
    rows = {
        line.sha256: IndexRow(
            line.arrival, line.sha256, line.n_bytes, places[line.sha256], facts.header
        )
        for line, facts in zip(images, examined, strict=True)
        if facts.header
    }
    if rows:
        kept = [row for row in read_index(drop) if row.sha256 not in rows]
        write_index(drop, [*kept, *rows.values()])
    used = [(line, Verdict.ACCEPTED) for line in images if line.sha256 in rows]
    used += [(line, Verdict.ATTACHED) for line in beside]
    if used:
        extend_receipt(
            drop,
            [replace(line, verdict=v, reason=PLACED_LATER) for line, v in used],
        )


def _follow(row: IndexRow, studies: Mapping[tuple[str, str], str]) -> str:
    """Return the session of a file: where its study went, else where it is."""
    study = digest_bytes(row.header.study_uid.encode()) if studies else ""
    return studies.get((study, row.session_key), row.session_key)


def _emptied(zone: Path, studies: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Return the sessions that lost all studies to one other, and which that is."""
    known = set(map(str, read_ledger(zone).values())) if studies else set[str]()
    return {
        former: now.pop()
        for former, now in (followers_of(zone) if studies else {}).items()
        if former not in known and len(now) == 1
    }


def _placed(
    row: Companion, places: Mapping[str, str], emptied: Mapping[str, str]
) -> Companion:
    key = emptied.get(row.session_key, row.session_key)
    by_hand = places.get(companion_id(row.arrival, row.name))
    return replace(row, session_key=key if by_hand is None else by_hand)


def follow_moves(zone: Path) -> None:
    """
    Bring the files of studies that share a session now to it, in all drops.

    The caller holds no drop's lock. Killed at any line and called again, it goes on.
    """
    for mark in sorted(moving_path(zone).glob("sub-*")):
        for drop in drops_with(zone, [mark.name]):
            keys = {key for _, key in read_placed(drop)}
            if mark.name in keys | {row.session_key for row in read_companions(drop)}:
                with locked(drop.lock):
                    apply_places(drop, read_places(zone).get(drop.drop_id, {}))
        mark.unlink(missing_ok=True)


def _names_of(line: ReceiptLine) -> tuple[str, str]:
    return line.sha256, companion_id(line.arrival, line.name)


def _move_of(told: Mapping[str, object]) -> Move:
    files = told["files"]
    if not isinstance(files, list):
        raise TypeError
    return Move(**{**told, "files": tuple(map(str, files))})  # type: ignore[arg-type]  # __post_init__ proves the texts
