"""One session's DICOM, de-identified: all of it proved, or nothing is published."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from imaging_platform.deid.actions import Subject
from imaging_platform.deid.batch import Batch, Outcome, Task, rewrite_batch, survey
from imaging_platform.deid.dates import shift_date
from imaging_platform.deid.gate import GateFacts
from imaging_platform.deid.guard_store import save_identifiers
from imaging_platform.deid.identifiers import (
    Identifiers,
    fold,
    merge_identifiers,
)
from imaging_platform.deid.inventory import merge_inventories
from imaging_platform.deid.policy import (
    ENGINE_VERSION,
    Policy,
    deid_codes,
    policy_digest,
)
from imaging_platform.deid.pseudonyms import date_offset_days
from imaging_platform.deid.residue import find_residue
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import table_edition
from imaging_platform.dicom.header_index import write_header_index
from imaging_platform.files.digests import digest_file, sorted_files
from imaging_platform.model.errors import BadInput, Held, IdentityLeak
from imaging_platform.model.ids import SessionKey

SAMPLE_FILES = 32
"""Headers that are read first, to know the subject before the work begins."""

BATCH_FILES = 256
"""Files that one of several processes takes at a time."""

Progress = Callable[[int, int], None]
"""Called with the number of files done and of all files."""


@dataclass(frozen=True, order=True)
class Quarantined:
    """
    Files that were read and not written.

    Parameters
    ----------
    reason
        Why, free of identity.
    sop_class
        Name of the kind of object; empty when the file could not be read.
    n_files
        How many.
    series_number
        Number of the series, 0 when there is none; it identifies nobody.
    series
        Pseudonymous name of the series (`batch.series_folder`), by which it can be
        released; empty when the file could not be read.
    can_be_released
        Whether a person may let it through (`gate.may_be_released`).
    """

    reason: str
    sop_class: str
    n_files: int
    series_number: int
    series: str = ""
    can_be_released: bool = False


@dataclass(frozen=True, order=True)
class Written:
    """
    Files of one series that were written.

    Parameters
    ----------
    series
        Pseudonymous name of the series and of its folder.
    sop_class
        Name of the kind of object.
    n_files
        How many.
    mask
        Name of the recipe that blackened their pixels; empty when none did.
    is_released
        A person released the series.
    """

    series: str
    sop_class: str
    n_files: int
    mask: str = ""
    is_released: bool = False


@dataclass(frozen=True)
class DeidReport:
    """
    What was done to a session; no original value anywhere.

    Parameters
    ----------
    files_read, files_written, files_duplicate
        Counts; read = written + duplicate + quarantined.
    quarantined
        What was left out, by reason, kind and series.
    written
        What was written, by series and kind.
    actions
        How many elements were treated how.
    policy_digest
        Digest of the policy in force (`policy.policy_digest`).
    table_edition
        Edition of PS3.15 whose Table E.1-1 was applied.
    options
        The study's options.
    method_codes
        Codes and meanings of PS3.16 CID 7050.
    engine_version
        Version of the engine.
    proved
        True: the echo guard read every written file back and found nothing.
    inventory, gate_facts
        Which elements the session held and what the gate saw of its files, as
        `outcome.outcome_digest` needs them later.
    """

    files_read: int
    files_written: int
    files_duplicate: int
    quarantined: tuple[Quarantined, ...]
    written: tuple[Written, ...]
    actions: dict[str, int]
    policy_digest: str
    table_edition: str
    options: dict[str, object]
    method_codes: tuple[tuple[str, str], ...]
    engine_version: str
    proved: bool
    inventory: dict[str, object]
    gate_facts: tuple[dict[str, object], ...]


def anonymize_session(
    source: Path,
    target: Path,
    *,
    key: SessionKey,
    settings: DeidSettings,
    secret: bytes,
    jobs: int = 1,
    pool: Executor | None = None,
    progress: Progress = lambda done, total: None,
    released: frozenset[str] = frozenset(),
    guard_file: Path | None = None,
) -> DeidReport:
    """
    De-identify the DICOM files of one session.

    Parameters
    ----------
    source
        Folder of originals, any depth, any names. It is only read.
    target
        Existing empty folder. Gets ``<series number>-<8 hex digits>/<UID>.dcm``,
        all from pseudonyms, all files or none, and their header index
        (`dicom.header_index`).
    key
        Subject and session labels; the subject's label is what is written.
    settings
        The study's options.
    secret
        The study's secret, 32 bytes.
    jobs
        Processes; 1 works in this one.
    pool
        Processes to share with other sessions, instead of some of its own.
    progress
        Told how far the work is.
    released
        Series (`batch.series_folder`) that a person let through the pixel gate.
    guard_file
        Where to keep what must not be found in what is made of the session, in
        the identified zone (`guard_store`); None keeps nothing.

    Returns
    -------
    DeidReport
        Counts and reasons. A file that cannot be read is counted there, not raised.

    Raises
    ------
    IdentityLeak
        The guard found an identifier of the subject in an output; nothing is
        published.
    Held
        Two files share a SOPInstanceUID and differ, or there are two patients.
    BadInput
        The target is not an empty folder.
    MissingKey
        The secret does not have 32 bytes.
    """
    if not target.is_dir() or any(target.iterdir()):
        raise BadInput(
            "De-identified DICOM is written into an existing empty folder.",
            fix="Give a new folder as target.",
        )
    paths = sorted_files(source)
    offset_days = date_offset_days(secret, key.subject, settings)
    subject = Subject(secret, key.subject, offset_days, Policy(settings))
    scratch = Path(tempfile.mkdtemp(prefix=".deid-", dir=target.parent))
    try:
        known = survey(_sample(paths), subject, scratch)
        while True:
            start = Task((), scratch, subject, known, released)
            batches = _rewrite_all(paths, start, jobs, pool, progress)
            told = merge_identifiers([known, *(batch.told for batch in batches)])
            if not any(batch.screen.answers_otherwise(told) for batch in batches):
                break
            # Something that a rule let stay, or took, is judged otherwise now.
            known = told
        written, report = _settle(
            paths, batches, scratch / "session", settings, released
        )
        sought = _sought(told, subject)
        _guard(written, batches, subject, sought)
        if guard_file is not None:
            save_identifiers(guard_file, sought)
        for folder in sorted(written.iterdir()):
            folder.replace(target / folder.name)
        # Last: an index is older than no file of its tree.
        write_header_index(target)
    finally:
        shutil.rmtree(scratch)
    return report


def _sample(paths: Sequence[Path]) -> list[Path]:
    step = max(1, len(paths) // SAMPLE_FILES)
    return list(paths[::step])


def _rewrite_all(
    paths: Sequence[Path],
    start: Task,
    jobs: int,
    pool: Executor | None,
    progress: Progress,
) -> list[Batch]:
    """Rewrite every file into a folder of its batch, as the task without files says."""
    scratch = start.folder
    for old in scratch.iterdir():
        shutil.rmtree(old)
    is_shared = pool is not None or jobs > 1
    size = BATCH_FILES if is_shared else max(len(paths), 1)
    tasks = []
    for number, first in enumerate(range(0, len(paths), size)):
        folder = scratch / f"batch-{number}"
        folder.mkdir()
        some = tuple(paths[first : first + size])
        tasks.append(replace(start, paths=some, folder=folder))
    if not is_shared or (pool is None and len(tasks) < 2):
        told = partial(_pass_on, progress, len(paths))
        return [rewrite_batch(task, told) for task in tasks]
    batches = []
    for batch in _share(tasks, jobs, pool):
        batches.append(batch)
        progress(sum(len(b.outcomes) for b in batches), len(paths))
    return batches


def _pass_on(progress: Progress, total: int, done: int) -> None:
    progress(done, total)


def _share(tasks: Sequence[Task], jobs: int, pool: Executor | None) -> Iterator[Batch]:
    """Work tasks off in other processes."""
    if pool is not None:
        yield from pool.map(rewrite_batch, tasks)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Processes are spawned: a fork would copy the threads of whoever calls.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as own:
        yield from own.map(rewrite_batch, tasks)


def _settle(
    paths: Sequence[Path],
    batches: Sequence[Batch],
    written: Path,
    settings: DeidSettings,
    released: frozenset[str],
) -> tuple[Path, DeidReport]:
    """Put each instance in its place, once; count all files."""
    outcomes = [outcome for batch in batches for outcome in batch.outcomes]
    written.mkdir()
    for series in {outcome.series for outcome in outcomes if not outcome.reason}:
        (written / series).mkdir()
    _refuse_two_patients(outcomes)
    sources: dict[str, Path] = {}
    kept_back: list[Outcome] = []
    placed: list[Outcome] = []
    for path, outcome in zip(paths, outcomes, strict=True):
        if outcome.reason:
            kept_back.append(outcome)
        elif outcome.uid in sources:
            _refuse_other_content(sources[outcome.uid], path)
        else:
            sources[outcome.uid] = path
            placed.append(outcome)
            _place(outcome, written)
    actions: Counter[str] = Counter()
    for batch in batches:
        actions += batch.actions
    report = DeidReport(
        files_read=len(paths),
        files_written=len(placed),
        files_duplicate=len(paths) - len(placed) - len(kept_back),
        quarantined=_count_kept_back(kept_back),
        written=_count_written(placed, released),
        actions=dict(sorted(actions.items())),
        policy_digest=policy_digest(settings),
        table_edition=table_edition(),
        options=settings.model_dump(mode="json"),
        method_codes=deid_codes(settings),
        engine_version=ENGINE_VERSION,
        proved=True,
        inventory=merge_inventories(batch.inventory for batch in batches).as_dict(),
        gate_facts=tuple(facts.as_dict() for facts in sorted(_facts_of(outcomes))),
    )
    return written, report


def _facts_of(outcomes: Iterable[Outcome]) -> set[GateFacts]:
    return {outcome.facts for outcome in outcomes if outcome.facts is not None}


def _count_kept_back(outcomes: Sequence[Outcome]) -> tuple[Quarantined, ...]:
    rows = Counter(
        (o.reason, o.sop_class, o.series_number, o.series, o.can_be_released)
        for o in outcomes
    )
    return tuple(
        Quarantined(reason, kind, n_files, number, series, can_be_released)
        for (reason, kind, number, series, can_be_released), n_files in sorted(
            rows.items()
        )
    )


def _count_written(
    outcomes: Sequence[Outcome], released: frozenset[str]
) -> tuple[Written, ...]:
    rows = Counter((o.series, o.sop_class, o.mask) for o in outcomes)
    return tuple(
        Written(series, kind, n_files, mask, series in released)
        for (series, kind, mask), n_files in sorted(rows.items())
    )


def _place(outcome: Outcome, written: Path) -> None:
    outcome.path.replace(written / outcome.series / f"{outcome.uid}.dcm")


def _refuse_two_patients(outcomes: Iterable[Outcome]) -> None:
    patients = {fold(outcome.patient) for outcome in outcomes} - {""}
    if len(patients) > 1:
        raise Held(
            f"One patient was expected in a session, found {len(patients)} PatientIDs.",
            fix="Split the session by patient, or map the IDs to one subject.",
        )


def _refuse_other_content(first: Path, second: Path) -> None:
    if digest_file(first) != digest_file(second):
        raise Held(
            "Two files share a SOPInstanceUID and have other content.",
            fix="Ask the archive which one is right and remove the other.",
        )


def _sought(told: Identifiers, subject: Subject) -> Identifiers:
    """Return what must not be found: a moved date may equal another real one."""
    moved = [shift_date(day, subject.offset_days) for day in told.dates]
    return told.without(dates=moved)


def _guard(
    written: Path, batches: Sequence[Batch], subject: Subject, sought: Identifiers
) -> None:
    """Refuse what echoes its subject; read the files back only when one may."""
    if not any(batch.evidence.is_suspect(sought) for batch in batches):
        return
    found = find_residue(written, sought, own_name=subject.name)
    if not found:
        return
    places = sorted({residue.place for residue in found})
    raise IdentityLeak(
        "An identifier of the subject was found in "
        f"{len({residue.file for residue in found})} de-identified files, "
        f"in {', '.join(places[:5])}; nothing was published.",
        fix="Look at these elements in the originals and correct what the scanner's "
        "operator wrote there; `descriptors: remove` under deid empties free text.",
    )
