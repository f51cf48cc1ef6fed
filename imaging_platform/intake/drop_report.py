"""What became of a drop, from receipt and index alone; holds no identity."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.files.digests import digest_json
from imaging_platform.intake.companions import (
    Companion,
    companion_digests,
    read_companions,
)
from imaging_platform.intake.index import digest_members, read_members, read_placed
from imaging_platform.intake.ledger import joined_sessions, known_sessions
from imaging_platform.intake.receipt import USED, Verdict, list_waiting, read_receipt
from imaging_platform.intake.resolving import DISCARDED, mark_discarded, read_places
from imaging_platform.intake.verdicts import PLACED_LATER, settle
from imaging_platform.intake.zone import DropFolder, drop_folder, drop_folders
from imaging_platform.model.ids import SessionKey


@dataclass(frozen=True)
class SessionMembers:
    """
    A session that a drop contributed to.

    Parameters
    ----------
    session_key
        Text of the key.
    n_instances
        Files of the session with different content, over all drops so far.
    members_digest
        Digest over the digests of these files.
    """

    session_key: str
    n_instances: int
    members_digest: str


@dataclass(frozen=True)
class DropReport:
    """
    What became of a drop, over all its arrivals; holds no identity.

    Parameters
    ----------
    drop_id
        Identifier.
    n_arrivals
        How often it arrived.
    n_files
        Files in all arrivals, members of archives instead of the archives.
    n_bytes
        Sum of their sizes.
    verdicts
        Files by verdict; the counts add up to `n_files`.
    reasons
        Files that were not accepted or attached, by reason.
    n_waiting
        Contents in quarantine, each counted once.
    sessions
        Sessions that a file of this drop belongs to, in order of key.
    gone
        Sessions that joined one of them and have no study left, sorted.
    attached_to
        Those of them to which it brought events, answers or recordings, sorted.
    data_version
        Digest over what was accepted, and where it belongs.
    """

    drop_id: str
    n_arrivals: int
    n_files: int
    n_bytes: int
    verdicts: Mapping[str, int]
    reasons: Mapping[str, int]
    n_waiting: int
    sessions: tuple[SessionMembers, ...]
    gone: tuple[str, ...]
    attached_to: tuple[str, ...]
    data_version: str


def report_drop(zone: Path, drop_id: str) -> DropReport:
    """
    Return what became of a drop, from its receipt and index alone.

    Raises
    ------
    BadInput
        The identifier has another form.
    """
    drop, known = drop_folder(zone, drop_id), known_sessions(zone)
    contributed = _contributed(drop, known)
    members = read_members(zone, session_keys=frozenset(key for _, key in contributed))
    for key, digests in companion_digests(zone, members).items():
        members[key] |= digests
    places = read_places(zone).get(drop_id, {})
    return _report(drop, contributed, members, known, places)


def report_drops(zone: Path) -> Iterator[DropReport]:
    """Yield what became of each drop that was indexed, as `report_drop` does."""
    known, places = known_sessions(zone), read_places(zone)
    drops = [drop for drop in drop_folders(zone) if drop.receipt.exists()]
    contributions = [_contributed(drop, known) for drop in drops]
    members: defaultdict[str, set[str]] = defaultdict(set)
    for contributed in contributions:
        for sha256, session_key in contributed:
            members[session_key].add(sha256)
    for drop, contributed in zip(drops, contributions, strict=True):
        keys = {session_key for _, session_key in contributed}
        of_drop = places.get(drop.drop_id, {})
        own = {key: members[key] for key in keys}
        yield _report(drop, contributed, own, known, of_drop)


def _contributed(
    drop: DropFolder, known: Collection[SessionKey]
) -> list[tuple[str, str]]:
    """Return digest and session key of all that a drop brought to known sessions."""
    companions = _companions_of_known(drop, known)
    images = [placed for placed in read_placed(drop) if placed[1] != DISCARDED]
    return images + [(row.sha256, row.session_key) for row in companions]


def _report(
    drop: DropFolder,
    contributed: Sequence[tuple[str, str]],
    members: Mapping[str, set[str]],
    known: Collection[SessionKey],
    places: Mapping[str, str],
) -> DropReport:
    every_line = read_receipt(drop)
    later = {line.sha256 for line in every_line if line.reason == PLACED_LATER}
    settled = [
        line
        for line in settle(every_line, read_companions(drop), known)
        if line.sha256 not in later or line.verdict is not Verdict.QUARANTINED
    ]
    lines = mark_discarded(settled, places)
    return DropReport(
        drop_id=drop.drop_id,
        n_arrivals=len({line.arrival for line in lines}),
        n_files=len(lines),
        n_bytes=sum(line.n_bytes for line in lines),
        verdicts={
            str(verdict): sum(line.verdict is verdict for line in lines)
            for verdict in Verdict
        },
        reasons=dict(
            sorted(
                Counter(
                    line.reason for line in lines if line.verdict not in USED
                ).items()
            )
        ),
        n_waiting=len(list_waiting(lines)),
        sessions=tuple(
            SessionMembers(key, len(digests), digest_members(digests))
            for key, digests in sorted(members.items())
        ),
        gone=joined_sessions(drop.zone, set(members)),
        attached_to=tuple(
            sorted({row.session_key for row in _companions_of_known(drop, known)})
        ),
        data_version=digest_json(sorted(contributed)),
    )


def _companions_of_known(
    drop: DropFolder, known: Collection[SessionKey]
) -> list[Companion]:
    keys = set(map(str, known))
    return [row for row in read_companions(drop) if row.session_key in keys]
