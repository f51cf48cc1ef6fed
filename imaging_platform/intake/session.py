"""One session, gathered from all drops into one folder, and what is still held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.intake.companions import companion_digests, read_companions
from imaging_platform.intake.completeness import Shortfall, find_shortfalls
from imaging_platform.intake.drop_report import DropReport, report_drop
from imaging_platform.intake.index import (
    IndexRow,
    count_conflicts,
    digest_members,
    read_index,
    read_members,
    read_placed,
)
from imaging_platform.intake.ledger import read_ledger
from imaging_platform.intake.marks import drops_with, maybe_held
from imaging_platform.intake.receipt import list_waiting, read_receipt
from imaging_platform.intake.resolving import DISCARDED, mark_discarded, read_places
from imaging_platform.intake.store import place_content
from imaging_platform.intake.verdicts import NEED_A_PERSON, settle
from imaging_platform.intake.zone import drop_folder, interrupted_drops
from imaging_platform.model.errors import BadInput, Held, MissingInput
from imaging_platform.model.ids import SessionKey


@dataclass(frozen=True)
class SeriesOfSession:
    """
    A series in numbers.

    Parameters
    ----------
    series_number
        (0020,0011), None when absent.
    modality
        (0008,0060).
    n_instances
        Files.
    """

    series_number: int | None
    modality: str
    n_instances: int


@dataclass(frozen=True)
class GatheredSession:
    """
    What was gathered; holds no identity.

    Parameters
    ----------
    session_key
        Text of the key.
    n_instances, n_series, n_drops
        Files, series, and drops that they came in.
    n_duplicates
        Files left out because another drop brought the same content.
    n_set_aside
        Files left out because their instance, which is no image, came with
        several contents.
    n_companions
        Events, answers and recordings that came for it, no part of the tree.
    members_digest
        Digest over the content digests of all files, companions among them.
    series
        The series in order of number.
    shortfalls
        What series lack by the scanner's own counts.
    """

    session_key: str
    n_instances: int
    n_series: int
    n_drops: int
    n_duplicates: int
    n_set_aside: int
    n_companions: int
    members_digest: str
    series: tuple[SeriesOfSession, ...]
    shortfalls: tuple[Shortfall, ...]


@dataclass(frozen=True)
class HeldFiles:
    """
    Files of a drop in quarantine for one reason.

    Parameters
    ----------
    drop_id
        The drop.
    reason
        From the closed lists of the intake.
    n_files
        Different contents.
    """

    drop_id: str
    reason: str
    n_files: int


@dataclass(frozen=True)
class HeldSession:
    """
    A session that cannot be gathered.

    Parameters
    ----------
    session_key
        Text of the key.
    n_instances
        Instances (SOPInstanceUID) that came with several contents.
    """

    session_key: str
    n_instances: int


@dataclass(frozen=True)
class Wait:
    """
    One thing that waits for a person.

    Parameters
    ----------
    what
        Session or drop.
    why
        The reason, in words.
    command
        What resolves it.
    """

    what: str
    why: str
    command: str


@dataclass(frozen=True)
class HeldSummary:
    """
    All that waits for a person in a zone; holds no identity.

    Parameters
    ----------
    files
        By drop and reason.
    sessions
        By key.
    n_claimed
        Drops that were claimed and whose indexing has not ended.
    """

    files: tuple[HeldFiles, ...]
    sessions: tuple[HeldSession, ...]
    n_claimed: int

    @property
    def useless(self) -> tuple[HeldFiles, ...]:
        """Files that are kept and that nobody can make use of: cut off, no image."""
        return tuple(each for each in self.files if each.reason not in NEED_A_PERSON)

    def list_waits(self, study: str) -> list[Wait]:
        """Return what waits with the command of the study that resolves it."""
        sessions = [
            Wait(
                each.session_key,
                f"{each.n_instances} instance(s) arrived with two contents",
                f"imaging-platform discard {study} {each.session_key} --conflicting "
                "--drop DROP",
            )
            for each in self.sessions
        ]
        files = [
            Wait(
                each.drop_id,
                f"{each.n_files} file(s): {each.reason}",
                f"imaging-platform assign {study} {each.drop_id} SESSION",
            )
            for each in self.files
            if each.reason in NEED_A_PERSON
        ]
        return [*sessions, *files]


def gather_session(key: SessionKey, *, zone: Path, target: Path) -> GatheredSession:
    """
    Build the raw tree of a session out of all drops so far.

    Each instance becomes ``<first 24 hex digits of its digest>.dcm``, a link to
    the store. Names under which files arrived are not repeated. The same members
    give the same bytes.

    Parameters
    ----------
    key
        The session.
    zone
        The study's identified zone.
    target
        An existing, empty folder inside the identified zone.

    Raises
    ------
    MissingInput
        No drop brought this session.
    BadInput
        The target is no empty folder.
    Held
        An image came with several contents; all of them are kept. What is no
        image (a presentation state) is set aside instead and counted.
    """
    if not target.is_dir() or any(target.iterdir()):
        raise BadInput(
            "A session is gathered into an existing, empty folder.",
            fix="Make a new folder in the identified zone.",
        )
    by_drop = _rows_by_drop(key, zone)
    rows = _distinct_rows(by_drop)
    conflicting = _conflicts(rows)
    images = {r.header.sop_uid for r in conflicting if r.header.has_pixels}
    if images:
        raise Held(
            f"{len(images)} of the images of {key} came more than once with "
            "different content.",
            fix=(
                "Find out which transfer was right, and discard the other: "
                f"imaging-platform discard STUDY {key} --conflicting --drop DROP"
            ),
        )
    aside = {row.sha256 for row in conflicting}
    used = [row for row in rows if row.sha256 not in aside]
    for row in used:
        place_content(zone, row.sha256, target / _file_name(row))
    series = _series_of(used)
    companions = companion_digests(zone, [str(key)])[str(key)]
    return GatheredSession(
        session_key=str(key),
        n_instances=len(used),
        n_series=len(series),
        n_drops=len(by_drop),
        n_duplicates=sum(len(found) for found in by_drop) - len(rows),
        n_set_aside=len(aside),
        n_companions=len(companions),
        members_digest=digest_members({row.sha256 for row in rows} | companions),
        series=series,
        shortfalls=find_shortfalls(used, zone),
    )


def list_held(zone: Path) -> HeldSummary:
    """Return what waits for a person in a zone; an absent zone holds nothing."""
    files = []
    drops, marked = maybe_held(zone)
    candidates = set(marked)
    known, places = frozenset(read_ledger(zone).values()), read_places(zone)
    for drop in drops:
        lines = settle(read_receipt(drop), read_companions(drop), known)
        of_drop = places.get(drop.drop_id, {})
        waiting = list_waiting(mark_discarded(lines, of_drop))
        counts = Counter(line.reason for line in waiting.values())
        files += [HeldFiles(drop.drop_id, *count) for count in sorted(counts.items())]
        candidates |= {key for _, key in read_placed(drop)}
    conflicts = {
        key: count_conflicts(zone, key) for key in sorted(candidates - {DISCARDED})
    }
    sessions = tuple(
        HeldSession(key, count) for key, count in conflicts.items() if count
    )
    return HeldSummary(tuple(files), sessions, len(interrupted_drops(zone)))


def digest_sessions(zone: Path, keys: Collection[str]) -> dict[str, str]:
    """Return the digest of the files that each session has now, "" without a file."""
    members = read_members(zone, session_keys=frozenset(keys))
    beside = companion_digests(zone, keys)
    return {
        key: digest_members(digests | beside[key]) if digests or beside[key] else ""
        for key, digests in members.items()
    }


def receipt_summary(zone: Path, drop_id: str) -> DropReport:
    """
    Return what became of a drop, without names.

    Raises
    ------
    BadInput
        The identifier has another form.
    MissingInput
        No such drop was indexed.
    """
    if not drop_folder(zone, drop_id).receipt.exists():
        raise MissingInput(
            f"{drop_id} has no receipt.",
            fix="Take the identifier from `status`, or wait until it is indexed.",
        )
    return report_drop(zone, drop_id)


def _rows_by_drop(key: SessionKey, zone: Path) -> list[tuple[IndexRow, ...]]:
    found = [
        read_index(drop, session_key=str(key)) for drop in drops_with(zone, [str(key)])
    ]
    by_drop = [rows for rows in found if rows]
    if not by_drop or key not in read_ledger(zone).values():
        raise MissingInput(
            f"No drop has brought {key}.",
            fix="Take the key from `status`; index the drop that holds the session.",
        )
    return by_drop


def _distinct_rows(by_drop: Sequence[Sequence[IndexRow]]) -> list[IndexRow]:
    distinct = {row.sha256: row for rows in by_drop for row in rows}
    return sorted(distinct.values(), key=_scan_order)


def _scan_order(row: IndexRow) -> tuple[int, str, int, str, str]:
    header = row.header
    return (
        header.series_number or 0,
        header.series_uid,
        header.instance_number or 0,
        header.sop_uid,
        row.sha256,
    )


def _conflicts(rows: Sequence[IndexRow]) -> list[IndexRow]:
    """Return the rows whose instance came with another content too."""
    counts = Counter(row.header.sop_uid for row in rows)
    return [row for row in rows if counts[row.header.sop_uid] > 1]


def _file_name(row: IndexRow) -> str:
    return f"{row.sha256[:24]}.dcm"


def _series_of(rows: Sequence[IndexRow]) -> tuple[SeriesOfSession, ...]:
    counts = Counter(
        (row.header.series_number, row.header.series_uid, row.header.modality)
        for row in rows
    )
    ordered = sorted(counts.items(), key=lambda found: (found[0][0] or 0, found[0][1]))
    return tuple(
        SeriesOfSession(number, modality, count)
        for (number, _, modality), count in ordered
    )
