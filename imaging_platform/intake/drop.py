"""
One drop, from the inbox to receipt, store and index.

The order makes every step repeatable after a kill at any line: claim (rename),
unpack (scratch, made anew), store (by content), ledger (by study), index (one
rename), receipt (one rename), and only then removal. An arrival counts as
indexed when the receipt names its number; until then its rows in the index are
made again, the same.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from imaging_platform.dicom.structure import Reason
from imaging_platform.files.digests import digest_json
from imaging_platform.files.unpacking import UnpackingCaps
from imaging_platform.files.writing import write_text
from imaging_platform.intake.claims import (
    FoundFile,
    claim_arrivals,
    find_files,
    list_claimed,
    remove_claimed,
)
from imaging_platform.intake.examination import Examined, examine_files
from imaging_platform.intake.index import (
    IndexRow,
    digest_members,
    read_index,
    read_members,
    read_placed,
    write_index,
)
from imaging_platform.intake.placing import LabelStudy, place_sessions
from imaging_platform.intake.receipt import (
    ReceiptLine,
    Verdict,
    extend_receipt,
    list_waiting,
    read_receipt,
)
from imaging_platform.intake.settings import IntakeSettings
from imaging_platform.intake.store import keep_content
from imaging_platform.intake.zone import (
    DropFolder,
    drop_folder,
    drop_folders,
    locked,
    store_path,
)
from imaging_platform.model.errors import Held
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import LabelProblem

NO_PATIENT_ID = "no patient id"
NO_STUDY_UID = "no study uid"
SEEN_BEFORE = "same content as an earlier file"
PLACED_LATER = "placed after it had waited"
NEED_A_PERSON = frozenset({NO_PATIENT_ID, NO_STUDY_UID, *map(str, LabelProblem)})
"""Reasons of files that would be used if somebody said whose they are."""


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
        Files that were not accepted, by reason.
    n_waiting
        Contents in quarantine, each counted once.
    sessions
        Sessions with an accepted file of this drop, in order of key.
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
    data_version: str


def index_drop(
    arrivals: Sequence[Path],
    *,
    drop_id: str,
    zone: Path,
    label_study: LabelStudy,
    limits: IntakeSettings,
    label_version: str = "",
    jobs: int = 1,
) -> DropReport:
    """
    Take the arrivals of one drop in, index them, and say what became of them.

    Killed at any line and started again, nothing is lost and nothing counts
    twice. Two calls for one drop wait for each other; for two drops they do not.

    Parameters
    ----------
    arrivals
        Entries of the inbox; one that is gone was claimed by an earlier call.
    drop_id
        Identifier that `list_arrivals` gave them.
    zone
        The study's identified zone.
    label_study
        Labels that a study asks for. When it cannot have them, its files wait in
        quarantine, the `LabelProblem` being the reason; each later call for the
        drop, with or without arrivals, tries to place them again.
    limits
        Settings of the intake.
    label_version
        Changes with what `label_study` answers. Noted while files wait for labels
        (`waiting_drops`), so that they are tried again when it is another.
    jobs
        Processes for reading headers.

    Raises
    ------
    BadInput
        The identifier has another form, or a label is none.
    Held
        An arrival is still being written, or the disk refuses. Nothing is lost.
    """
    drop = drop_folder(zone, drop_id)
    with _without_paths(), locked(drop.lock):
        done = {line.arrival for line in read_receipt(drop)}
        _remove_done(drop, done)
        claimed = {number for number, _ in list_claimed(drop)}
        claim_arrivals(arrivals, drop, first_number=1 + max(done | claimed, default=0))
        for number, place in list_claimed(drop):
            _index_arrival(number, place, drop, zone, label_study, limits, jobs)
            remove_claimed(place)
        drop.incoming.rmdir()
        _place_waiting(drop, zone, label_study, limits, jobs)
        _note_waiting(drop, label_version)
        return report_drop(zone, drop_id)


def report_drop(zone: Path, drop_id: str) -> DropReport:
    """
    Return what became of a drop, from its receipt and index alone.

    Raises
    ------
    BadInput
        The identifier has another form.
    """
    drop = drop_folder(zone, drop_id)
    placed = read_placed(drop)
    keys = frozenset(session_key for _, session_key in placed)
    return _report(drop, placed, read_members(zone, session_keys=keys))


def report_drops(zone: Path) -> Iterator[DropReport]:
    """Yield what became of each drop that was indexed, as `report_drop` does."""
    drops = [drop for drop in drop_folders(zone) if drop.receipt.exists()]
    indexes = [read_placed(drop) for drop in drops]
    members: defaultdict[str, set[str]] = defaultdict(set)
    for placed in indexes:
        for sha256, session_key in placed:
            members[session_key].add(sha256)
    for drop, placed in zip(drops, indexes, strict=True):
        keys = {session_key for _, session_key in placed}
        yield _report(drop, placed, {key: members[key] for key in keys})


def _report(
    drop: DropFolder,
    placed: Sequence[tuple[str, str]],
    members: Mapping[str, set[str]],
) -> DropReport:
    every_line = read_receipt(drop)
    later = {line.sha256 for line in every_line if line.reason == PLACED_LATER}
    lines = [
        line
        for line in every_line
        if line.sha256 not in later or line.verdict is not Verdict.QUARANTINED
    ]
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
                    line.reason
                    for line in lines
                    if line.verdict is not Verdict.ACCEPTED
                ).items()
            )
        ),
        n_waiting=len(list_waiting(lines)),
        sessions=tuple(
            SessionMembers(key, len(digests), digest_members(digests))
            for key, digests in sorted(members.items())
        ),
        data_version=digest_json(sorted(placed)),
    )


def _remove_done(drop: DropFolder, done: set[int]) -> None:
    """Finish removals that a kill interrupted."""
    for number, place in list_claimed(drop):
        if number in done or not any(place.iterdir()):
            remove_claimed(place)


def _index_arrival(
    number: int,
    place: Path,
    drop: DropFolder,
    zone: Path,
    label_study: LabelStudy,
    limits: IntakeSettings,
    jobs: int,
) -> None:
    before = read_receipt(drop)
    done = {line.arrival for line in before}
    kept_rows = [row for row in read_index(drop) if row.arrival in done]
    with _scratch(drop) as scratch:
        found = find_files(place, scratch, caps=_caps(limits))
        paths = [file.path for file in found if file.path is not None]
        examined = examine_files(paths, settings=limits, jobs=jobs)
        for path, facts in zip(paths, examined, strict=True):
            keep_content(
                path,
                zone,
                sha256=facts.sha256,
                n_bytes=facts.n_bytes,
                modified_ns=facts.modified_ns,
            )
    facts_of = dict(zip(paths, examined, strict=True))
    places = place_sessions(examined, zone, label_study)
    rows, lines = _judge(number, found, facts_of, places, before)
    write_index(drop, [*kept_rows, *rows])
    extend_receipt(drop, lines)


def _place_waiting(
    drop: DropFolder,
    zone: Path,
    label_study: LabelStudy,
    limits: IntakeSettings,
    jobs: int,
) -> None:
    """Accept files that waited for labels which there are now."""
    waiting = _wait_for_labels(drop)
    paths = [store_path(zone, line.sha256) for line in waiting]
    examined = examine_files(paths, settings=limits, jobs=jobs)
    places = place_sessions(examined, zone, label_study)
    rows, lines = [], []
    for line, facts in zip(waiting, examined, strict=True):
        header = facts.header
        key = places.get((header.patient_id, header.study_uid)) if header else None
        if header and isinstance(key, SessionKey):
            rows.append(
                IndexRow(line.arrival, line.sha256, line.n_bytes, str(key), header)
            )
            lines.append(replace(line, verdict=Verdict.ACCEPTED, reason=PLACED_LATER))
    if not rows:
        return
    placed = {row.sha256 for row in rows}
    kept = [row for row in read_index(drop) if row.sha256 not in placed]
    write_index(drop, [*kept, *rows])
    extend_receipt(drop, lines)


def _wait_for_labels(drop: DropFolder) -> list[ReceiptLine]:
    waiting = list_waiting(read_receipt(drop)).values()
    return [line for line in waiting if line.reason in set(LabelProblem)]


def _note_waiting(drop: DropFolder, label_version: str) -> None:
    if _wait_for_labels(drop):
        write_text(drop.waiting, label_version, mode=0o640)
    else:
        drop.waiting.unlink(missing_ok=True)


def _judge(
    number: int,
    found: Sequence[FoundFile],
    facts_of: Mapping[Path, Examined],
    places: Mapping[tuple[str, str], SessionKey | LabelProblem],
    before: Sequence[ReceiptLine],
) -> tuple[list[IndexRow], list[ReceiptLine]]:
    """Give each file its verdict; return rows of the index and lines of the receipt."""
    seen = {
        (line.sha256, line.verdict, line.reason.replace(PLACED_LATER, ""))
        for line in before
        if line.sha256
    }
    rows, lines = [], []
    for file in found:
        facts = facts_of[file.path] if file.path else None
        verdict, reason = _verdict_of(file, facts, places)
        sha256, n_bytes = (facts.sha256, facts.n_bytes) if facts else ("", 0)
        if (sha256, verdict, reason) in seen:
            verdict, reason = Verdict.DUPLICATE, SEEN_BEFORE
        elif sha256:
            seen.add((sha256, verdict, reason))
        lines.append(ReceiptLine(number, file.name, sha256, n_bytes, verdict, reason))
        if verdict is Verdict.ACCEPTED and facts and facts.header:
            key = str(places[facts.header.patient_id, facts.header.study_uid])
            rows.append(IndexRow(number, sha256, n_bytes, key, facts.header))
    return rows, lines


def _verdict_of(
    file: FoundFile,
    facts: Examined | None,
    places: Mapping[tuple[str, str], SessionKey | LabelProblem],
) -> tuple[Verdict, str]:
    if file.is_litter:
        return Verdict.IGNORED, file.reason
    if file.reason or facts is None:
        return Verdict.QUARANTINED, file.reason
    if facts.header is None:
        is_directory = facts.reason == Reason.DIRECTORY
        return Verdict.IGNORED if is_directory else Verdict.QUARANTINED, facts.reason
    if not facts.header.has_patient:
        return Verdict.QUARANTINED, NO_PATIENT_ID
    if not facts.header.study_uid:
        return Verdict.QUARANTINED, NO_STUDY_UID
    place = places[facts.header.patient_id, facts.header.study_uid]
    if isinstance(place, LabelProblem):
        return Verdict.QUARANTINED, str(place)
    return Verdict.ACCEPTED, ""


def _caps(limits: IntakeSettings) -> UnpackingCaps:
    return UnpackingCaps(
        max_members=limits.max_archive_members,
        max_bytes=limits.max_archive_bytes,
        max_ratio=limits.max_archive_ratio,
    )


@contextmanager
def _scratch(drop: DropFolder) -> Iterator[Path]:
    """Yield an empty folder on the file system of the store, removed afterwards."""
    shutil.rmtree(drop.unpacked, ignore_errors=True)
    drop.unpacked.mkdir(parents=True)
    try:
        yield drop.unpacked
    finally:
        shutil.rmtree(drop.unpacked, ignore_errors=True)


@contextmanager
def _without_paths() -> Iterator[None]:
    """Tell an error of the system without the path, which may identify."""
    try:
        yield
    except OSError as error:
        raise Held(
            f"The drop could not be taken in: {error.strerror or 'no reason given'}.",
            fix=(
                "Look at the space and the permissions of the inbox and of the "
                "identified zone, then start the run again; nothing was lost."
            ),
        ) from None
