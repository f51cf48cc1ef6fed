"""Some files of a session, de-identified one after the other by one process."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import IO

from imaging_platform.deid import gate, masking
from imaging_platform.deid.actions import Subject
from imaging_platform.deid.engine import Engine, Rewritten
from imaging_platform.deid.gate import GateFacts
from imaging_platform.deid.guard import Evidence
from imaging_platform.deid.header import Header
from imaging_platform.deid.identifiers import Gathering, Identifiers
from imaging_platform.deid.inventory import Inventory
from imaging_platform.deid.mask_recipes import MaskRecipe
from imaging_platform.deid.pixels import PixelCopy, plan_pixels
from imaging_platform.deid.screen import Screen
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.source import Source, open_source
from imaging_platform.dicom.structure import BadDicom

MAX_SERIES_DIGITS = 7
"""Of a SeriesNumber that names a folder; as the rule for numbers has it."""

Tell = Callable[[int], None]
"""Called with the number of files done, now and then."""

_TOLD_FILES = 16


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
    released
        Series that a person let through the pixel gate.
    """

    paths: tuple[Path, ...]
    folder: Path
    subject: Subject
    known: Identifiers
    released: frozenset[str] = frozenset()


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
        0 when there is none, or one that may be a day or a person's number.
    uid
        New one.
    series
        Pseudonymous name of its series; empty when it has none.
    can_be_released
        Whether a person may let a file that was not written through the gate.
    mask
        Name of the recipe that its pixels were masked by.
    path
        Where it stands for now.
    patient
        PatientID of the original.
    facts
        What the gate saw; None when the file could not be read.
    """

    reason: str
    sop_class: str = ""
    series_number: int = 0
    uid: str = ""
    series: str = ""
    can_be_released: bool = False
    mask: str = ""
    path: Path = Path()
    patient: str = ""
    facts: GateFacts | None = None


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
    inventory
        Which elements the files held.
    """

    outcomes: tuple[Outcome, ...]
    actions: Counter[str]
    told: Identifiers
    screen: Screen
    evidence: Evidence
    inventory: Inventory


def survey(paths: Sequence[Path], subject: Subject, scratch: Path) -> Identifiers:
    """Return what the headers of files tell of their subject; broken ones nothing."""
    told = _gathering(subject)
    engine = Engine(subject, Screen(Identifiers()), told, Evidence(Path()))
    for path in paths:
        with contextlib.suppress(BadDicom), open_source(path, scratch) as source:
            engine.survey(source.data)
    return told.freeze()


def _gathering(subject: Subject) -> Gathering:
    policy = subject.policy
    return Gathering(policy.spares if policy.retains else None)


def rewrite_batch(task: Task, tell: Tell | None = None) -> Batch:
    """De-identify the files of a task into its folder; tell how many are done."""
    laid, out = task.folder / "evidence", task.folder / "files"
    laid.mkdir()
    out.mkdir()
    told = _gathering(task.subject)
    screen = Screen(task.known, task.subject.policy.settings.own_words)
    engine = Engine(task.subject, screen, told, Evidence(laid))
    worker = _Worker(engine, task.released, _GateMemory())
    outcomes: list[Outcome] = []
    for number, path in enumerate(task.paths):
        outcomes.append(worker.rewrite(path, out / str(number)))
        if tell is not None and number % _TOLD_FILES == 0:
            tell(number)
    if tell is not None:
        tell(len(task.paths))
    engine.evidence.finish()
    return Batch(
        tuple(outcomes),
        engine.counts(),
        told.freeze(),
        engine.screen,
        engine.evidence,
        task.subject.policy.take_inventory(engine.names),
    )


def series_folder(series_uid: str, number: int) -> str:
    """
    Return the pseudonymous name of a series, ``<number>-<8 hex digits>``.

    Parameters
    ----------
    series_uid
        New SeriesInstanceUID.
    number
        SeriesNumber, 0 when there is none.
    """
    return f"{number:04d}-{hashlib.sha256(series_uid.encode()).hexdigest()[:8]}"


class _GateMemory:
    """
    What `gate.gate_facts` says of files, found once for equal headers.

    Headers are equal when all elements are that any of them was asked for.
    """

    def __init__(self) -> None:
        self._asked: tuple[int, ...] = ()
        self._known: dict[tuple[object, ...], GateFacts] = {}

    def facts(self, header: Header) -> GateFacts:
        """Return what is said of a file."""
        known = self._known.get(self._key(header))
        if known is not None:
            return known
        fresh = Header(header.syntax, header.encoding, header.raws)
        facts = gate.gate_facts(fresh)
        if not fresh.asked <= set(self._asked):
            self._asked = tuple(sorted(fresh.asked.union(self._asked)))
            self._known.clear()
        self._known[self._key(header)] = facts
        return facts

    def _key(self, header: Header) -> tuple[object, ...]:
        return header.syntax, *map(header.raws.get, self._asked)


def _series_number(header: Header) -> int:
    """Return SeriesNumber; 0 for one so long that it may be a day or a person's."""
    number = header.number(0x00200011) or 0
    return number if 0 <= number < 10**MAX_SERIES_DIGITS else 0


@dataclass(frozen=True)
class _Worker:
    """Takes file after file through engine and gate."""

    engine: Engine
    released: frozenset[str]
    gate: _GateMemory

    def rewrite(self, path: Path, target: Path) -> Outcome:
        """Write a file, or tell why not."""
        try:
            with open_source(path, target.parent) as source:
                return self._pass(self.engine.rewrite(source.data), source, target)
        except BadDicom as error:
            return Outcome(str(error.reason))

    def _pass(self, rewritten: Rewritten, source: Source, target: Path) -> Outcome:
        header, settings = rewritten.header, self.engine.subject.policy.settings
        facts = self.gate.facts(header)
        number = _series_number(header)
        series = series_folder(rewritten.series_uid, number)
        reason = _refusal(header, facts, settings, is_released=series in self.released)
        can_be_released = bool(reason) and not _refusal(
            header, facts, settings, is_released=True
        )
        if not reason:
            reason = _write(rewritten, source, target)
        if not reason:
            self.engine.note_written(rewritten)
        return Outcome(
            reason,
            gate.sop_class_name(header.text(0x00080016)),
            number,
            rewritten.uid,
            series if header.text(0x0020000E) else "",
            can_be_released,
            rewritten.mask.name if rewritten.mask else "",
            target,
            header.text(0x00100020),
            facts,
        )


def _write(rewritten: Rewritten, source: Source, target: Path) -> str:
    """Write a file whole; return why that is impossible, or nothing."""
    header = rewritten.header
    copy = plan_pixels(header, source.data)
    if gate.short_kind_of(header.text(0x00080016)) in gate.WITHOUT_PIXELS:
        copy = PixelCopy(b"", 0, 0, b"")
    if isinstance(copy, str):
        return copy
    with target.open("wb") as file:
        file.writelines(rewritten.head)
        file.write(copy.head)
        if rewritten.mask is None:
            _write_copied(source, copy, file)
        else:
            _write_masked(rewritten.mask, header, source, copy, file)
        file.write(copy.tail)
    return ""


def _write_copied(source: Source, copy: PixelCopy, file: BufferedWriter) -> None:
    position = copy.start
    for start, stop in copy.blanks:
        source.copy_to(file, position, start)
        file.write(bytes(stop - start))
        position = stop
    source.copy_to(file, position, copy.stop)


def _write_masked(
    mask: MaskRecipe, header: Header, source: Source, copy: PixelCopy, file: IO[bytes]
) -> None:
    geometry = masking.geometry_of(header)
    # The gate refuses what cannot be masked (`masking.refuse_mask`).
    assert geometry is not None
    for start in range(copy.start, copy.stop, geometry.frame_bytes):
        frame = bytearray(source.data[start : start + geometry.frame_bytes])
        masking.mask_frame(frame, geometry, mask)
        file.write(frame)


def _refusal(
    header: Header, facts: GateFacts, settings: DeidSettings, *, is_released: bool
) -> str:
    for tag, name in (
        (0x00080016, "SOPClassUID"),
        (0x00080018, "SOPInstanceUID"),
        (0x0020000D, "StudyInstanceUID"),
        (0x0020000E, "SeriesInstanceUID"),
    ):
        if not header.text(tag):
            return f"no {name}"
    return gate.judge(facts, settings, is_released=is_released) or masking.refuse_mask(
        header, settings
    )
