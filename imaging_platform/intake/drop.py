"""
One drop, from the inbox to receipt, store and index.

The order makes every step repeatable after a kill at any line: claim (rename),
unpack (scratch, made anew), ledger (by study), other studies' inboxes (duplicates
there), store (by content), index and list of companions (one rename each), receipt
(one rename), and only then removal. An
arrival counts as indexed when the receipt names its number; until then its rows are
made again, the same.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from imaging_platform.files.unpacking import UnpackingCaps
from imaging_platform.files.writing import write_text
from imaging_platform.intake.admission import (
    check_admission,
    free_bytes,
    giving_back,
)
from imaging_platform.intake.claims import (
    claim_arrivals,
    find_files,
    list_claimed,
    remove_claimed,
)
from imaging_platform.intake.companions import (
    NO_SESSION,
    Companion,
    NameCompanion,
    choose_session,
    name_none,
    read_companions,
    write_companions,
)
from imaging_platform.intake.drop_report import DropReport, report_drop
from imaging_platform.intake.examination import Examined, examine_files
from imaging_platform.intake.holding import note_held
from imaging_platform.intake.index import (
    IndexRow,
    read_index,
    write_index,
)
from imaging_platform.intake.ledger import known_sessions
from imaging_platform.intake.placing import (
    Elsewhere,
    LabelStudy,
    Place,
    place_sessions,
)
from imaging_platform.intake.receipt import (
    USED,
    ReceiptLine,
    Verdict,
    extend_receipt,
    list_waiting,
    read_receipt,
)
from imaging_platform.intake.resolving import (
    DISCARDED,
    apply_places,
    follow_moves,
    mark_discarded,
    read_places,
)
from imaging_platform.intake.routing import Router, send_on
from imaging_platform.intake.settings import IntakeSettings
from imaging_platform.intake.store import keep_content
from imaging_platform.intake.verdicts import PLACED_LATER, Judge
from imaging_platform.intake.zone import (
    DropFolder,
    drop_folder,
    locked,
    store_path,
)
from imaging_platform.model.errors import Held
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import LabelProblem

Places = Mapping[tuple[str, str], Place]


def index_drop(
    arrivals: Sequence[Path],
    *,
    drop_id: str,
    zone: Path,
    label_study: LabelStudy,
    limits: IntakeSettings,
    name_companion: NameCompanion = name_none,
    imported: Collection[SessionKey] = (),
    label_version: str = "",
    router: Router | None = None,
    jobs: int = 1,
) -> DropReport:
    """
    Take the arrivals of one drop in, index them, and say what became of them.

    Killed at any line and started again, nothing is lost and nothing counts
    twice. Two calls for one drop wait for each other; for two drops they do not.
    The drop counts as interrupted until `note_told`.

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
    name_companion
        Tells files that can be attached to a session from others that are no DICOM.
    imported
        Sessions that came from an existing dataset; their labels are taken.
    label_version
        Changes with what `label_study` answers. Noted while files wait for labels
        (`waiting_drops`), so that they are tried again when it is another.
    router
        Says which study each file belongs to, for an inbox of several; what belongs
        to another goes on to its inbox and leaves no copy here. None: all is ours.
    jobs
        Processes for reading headers.

    Raises
    ------
    BadInput
        The identifier has another form, or a label is none.
    Held
        An arrival is still being written, may not be read, or the disk is full or
        refuses. Nothing is lost: the arrival stays in the inbox or goes back there.
    """
    drop = drop_folder(zone, drop_id)
    how = _How(zone, label_study, imported, name_companion, limits, jobs, router)
    check_admission(arrivals, zone, reserve_bytes=limits.min_free_bytes)
    with _without_paths(), locked(drop.lock), giving_back(drop, arrivals):
        done = {line.arrival for line in read_receipt(drop)}
        _remove_done(drop, done)
        claimed = {number for number, _ in list_claimed(drop)}
        claim_arrivals(arrivals, drop, first_number=1 + max(done | claimed, default=0))
        for number, place in list_claimed(drop):
            _index_arrival(number, place, drop, how)
            remove_claimed(place)
        _place_waiting(drop, how)
        apply_places(drop, read_places(zone).get(drop_id, {}))
        _note_waiting(drop, label_version)
        note_held(drop)
    with _without_paths():
        # Without the lock: two drops that follow each other's moves would wait for
        # ever. What was claimed says until the end that there is work to do.
        follow_moves(zone)
    return report_drop(zone, drop_id)


def note_told(zone: Path, drop_id: str) -> None:
    """
    Note that what became of a drop was told, so that nothing is left to do.

    Until then `interrupted_drops` names it: a kill between the work and the word
    must not leave it untold.
    """
    with contextlib.suppress(OSError):
        drop_folder(zone, drop_id).incoming.rmdir()


def _remove_done(drop: DropFolder, done: set[int]) -> None:
    """Finish removals that a kill interrupted."""
    for number, place in list_claimed(drop):
        if number in done or not any(place.iterdir()):
            remove_claimed(place)


@dataclass(frozen=True)
class _How:
    """What is the same for all arrivals of a drop."""

    zone: Path
    label_study: LabelStudy
    imported: Collection[SessionKey]
    name_companion: NameCompanion
    limits: IntakeSettings
    jobs: int
    router: Router | None

    def examine(self, paths: Sequence[Path]) -> list[Examined]:
        return examine_files(paths, settings=self.limits, jobs=self.jobs)

    def place(self, examined: Sequence[Examined]) -> Places:
        return place_sessions(
            examined,
            self.zone,
            self.label_study,
            imported=self.imported,
            within_hours=self.limits.merge_within_hours,
            router=self.router,
        )

    def send_on(
        self, sent: Sequence[tuple[Path, Examined]], places: Places
    ) -> frozenset[str]:
        """Pass on what belongs to other studies; return its digests."""
        by_study: defaultdict[str, dict[str, Path]] = defaultdict(dict)
        for path, facts in sent:
            place = _place_of(facts, places)
            if isinstance(place, Elsewhere):
                by_study[place.study][facts.sha256] = path
        for study, files in sorted(by_study.items()):
            if self.router:
                send_on(files, self.router.inbox_of(study))
        return frozenset(d for files in by_study.values() for d in files)


def _index_arrival(number: int, place: Path, drop: DropFolder, how: _How) -> None:
    before = read_receipt(drop)
    done = {line.arrival for line in before}
    with _scratch(drop) as scratch:
        found = find_files(place, scratch, caps=_caps(how.limits, how.zone))
        paths = [file.path for file in found if file.path is not None]
        examined = how.examine(paths)
        places = how.place(examined)
        sent = how.send_on(list(zip(paths, examined, strict=True)), places)
        for path, facts in zip(paths, examined, strict=True):
            if facts.sha256 not in sent:
                keep_content(
                    path,
                    how.zone,
                    sha256=facts.sha256,
                    n_bytes=facts.n_bytes,
                    modified_ns=facts.modified_ns,
                )
    facts_of = dict(zip(paths, examined, strict=True))
    companions = [row for row in read_companions(drop) if row.arrival in done]
    judge = Judge(number, places, known_sessions(how.zone), how.name_companion)
    judge.remember(before, companions)
    for file in found:
        judge.judge(file, facts_of[file.path] if file.path else None)
    kept_rows = [row for row in read_index(drop) if row.arrival in done]
    write_index(drop, [*kept_rows, *judge.rows])
    write_companions(drop, [*companions, *judge.companions])
    extend_receipt(drop, judge.lines)


def _place_waiting(drop: DropFolder, how: _How) -> None:
    """Accept files that waited for labels which there are now."""
    waiting = _wait_for_labels(drop)
    paths = [store_path(how.zone, line.sha256) for line in waiting]
    examined = how.examine(paths)
    places = how.place(examined)
    how.send_on(list(zip(paths, examined, strict=True)), places)
    rows, lines = [], []
    for line, facts in zip(waiting, examined, strict=True):
        header, key = facts.header, _place_of(facts, places)
        if header and isinstance(key, SessionKey):
            rows.append(
                IndexRow(line.arrival, line.sha256, line.n_bytes, str(key), header)
            )
            lines.append(replace(line, verdict=Verdict.ACCEPTED, reason=PLACED_LATER))
        elif isinstance(key, Elsewhere):
            lines.append(replace(line, verdict=Verdict.ROUTED, reason=PLACED_LATER))
    if not lines:
        return
    placed = {row.sha256 for row in rows}
    kept = [row for row in read_index(drop) if row.sha256 not in placed]
    write_index(drop, [*kept, *rows])
    extend_receipt(drop, [*lines, *_place_companions(drop, how, besides=placed)])


def _place_of(facts: Examined, places: Places) -> Place | None:
    header = facts.header
    return places.get((header.patient_id, header.study_uid)) if header else None


def _place_companions(
    drop: DropFolder, how: _How, *, besides: set[str]
) -> list[ReceiptLine]:
    """Give companions the sessions that their drop has now; return their lines."""
    keys = {row.session_key for row in read_index(drop)} - {DISCARDED}
    # While other images wait, a file might belong to them.
    still_waits = {line.sha256 for line in _wait_for_labels(drop)} - besides
    here = [] if still_waits else [SessionKey.parse(key) for key in keys]
    rows = [
        replace(row, session_key=row.session_key or _session_of(row, here, how))
        for row in read_companions(drop)
    ]
    write_companions(drop, rows)
    lines = read_receipt(drop)
    placed = {row.sha256 for row in rows if row.session_key not in ("", DISCARDED)}
    told = {(line.arrival, line.name) for line in lines if line.verdict in USED}
    return [
        replace(line, verdict=Verdict.ATTACHED, reason=PLACED_LATER)
        for line in lines
        if line.reason == NO_SESSION
        and line.sha256 in placed
        and (line.arrival, line.name) not in told
    ]


def _session_of(row: Companion, here: Collection[SessionKey], how: _How) -> str:
    named = how.name_companion(row.name)
    known = known_sessions(how.zone)
    return choose_session(named, here=here, known=known) if named else ""


def _wait_for_labels(drop: DropFolder) -> list[ReceiptLine]:
    places = read_places(drop.zone).get(drop.drop_id, {})
    waiting = list_waiting(mark_discarded(read_receipt(drop), places)).values()
    return [line for line in waiting if line.reason in set(LabelProblem)]


def _note_waiting(drop: DropFolder, label_version: str) -> None:
    if _wait_for_labels(drop):
        write_text(drop.waiting, label_version, mode=0o640)
    else:
        drop.waiting.unlink(missing_ok=True)


def _caps(limits: IntakeSettings, zone: Path) -> UnpackingCaps:
    return UnpackingCaps(
        max_members=limits.max_archive_members,
        max_bytes=limits.max_archive_bytes,
        max_ratio=limits.max_archive_ratio,
        room_bytes=max(0, free_bytes(zone) - limits.min_free_bytes),
    )


@contextmanager
def _scratch(drop: DropFolder) -> Iterator[Path]:
    """
    Yield an empty folder on the file system of the store, removed afterwards.

    Its name is new: the process that unpacks may outlive a caller that is killed.
    """
    shutil.rmtree(drop.unpacked, ignore_errors=True)
    drop.unpacked.mkdir(parents=True, exist_ok=True)
    try:
        yield Path(tempfile.mkdtemp(dir=drop.unpacked))
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
