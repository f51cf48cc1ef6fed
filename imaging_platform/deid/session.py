"""One session's DICOM, de-identified: all of it proved, or nothing is published."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.deid.actions import Subject
from imaging_platform.deid.batch import Batch, Outcome, Task, rewrite_batch, survey
from imaging_platform.deid.dates import shift_date
from imaging_platform.deid.identifiers import (
    Identifiers,
    fold,
    merge_identifiers,
)
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
from imaging_platform.files.digests import digest_file, sorted_files
from imaging_platform.model.errors import BadInput, Held, IdentityLeak
from imaging_platform.model.ids import SessionKey

SAMPLE_FILES = 32
"""Headers that are read first, to know the subject before the work begins."""

BATCH_FILES = 256
"""Files that one process takes at a time; progress is told after each."""

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
    """

    reason: str
    sop_class: str
    n_files: int
    series_number: int


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
    """

    files_read: int
    files_written: int
    files_duplicate: int
    quarantined: tuple[Quarantined, ...]
    actions: dict[str, int]
    policy_digest: str
    table_edition: str
    options: dict[str, object]
    method_codes: tuple[tuple[str, str], ...]
    engine_version: str
    proved: bool


def anonymize_session(
    source: Path,
    target: Path,
    *,
    key: SessionKey,
    settings: DeidSettings,
    secret: bytes,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> DeidReport:
    """
    De-identify the DICOM files of one session.

    Parameters
    ----------
    source
        Folder of originals, any depth, any names. It is only read.
    target
        Existing empty folder. Gets ``<series number>-<8 hex digits>/<UID>.dcm``,
        all from pseudonyms, all files or none.
    key
        Subject and session labels; the subject's label is what is written.
    settings
        The study's options.
    secret
        The study's secret, 32 bytes.
    jobs
        Processes; 1 works in this one.
    progress
        Told how far the work is.

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
        known = survey(_sample(paths), subject, scratch)
        while True:
            batches = _rewrite_all(paths, scratch, subject, known, jobs, progress)
            told = merge_identifiers([known, *(batch.told for batch in batches)])
            if not any(batch.screen.answers_otherwise(told) for batch in batches):
                break
            # Something that a rule let stay, or took, is judged otherwise now.
            known = told
        written, report = _settle(paths, batches, scratch / "session", settings)
        _guard(written, batches, subject, told)
        for folder in sorted(written.iterdir()):
            folder.replace(target / folder.name)
    finally:
        shutil.rmtree(scratch)
    return report


def _sample(paths: Sequence[Path]) -> list[Path]:
    step = max(1, len(paths) // SAMPLE_FILES)
    return list(paths[::step])


def _rewrite_all(
    paths: Sequence[Path],
    scratch: Path,
    subject: Subject,
    known: Identifiers,
    jobs: int,
    progress: Progress,
) -> list[Batch]:
    """Rewrite every file into a folder of its batch."""
    for old in scratch.iterdir():
        shutil.rmtree(old)
    size = BATCH_FILES if jobs > 1 else max(len(paths), 1)
    tasks = []
    for number, first in enumerate(range(0, len(paths), size)):
        folder = scratch / f"batch-{number}"
        folder.mkdir()
        tasks.append(Task(tuple(paths[first : first + size]), folder, subject, known))
    batches = []
    for batch in _work_off(tasks, jobs):
        batches.append(batch)
        progress(sum(len(b.outcomes) for b in batches), len(paths))
    return batches


def _work_off(tasks: Sequence[Task], jobs: int) -> Iterator[Batch]:
    if jobs <= 1 or len(tasks) < 2:
        yield from map(rewrite_batch, tasks)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Processes are spawned: a fork would copy the threads of whoever calls.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(rewrite_batch, tasks)


def _settle(
    paths: Sequence[Path],
    batches: Sequence[Batch],
    written: Path,
    settings: DeidSettings,
) -> tuple[Path, DeidReport]:
    """Put each instance in its place, once; count all files."""
    written.mkdir()
    outcomes = [outcome for batch in batches for outcome in batch.outcomes]
    _refuse_two_patients(outcomes)
    sources: dict[str, Path] = {}
    quarantined: Counter[tuple[str, str, int]] = Counter()
    n_duplicates = 0
    for path, outcome in zip(paths, outcomes, strict=True):
        if outcome.reason:
            cell = (outcome.reason, outcome.sop_class, outcome.series_number)
            quarantined[cell] += 1
        elif outcome.uid in sources:
            _refuse_other_content(sources[outcome.uid], path)
            n_duplicates += 1
        else:
            sources[outcome.uid] = path
            _place(outcome, written)
    report = _report(
        len(paths), len(sources), n_duplicates, quarantined, batches, settings
    )
    return written, report


def _place(outcome: Outcome, written: Path) -> None:
    digest = hashlib.sha256(outcome.series_uid.encode()).hexdigest()
    folder = written / f"{outcome.series_number:04d}-{digest[:8]}"
    folder.mkdir(exist_ok=True)
    outcome.path.replace(folder / f"{outcome.uid}.dcm")


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


def _guard(
    written: Path, batches: Sequence[Batch], subject: Subject, told: Identifiers
) -> None:
    """Refuse what echoes its subject; read the files back only when one may."""
    moved = [shift_date(day, subject.offset_days) for day in told.dates]
    sought = told.without(dates=moved)
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


def _report(
    n_read: int,
    n_written: int,
    n_duplicates: int,
    quarantined: Counter[tuple[str, str, int]],
    batches: Sequence[Batch],
    settings: DeidSettings,
) -> DeidReport:
    actions: Counter[str] = Counter()
    for batch in batches:
        actions += batch.actions
    return DeidReport(
        files_read=n_read,
        files_written=n_written,
        files_duplicate=n_duplicates,
        quarantined=tuple(
            Quarantined(reason, kind, n_files, number)
            for (reason, kind, number), n_files in sorted(quarantined.items())
        ),
        actions=dict(sorted(actions.items())),
        policy_digest=policy_digest(settings),
        table_edition=table_edition(),
        options=settings.model_dump(mode="json"),
        method_codes=deid_codes(settings),
        engine_version=ENGINE_VERSION,
        proved=True,
    )
