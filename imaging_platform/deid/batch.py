"""Some files of a session, de-identified one after the other by one process."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.deid import gate
from imaging_platform.deid.actions import Subject
from imaging_platform.deid.engine import Engine, Rewritten
from imaging_platform.deid.guard import Evidence
from imaging_platform.deid.identifiers import Gathering, Identifiers
from imaging_platform.deid.pixels import plan_pixels
from imaging_platform.deid.screen import Screen
from imaging_platform.deid.source import Source, open_source
from imaging_platform.dicom.structure import BadDicom


@dataclass(frozen=True)
class Task:
    """
    What one process is to do.

    Parameters
    ----------
    paths
        Originals.
    folder
        Existing empty folder; gets a file for each that may be written.
    subject
        The session's subject.
    known
        What must not remain, as far as it is known.
    """

    paths: tuple[Path, ...]
    folder: Path
    subject: Subject
    known: Identifiers


@dataclass(frozen=True)
class Outcome:
    """
    What became of one file.

    Parameters
    ----------
    reason
        Why it was not written; empty when it was.
    sop_class
        Name of the kind of object; empty when the file could not be read.
    series_number
        0 when there is none.
    uid, series_uid
        New ones.
    path
        Where it stands for now.
    patient
        PatientID of the original.
    """

    reason: str
    sop_class: str = ""
    series_number: int = 0
    uid: str = ""
    series_uid: str = ""
    path: Path = Path()
    patient: str = ""


@dataclass(frozen=True)
class Batch:
    """
    What a process found and did.

    Parameters
    ----------
    outcomes
        One a file, in their order.
    actions
        How many elements were treated how.
    told
        What the files tell of their subject.
    screen
        What was asked of the known identifiers, and answered.
    evidence
        What was written, for the guard.
    """

    outcomes: tuple[Outcome, ...]
    actions: Counter[str]
    told: Identifiers
    screen: Screen
    evidence: Evidence


def survey(paths: Sequence[Path], subject: Subject, scratch: Path) -> Identifiers:
    """Return what the headers of files tell of their subject; broken ones nothing."""
    told = Gathering()
    engine = Engine(subject, Screen(Identifiers()), told, Evidence(Path()))
    for path in paths:
        with contextlib.suppress(BadDicom), open_source(path, scratch) as source:
            engine.survey(source.data)
    return told.freeze()


def rewrite_batch(task: Task) -> Batch:
    """De-identify the files of a task into its folder."""
    laid, out = task.folder / "evidence", task.folder / "files"
    laid.mkdir()
    out.mkdir()
    told = Gathering()
    engine = Engine(task.subject, Screen(task.known), told, Evidence(laid))
    outcomes = tuple(
        _rewrite_file(path, out / str(number), engine)
        for number, path in enumerate(task.paths)
    )
    engine.evidence.finish()
    return Batch(
        outcomes, engine.counts(), told.freeze(), engine.screen, engine.evidence
    )


def _rewrite_file(path: Path, target: Path, engine: Engine) -> Outcome:
    try:
        with open_source(path, target.parent) as source:
            return _write_file(engine.rewrite(source.data), source, target, engine)
    except BadDicom as error:
        return Outcome(str(error.reason))


def _write_file(
    rewritten: Rewritten, source: Source, target: Path, engine: Engine
) -> Outcome:
    header = rewritten.header
    settings = engine.subject.policy.settings
    reason = _refusal(rewritten) or gate.refuse_image(header, settings)
    copy = plan_pixels(header) if not reason else ""
    if isinstance(copy, str):
        reason = reason or copy
    else:
        with target.open("wb") as file:
            file.write(b"".join([*rewritten.head, copy.head]))
            source.copy_to(file, copy.start, copy.stop)
            file.write(copy.tail)
    return Outcome(
        reason,
        gate.sop_class_name(header.text(0x00080016)),
        header.number(0x00200011) or 0,
        rewritten.uid,
        rewritten.series_uid,
        target,
        header.text(0x00100020),
    )


def _refusal(rewritten: Rewritten) -> str:
    for tag, name in (
        (0x00080016, "SOPClassUID"),
        (0x00080018, "SOPInstanceUID"),
        (0x0020000D, "StudyInstanceUID"),
        (0x0020000E, "SeriesInstanceUID"),
    ):
        if not rewritten.header.text(tag):
            return f"no {name}"
    if not gate.has_known_syntax(rewritten.header):
        return "unknown transfer syntax"
    return ""
