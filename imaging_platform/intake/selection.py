"""Which files of a drop or session a decision is about, and carrying it out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from imaging_platform.dicom.headers import Header
from imaging_platform.files.digests import digest_bytes
from imaging_platform.intake.companions import read_companions
from imaging_platform.intake.examination import examine_files
from imaging_platform.intake.index import read_index
from imaging_platform.intake.ledger import move_studies, read_ledger
from imaging_platform.intake.marks import drops_with
from imaging_platform.intake.receipt import ReceiptLine, list_waiting, read_receipt
from imaging_platform.intake.resolving import (
    DISCARDED,
    Move,
    Resolution,
    append_resolution,
    apply_places,
    companion_id,
    mark_discarded,
    read_places,
    read_resolutions,
)
from imaging_platform.intake.settings import IntakeSettings
from imaging_platform.intake.verdicts import NEED_A_PERSON, settle
from imaging_platform.intake.zone import (
    DropFolder,
    drop_folder,
    locked,
    store_path,
)
from imaging_platform.model.errors import BadConfig, BadInput, MissingInput
from imaging_platform.model.ids import SessionKey


@dataclass(frozen=True)
class Chosen:
    """
    One file that a decision can move.

    Parameters
    ----------
    drop_id
        The drop that brought it.
    file
        What names it within the drop (`Move`).
    session_key
        Text of the session that it belongs to, or `DISCARDED`; "" when it waits.
    series_number
        (0020,0011); None when it has none.
    sha256
        Digest of the content.
    is_conflicting
        Whether its image came with another content too.
    """

    drop_id: str
    file: str = field(repr=False)
    session_key: str
    series_number: int | None
    sha256: str
    is_conflicting: bool = False


def choose_of_drop(zone: Path, drop_id: str) -> list[Chosen]:
    """
    Return every file of a drop: used, discarded, or waiting.

    Raises
    ------
    BadInput
        The identifier has another form.
    MissingInput
        No such drop was indexed.
    """
    drop = drop_folder(zone, drop_id)
    if not drop.receipt.exists():
        raise MissingInput(
            f"{drop_id} was not indexed.",
            fix="Take the identifier from `status`, or wait until it is indexed.",
        )
    return [*_indexed(drop), *_companions(drop), *_waiting(drop)]


def choose_of_session(zone: Path, session_key: str) -> list[Chosen]:
    """Return every file of a session (or what is `DISCARDED`), over all drops."""
    found = [
        chosen
        for drop in drops_with(zone, [session_key])
        for chosen in (*_indexed(drop, session_key), *_companions(drop))
        if chosen.session_key == session_key
    ]
    if not found:
        raise MissingInput(
            f"No file belongs to {session_key}.",
            fix="Take the key from `status`; what was discarded is in no session.",
        )
    return found


def choose_waiting(zone: Path, drop_id: str) -> list[Chosen]:
    """
    Return the files of a drop that would be used if somebody said whose they are.

    Raises
    ------
    MissingInput
        No such drop was indexed, or nothing of it waits for that.
    """
    drop = drop_folder(zone, drop_id)
    known = frozenset(map(str, read_ledger(zone).values()))
    lines = _waiting_lines(drop)
    asking = {line.sha256 for line in lines if line.reason in NEED_A_PERSON}
    found = [one for one in choose_of_drop(zone, drop_id) if one.sha256 in asking]
    waiting = [one for one in found if one.session_key not in {*known, DISCARDED}]
    if not waiting:
        raise MissingInput(
            f"Nothing of {drop_id} waits for somebody to say whose it is.",
            fix="Take the drop from `status`.",
        )
    return [replace(one, session_key="") for one in waiting]


def studies_waiting(
    zone: Path, chosen: Iterable[Chosen], patient_of: Callable[[Header], str]
) -> frozenset[tuple[str, str]]:
    """
    Return pseudonym of the patient and digest of the study UID of what waits.

    Parameters
    ----------
    chosen
        Files that wait; those without patient or study have no part.
    patient_of
        Keyed pseudonym of a patient.
    """
    paths = [store_path(zone, one.sha256) for one in chosen if one.file == one.sha256]
    examined = examine_files(paths, settings=IntakeSettings(), jobs=1)
    headers = [facts.header for facts in examined if facts.header]
    return frozenset(
        (patient_of(header), digest_bytes(header.study_uid.encode()))
        for header in headers
        if header.has_patient and header.study_uid
    )


def narrow(
    chosen: Iterable[Chosen],
    *,
    drop_id: str | None = None,
    digests: Sequence[str] = (),
    series: Collection[int] = (),
    is_conflicting: bool = False,
) -> list[Chosen]:
    """
    Return those files that fit all that is given.

    Parameters
    ----------
    drop_id
        Only of this drop.
    digests
        Beginnings of content digests, at least 8 hex digits; each fits a file.
    series
        Only of series with these numbers.
    is_conflicting
        Only images that came with several contents.

    Raises
    ------
    BadConfig
        Nothing fits, or a digest fits nothing or is too short.
    """
    left = [
        one
        for one in chosen
        if drop_id in (None, one.drop_id)
        and (not series or one.series_number in series)
        and (one.is_conflicting or not is_conflicting)
    ]
    for start in digests:
        if len(start) < 8 or not any(one.sha256.startswith(start) for one in left):
            raise BadConfig(
                "A file is named by the first 8 or more digits of its digest.",
                fix="Take the digests from `--dry-run --json`.",
            )
    if digests:
        left = [one for one in left if one.sha256.startswith(tuple(digests))]
    if not left:
        raise BadConfig(
            "No file fits; nothing is changed.",
            fix="Call it with --dry-run and fewer options to see what is there.",
        )
    return left


def moves_to(chosen: Iterable[Chosen], to: str) -> tuple[Move, ...]:
    """Return the moves that bring the files to a session, or out of all sessions."""
    files: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in chosen:
        if one.session_key != to:
            files[one.drop_id, one.session_key].append(one.file)
    return tuple(
        Move(drop_id, tuple(sorted(names)), origin, to)
        for (drop_id, origin), names in sorted(files.items())
    )


def moves_back(zone: Path, target: str) -> tuple[Move, ...]:
    """
    Return the moves that bring back what was discarded.

    Parameters
    ----------
    target
        A drop, or the session that the files were in, as it is called now.

    Raises
    ------
    BadConfig
        Nothing of it is discarded.
    """
    places = read_places(zone)
    origins: dict[tuple[str, str], str] = {}
    for resolution in read_resolutions(zone):
        for move in resolution.moves:
            if move.to == DISCARDED:
                origins.update(dict.fromkeys(_keys(move), move.origin))
            elif resolution.action in ("merge", "relabel"):
                # What was discarded before comes back under the label of now.
                for file, origin in origins.items():
                    if origin == move.origin:
                        origins[file] = move.to
    back: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for (drop_id, file), origin in origins.items():
        is_out = places[drop_id][file] == DISCARDED
        if is_out and target in (drop_id, origin):
            back[drop_id, origin].append(file)
    if not back:
        raise BadConfig(
            f"Nothing of {target} is discarded.",
            fix="Name the drop, or the session that the files were in.",
        )
    return tuple(
        Move(drop_id, tuple(sorted(files)), DISCARDED, origin)
        for (drop_id, origin), files in sorted(back.items())
    )


def refuse_known(zone: Path, key: SessionKey) -> None:
    """
    Refuse a label that a session has.

    Raises
    ------
    BadConfig
        There is such a session; labels that differ only in case are the same.
    """
    taken = {str(each).casefold() for each in read_ledger(zone).values()}
    if str(key).casefold() in taken:
        raise BadConfig(
            f"There is a session {key} already.",
            fix=f"Choose another label, or use `merge` if both are one visit: "
            f"imaging-platform merge STUDY SESSION {key}",
        )


def refuse_unknown(zone: Path, key: SessionKey) -> None:
    """
    Refuse a session that the study does not have.

    Raises
    ------
    BadInput
        No drop ever brought it.
    """
    if key not in read_ledger(zone).values():
        raise BadInput(f"There is no session {key}.", fix="Take a key from `status`.")


def studies_to(
    zone: Path, origin: SessionKey, to: SessionKey
) -> tuple[tuple[str, str, str], ...]:
    """Return every study of a session with the session that it goes to."""
    return tuple(
        (patient, study, str(to))
        for (patient, study), key in sorted(read_ledger(zone).items())
        if key == origin
    )


def carry_out(zone: Path, resolution: Resolution) -> None:
    """
    Write a decision down, and bring ledger, indexes and companions to it.

    Killed after the first line, `catch_up` does the rest.
    """
    append_resolution(zone, resolution)
    catch_up(zone)


def catch_up(zone: Path) -> None:
    """Bring ledger, indexes and companions to all that was decided; twice is once."""
    placed = {
        (patient, study): SessionKey.parse(to)
        for resolution in read_resolutions(zone)
        for patient, study, to in resolution.studies
    }
    if placed:
        move_studies(zone, placed)
    for drop_id, places in read_places(zone).items():
        drop = drop_folder(zone, drop_id)
        with locked(drop.lock):
            apply_places(drop, places)


def _indexed(drop: DropFolder, session_key: str = "") -> list[Chosen]:
    rows = read_index(drop, session_key=session_key)
    return [
        Chosen(
            drop.drop_id,
            row.sha256,
            row.session_key,
            row.header.series_number,
            row.sha256,
        )
        for row in rows
    ]


def _companions(drop: DropFolder) -> list[Chosen]:
    return [
        Chosen(
            drop.drop_id,
            companion_id(row.arrival, row.name),
            row.session_key,
            None,
            row.sha256,
        )
        for row in read_companions(drop)
    ]


def _waiting(drop: DropFolder) -> list[Chosen]:
    """Return what waits in quarantine and is no companion: those are listed there."""
    named = {(row.arrival, row.name) for row in read_companions(drop)}
    return [
        Chosen(
            drop.drop_id,
            line.sha256 or companion_id(line.arrival, line.name),
            "",
            None,
            line.sha256,
        )
        for line in _waiting_lines(drop)
        if (line.arrival, line.name) not in named
    ]


def _waiting_lines(drop: DropFolder) -> list[ReceiptLine]:
    known = frozenset(read_ledger(drop.zone).values())
    lines = settle(read_receipt(drop), read_companions(drop), known)
    places = read_places(drop.zone).get(drop.drop_id, {})
    return list(list_waiting(mark_discarded(lines, places)).values())


def _keys(move: Move) -> list[tuple[str, str]]:
    return [(move.drop_id, file) for file in move.files]


def mark_conflicts(zone: Path, session_key: str) -> list[Chosen]:
    """Return the files of a session, marked where one image has several contents."""
    contents: defaultdict[str, set[str]] = defaultdict(set)
    sop_of: dict[str, str] = {}
    for drop in drops_with(zone, [session_key]):
        for row in read_index(drop, session_key=session_key):
            contents[row.header.sop_uid].add(row.sha256)
            sop_of[row.sha256] = row.header.sop_uid
    counts = Counter({uid: len(digests) for uid, digests in contents.items()})
    return [
        Chosen(
            one.drop_id,
            one.file,
            one.session_key,
            one.series_number,
            one.sha256,
            is_conflicting=counts[sop_of.get(one.file, "")] > 1,
        )
        for one in choose_of_session(zone, session_key)
    ]
