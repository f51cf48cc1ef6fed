"""One session's DICOM, de-identified: all of it proved, or nothing is published."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from imaging_platform.deid import gate
from imaging_platform.deid.dates import shift_date
from imaging_platform.deid.elements import DicomFile, write_file
from imaging_platform.deid.engine import Subject, anonymize_elements
from imaging_platform.deid.identifiers import (
    Identifiers,
    identifiers_of,
    merge_identifiers,
)
from imaging_platform.deid.identifiers import fold as fold_text
from imaging_platform.deid.inventory import Inventory, merge_inventories
from imaging_platform.deid.policy import (
    ENGINE_VERSION,
    Policy,
    deid_codes,
    policy_digest,
)
from imaging_platform.deid.pseudonyms import date_offset_days, new_uid
from imaging_platform.deid.reading import parse_file
from imaging_platform.deid.residue import find_in_elements, read_header
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import table_edition
from imaging_platform.dicom.structure import BadDicom
from imaging_platform.files.digests import digest_file, sorted_files
from imaging_platform.model.errors import BadInput, Held, IdentityLeak
from imaging_platform.model.ids import SessionKey


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
    inventory, gate_facts
        Which elements the session held and what the gate saw of its files, as
        `outcome.outcome_digest` needs them later.
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
    inventory: dict[str, object]
    gate_facts: tuple[dict[str, object], ...]


@dataclass
class _Survey:
    """What the first pass over the headers found."""

    files_read: int = 0
    files_duplicate: int = 0
    told: list[Identifiers] = field(default_factory=list)
    accepted: dict[str, Path] = field(default_factory=dict)
    patients: set[str] = field(default_factory=set)
    facts: set[gate.GateFacts] = field(default_factory=set)
    quarantined: Counter[tuple[str, str, int]] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Outcome:
    """What became of one file: a reason, a leak's place, or a path and counts."""

    reason: str = ""
    leak: str = ""
    sop_class: str = ""
    series_number: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    inventory: Inventory = field(default_factory=Inventory)


def anonymize_session(
    source: Path,
    target: Path,
    *,
    key: SessionKey,
    settings: DeidSettings,
    secret: bytes,
    jobs: int = 1,
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
    offset_days = date_offset_days(secret, key.subject, settings)
    policy = Policy(settings)
    survey = _survey(source, policy)
    subject = Subject(
        secret,
        key.subject,
        offset_days,
        merge_identifiers(survey.told),
        policy,
    )
    scratch = Path(tempfile.mkdtemp(prefix=".deid-", dir=target.parent))
    try:
        outcomes = list(
            _write_all(list(survey.accepted.values()), scratch, subject, jobs)
        )
        _refuse_leaks(outcomes)
        report = _report(survey, outcomes, settings)
        for folder in sorted(scratch.iterdir()):
            folder.replace(target / folder.name)
    finally:
        shutil.rmtree(scratch)
    return report


def _survey(source: Path, policy: Policy) -> _Survey:
    """Read each header once: what may be written, and what must not remain."""
    survey = _Survey()
    for path in sorted_files(source):
        survey.files_read += 1
        try:
            file = read_header(path)
        except BadDicom as error:
            survey.quarantined[(str(error.reason), "", 0)] += 1
            continue
        elements = [*file.meta, *file.elements]
        charset = file.text(0x00080005)
        survey.told.append(identifiers_of(elements, charset, spares=policy.spares))
        survey.facts.add(gate.gate_facts(file))
        survey.patients.add(fold_text(file.text(0x00100020)))
        reason = _refusal(file, policy.settings)
        if reason:
            name = gate.sop_class_name(file.text(0x00080016))
            survey.quarantined[(reason, name, file.number(0x00200011) or 0)] += 1
            continue
        _accept(survey, path, file.text(0x00080018))
    if len(survey.patients - {""}) > 1:
        raise Held(
            f"One patient was expected in a session, found "
            f"{len(survey.patients - {''})} PatientIDs.",
            fix="Split the session by patient, or map the IDs to one subject.",
        )
    return survey


def _refusal(file: DicomFile, settings: DeidSettings) -> str:
    for tag, name in (
        (0x00080016, "SOPClassUID"),
        (0x00080018, "SOPInstanceUID"),
        (0x0020000D, "StudyInstanceUID"),
        (0x0020000E, "SeriesInstanceUID"),
    ):
        if not file.text(tag):
            return f"no {name}"
    if not gate.has_known_syntax(file):
        return "unknown transfer syntax"
    return gate.refuse_image(file, settings)


def _accept(survey: _Survey, path: Path, uid: str) -> None:
    other = survey.accepted.setdefault(uid, path)
    if other == path:
        return
    if digest_file(other) != digest_file(path):
        raise Held(
            "Two files share a SOPInstanceUID and have other content.",
            fix="Ask the archive which one is right and remove the other.",
        )
    survey.files_duplicate += 1


def _write_all(
    paths: list[Path], scratch: Path, subject: Subject, jobs: int
) -> Iterator[_Outcome]:
    if jobs <= 1 or len(paths) < 2 * jobs:
        for path in paths:
            yield _write_one(path, scratch, subject)
        return
    # Processes are spawned: a fork would copy the threads of whoever calls.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        n_paths = len(paths)
        yield from pool.map(
            _write_one,
            paths,
            [scratch] * n_paths,
            [subject] * n_paths,
            chunksize=max(1, min(64, n_paths // (4 * jobs))),
        )


def _write_one(path: Path, scratch: Path, subject: Subject) -> _Outcome:
    try:
        file = parse_file(path.read_bytes())
    except BadDicom as error:
        return _Outcome(reason=str(error.reason))
    sop_class, number = file.text(0x00080016), file.number(0x00200011) or 0
    name = gate.sop_class_name(sop_class)
    reason = gate.cut_pixels(file)
    if reason:
        return _Outcome(reason=reason, sop_class=name, series_number=number)
    uid = new_uid(subject.secret, file.text(0x00080018))
    series = new_uid(subject.secret, file.text(0x0020000E))
    actions = anonymize_elements(file, subject)
    is_retained = subject.policy.settings.uids == "retain"
    data = write_file(
        file,
        sop_class=sop_class,
        sop_instance=file.text(0x00080018) if is_retained else uid,
    )
    leak = _find_leak(data, subject)
    if leak:
        return _Outcome(leak=leak, sop_class=name, series_number=number)
    folder = scratch / f"{number:04d}-{hashlib.sha256(series.encode()).hexdigest()[:8]}"
    folder.mkdir(exist_ok=True)
    (folder / f"{uid}.dcm").write_bytes(data)
    return _Outcome("", "", name, number, actions, subject.policy.met())


def _find_leak(data: bytes, subject: Subject) -> str:
    """Return where an output echoes its subject, after reading it back."""
    written = parse_file(data, with_pixels=False)
    moved = [shift_date(day, subject.offset_days) for day in subject.identifiers.dates]
    sought = subject.identifiers.without_dates(moved)
    elements = [*written.meta, *written.elements]
    return next(find_in_elements(elements, sought, subject.name), "")


def _refuse_leaks(outcomes: list[_Outcome]) -> None:
    places = sorted({outcome.leak for outcome in outcomes if outcome.leak})
    if not places:
        return
    n_files = sum(bool(outcome.leak) for outcome in outcomes)
    raise IdentityLeak(
        f"An identifier of the subject was found in {n_files} de-identified files, "
        f"in {', '.join(places[:5])}; nothing was published.",
        fix="Look at these elements in the originals and correct what the scanner's "
        "operator wrote there; `descriptors: remove` under deid empties free text.",
    )


def _report(
    survey: _Survey, outcomes: list[_Outcome], settings: DeidSettings
) -> DeidReport:
    quarantined = survey.quarantined.copy()
    actions: Counter[str] = Counter()
    n_written = 0
    for outcome in outcomes:
        actions += outcome.actions
        if outcome.reason:
            cell = (outcome.reason, outcome.sop_class, outcome.series_number)
            quarantined[cell] += 1
        else:
            n_written += 1
    return DeidReport(
        files_read=survey.files_read,
        files_written=n_written,
        files_duplicate=survey.files_duplicate,
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
        inventory=merge_inventories(one.inventory for one in outcomes).as_dict(),
        gate_facts=tuple(one.as_dict() for one in sorted(survey.facts)),
    )
