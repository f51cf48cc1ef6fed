"""
Files that people bring to a session: events, answers, and recordings of the body.

Names say to what a file belongs: by entities, ``task-rest_run-1_events.tsv``, or by
the number of the series, ``series-5_events.tsv``. A recording whose name says
neither belongs to the run that began at its clock. Names may begin with the labels
of the session, ``sub-01_ses-1_task-rest_events.tsv``.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.bids.existing import BidsFile, parse_name
from imaging_platform.bids.physio import (
    Physio,
    Sampling,
    read_packed,
    read_physio,
    read_physio_dicom,
    read_sampling,
    write_physio,
    write_samples,
)
from imaging_platform.bids.tables import clean_table
from imaging_platform.files.digests import sorted_files
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey

CLOCK_TOLERANCE_S = 5.0
"""A recording belongs to the run that began within this time of its first volume."""

_TABLES = {"events": ("onset", "duration"), "beh": ()}
_TABLE = re.compile(
    r"(?P<name>(?:[a-z]+-[A-Za-z0-9]+_)*)(?P<suffix>events|beh)\.tsv", re.ASCII
)
_SAMPLES = re.compile(
    r"(?P<name>(?:[a-z]+-[A-Za-z0-9]+_)*)(?:physio|stim)\.tsv\.gz", re.ASCII
)
_LOG = re.compile(r"(?P<run>.*)_(?P<kind>Info|PULS|RESP|ECG|EXT)\.log", re.DOTALL)
_NAMED = re.compile(r"((?:(?:series|task|acq|dir|run|rec)-[A-Za-z0-9]+_)+)", re.ASCII)
_SUBJECT = re.compile(r"(?:^|[/_])sub-([A-Za-z0-9]{1,32})(?=[/_])", re.ASCII)
_SESSION = re.compile(r"(?:^|[/_])ses-([A-Za-z0-9]{1,32})(?=[/_])", re.ASCII)
_LABELS = re.compile(r"(?:^|(?<=_))(?:sub|ses)-[A-Za-z0-9]+_", re.ASCII)
_KEPT_ENTITIES = ("task", "acq", "ce", "rec", "dir", "run")


@dataclass(frozen=True)
class Received:
    """
    What of a folder can be attached.

    Parameters
    ----------
    files
        Names that were written.
    left_out
        Name of a file -> why it is not; for the terminal only.
    thinned
        Name of a table and how many columns of it -> why these are not.
    """

    files: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    thinned: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attached:
    """
    What was attached to a converted session.

    Parameters
    ----------
    files
        Paths below the session's folder, sorted.
    waiting
        Name of an attachment -> why it was not attached.
    """

    files: tuple[str, ...]
    waiting: Mapping[str, str] = field(default_factory=dict)


def name_session(name: str) -> tuple[str, str] | None:
    """
    Return the subject and session label that the name of an attachment gives.

    Labels are "" where there is none; None when it is no events, answers or log of
    the body. Recordings in DICOM are not told by their names.

    Examples
    --------
    >>> name_session("sub-01/ses-2/task-rest_events.tsv")
    ('01', '2')
    >>> name_session("run-1_events.tsv"), name_session("notes.txt")
    (('', ''), None)
    """
    last = name.rpartition("/")[2]
    if not any(kind.fullmatch(last) for kind in (_TABLE, _SAMPLES, _LOG)):
        return None
    subjects, sessions = _SUBJECT.findall(name), _SESSION.findall(name)
    return (subjects or [""])[-1], (sessions or [""])[-1]


def receive_attachments(source: Path, target: Path, key: SessionKey) -> Received:
    """
    Write what of a folder can be attached, without what might tell of a person.

    Parameters
    ----------
    source
        Folder, read at any depth.
    target
        Existing empty folder; gets tables and recordings under names made of
        entities, series numbers or clocks alone.
    key
        The session; what names another one is left out.
    """
    left_out: dict[str, str] = {}
    thinned: dict[str, str] = {}
    runs: dict[str, list[Path]] = defaultdict(list)
    for path in sorted_files(source):
        place = path.relative_to(source).as_posix()
        if not _is_of(place, key):
            left_out[place] = "its name says another subject or session"
            continue
        log = _LOG.fullmatch(place)
        if log:
            runs[log["run"]].append(path)
            continue
        try:
            if path.name.endswith((".tsv", ".tsv.gz")):
                receive = _receive_table if path.suffix == ".tsv" else _receive_samples
                columns = receive(path, target)
                thinned |= {f"{place}, {n} column(s)": w for w, n in columns.items()}
            elif _SAMPLES.fullmatch(f"{_LABELS.sub('', path.stem)}.tsv.gz"):
                continue  # The sidecar of samples, read with them.
            elif path.suffix.lower() in (".dcm", ".ima"):
                _write_recording(read_physio_dicom(path), target, path.name)
            else:
                left_out[place] = "no events, answers, or recording of the body"
        except BadInput as error:
            left_out[place] = str(error)
    for run, logs in sorted(runs.items()):
        try:
            physio = read_physio(p.read_text(errors="replace") for p in logs)
            _write_recording(physio, target, run.rpartition("/")[2])
        except BadInput as error:
            left_out[f"{run}_*.log"] = str(error)
    files = tuple(p.relative_to(target).as_posix() for p in sorted_files(target))
    return Received(files, left_out, thinned)


def _is_of(place: str, key: SessionKey) -> bool:
    """Return whether each label in a name is that of the session."""
    return set(_SUBJECT.findall(place)) <= {key.subject} and (
        set(_SESSION.findall(place)) <= {key.session}
    )


def _receive_table(path: Path, target: Path) -> Mapping[str, int]:
    """
    Write a table; return how many of its columns are left out, by reason.

    Raises
    ------
    BadInput
        All of it is left out.
    """
    name = _LABELS.sub("", path.name)
    match = _TABLE.fullmatch(name)
    if match is None:
        raise _unfit("its name is not, for example, task-rest_run-1_events.tsv")
    text = path.read_text(encoding="utf-8", errors="replace")
    cleaned = clean_table(text, required=_TABLES[match["suffix"]])
    if not cleaned.columns:
        raise _unfit("no column of it may pass")
    if (target / name).exists():
        raise _unfit("a file of this name came twice; the first one counts")
    write_text(target / name, cleaned.text)
    return cleaned.left_out


def _receive_samples(path: Path, target: Path) -> Mapping[str, int]:
    """
    Write samples that are BIDS already, with what their sidecar says of time.

    Returns how many columns are left out, by reason.

    Raises
    ------
    BadInput
        All of it is left out.
    """
    name = _LABELS.sub("", path.name)
    if not _SAMPLES.fullmatch(name):
        raise _unfit("its name is not, for example, task-rest_run-1_physio.tsv.gz")
    if (target / name).exists():
        raise _unfit("a file of this name came twice; the first one counts")
    head = read_sampling(path.with_name(path.name.replace(".tsv.gz", ".json")))
    samples = clean_table("\t".join(head.columns) + "\n" + read_packed(path))
    if not samples.columns:
        raise _unfit("no column of it may pass")
    write_samples(
        target / name,
        samples.text.partition("\n")[2],
        Sampling(samples.columns, head.sampling_hz, head.start_s),
    )
    return samples.left_out


def _unfit(why: str) -> BadInput:
    return BadInput(why, fix="Rename or correct the file, and attach it again.")


def _write_recording(physio: Physio, target: Path, name: str) -> None:
    named = _NAMED.match(_LABELS.sub("", name))
    stem = named.group(1).rstrip("_") if named else f"clock-{physio.clock_s * 1000:.0f}"
    write_physio(physio, target, stem)


def attach_files(attachments: Path, session_tree: Path, key: SessionKey) -> Attached:
    """
    Put attachments beside the runs of a converted session that they belong to.

    Parameters
    ----------
    attachments
        From `receive_attachments`.
    session_tree
        The folder that is ``sub-x/ses-y``; files are added.
    key
        Its subject and session.

    Raises
    ------
    BadInput
        A sidecar of the session cannot be read.
    """
    runs = _list_runs(session_tree)
    files: list[str] = []
    waiting: dict[str, str] = {}
    for path in sorted_files(attachments):
        place = _find_place(path.name, runs, key)
        if isinstance(place, _Waits):
            waiting[path.name] = place.why
            continue
        target = session_tree / place
        if target.exists():
            waiting[path.name] = "another file is attached to this run"
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        files.append(place)
    return Attached(tuple(sorted(files)), waiting)


@dataclass(frozen=True)
class _Run:
    """One functional run: entities that its files share, number and clock."""

    entities: tuple[tuple[str, str], ...]
    series_number: int
    clock_s: float | None


@dataclass(frozen=True)
class _Waits:
    why: str


def _list_runs(session_tree: Path) -> list[_Run]:
    """Return the functional runs, each echo and part of one only once."""
    found: dict[tuple[tuple[str, str], ...], _Run] = {}
    for sidecar in sorted((session_tree / "func").glob("*_bold.json")):
        file = parse_name(sidecar, "func")
        if file is None:
            continue
        try:
            facts = json.loads(sidecar.read_text())
        except ValueError:
            raise BadInput(
                "A sidecar of the session is not JSON.",
                fix="Materialize bids_session of this session again.",
            ) from None
        run = _Run(_shared(file), int(facts.get("SeriesNumber", 0)), _clock(facts))
        found.setdefault(run.entities, run)
    return list(found.values())


def _shared(file: BidsFile) -> tuple[tuple[str, str], ...]:
    return tuple((k, v) for k, v in file.entities.items() if k in _KEPT_ENTITIES)


def _clock(facts: Mapping[str, object]) -> float | None:
    """Return AcquisitionTime in s after midnight; None when it is not known."""
    match = re.fullmatch(
        r"(\d\d?):(\d\d):(\d\d(?:\.\d+)?)", str(facts.get("AcquisitionTime", ""))
    )
    if not match:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _find_place(name: str, runs: list[_Run], key: SessionKey) -> str | _Waits:
    """Return the path below the session's folder, or why there is none."""
    stem, _, extension = name.partition(".")
    *pairs, suffix = stem.split("_")
    entities = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    recording = entities.pop("recording", "")
    if suffix == "beh":
        if not set(entities) <= set(_KEPT_ENTITIES) or "task" not in entities:
            return _Waits("answers are named by a task, as task-nback_beh.tsv")
        return f"beh/{key}_{'_'.join(pairs)}_beh.{extension}"
    fitting = [run for run in runs if _fits(run, entities)]
    if len(fitting) != 1:
        many = f"{len(fitting)} runs fit" if fitting else "no run of the session fits"
        return _Waits(f"{many}; name it by entities or by series-<number>")
    parts = [str(key), *(f"{k}-{v}" for k, v in fitting[0].entities)]
    parts += [f"recording-{recording}"] if recording else []
    return f"func/{'_'.join([*parts, suffix])}.{extension}"


def _fits(run: _Run, wanted: Mapping[str, str]) -> bool:
    for name, label in wanted.items():
        if name == "series":
            if not label.isdigit() or run.series_number != int(label):
                return False
        elif name == "clock":
            if run.clock_s is None:
                return False
            if abs(run.clock_s - int(label) / 1000) > CLOCK_TOLERANCE_S:
                return False
        elif (name, label) not in run.entities:
            return False
    return True
