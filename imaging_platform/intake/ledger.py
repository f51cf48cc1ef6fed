"""
Which study of which patient is which session: a list that only grows.

A session that the site did not name is numbered: sessions of a subject count up in
the order in which they arrive. A label, once given, stays, so a session keeps its
key whatever arrives later, unless a person decides otherwise or the study file lets
studies of one visit share a session (`visits`). A later line stands for an earlier.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from imaging_platform.files.writing import write_json, write_text
from imaging_platform.intake.assignment import Answer, StudyOfPatient, place
from imaging_platform.intake.visits import Identity, Placed
from imaging_platform.intake.zone import (
    imported_path,
    ledger_path,
    locked,
    moving_path,
)
from imaging_platform.model.ids import SessionKey


def place_studies(
    zone: Path,
    studies: Iterable[StudyOfPatient],
    *,
    imported: Collection[SessionKey] = (),
    within_hours: float = 0,
) -> dict[Identity, Answer]:
    """
    Return the session of each study, writing down the new ones.

    Safe against other processes (the ledger is locked) and against a kill (a
    line that was not finished is taken back by the next writer).

    Parameters
    ----------
    zone
        The study's identified zone.
    studies
        Studies to place, each once or more.
    imported
        Sessions that came from an existing dataset (`read_imported`).
    within_hours
        Studies of one scanner that began within so many hours share a session; a
        study that links two sessions joins them (`moved_studies`). 0: none do.

    Returns
    -------
    dict
        Session key, or why there is none, by `StudyOfPatient.identity`.
    """
    wanted = list(studies)
    known = _read(zone)
    after, answers = place(known, wanted, imported, within_hours)
    if after == known:
        return answers
    with locked(ledger_path(zone)) as handle:
        known = _take_back_torn_line(handle)
        after, answers = place(known, wanted, imported, within_hours)
        changed = {one: after[one] for one in after if after[one] != known.get(one)}
        # First: killed after the ledger, files would stay where they are.
        _note_moving(zone, known, changed)
        _append(handle, changed)
    return answers


def move_studies(zone: Path, placed: Mapping[Identity, SessionKey]) -> None:
    """
    Write down that a person gave studies other sessions; twice is once.

    A later line of the ledger stands for the earlier: files of these studies that
    come later go to the new session, too.
    """
    with locked(ledger_path(zone)) as handle:
        known = _take_back_torn_line(handle)
        nowhere = Placed(None)
        changed = {
            study: replace(known.get(study, nowhere), key=key, is_fixed=True)
            for study, key in placed.items()
            if study not in known or known[study].key != key
        }
        _append(handle, changed)


def moved_studies(zone: Path) -> dict[tuple[str, str], str]:
    """
    Return where the files of studies belong that were in another session before.

    Returns
    -------
    dict
        Text of the session, by digest of the study UID and text of the session that
        it was in; no other patient had a session of that label.
    """
    return {
        (study, str(former)): str(placed.key)
        for (_, study), placed in _read(zone).items()
        for former in placed.former
        if former != placed.key
    }


def followers_of(zone: Path) -> dict[str, set[str]]:
    """Return where the studies of each session are that were in another before."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for (_, former), now in moved_studies(zone).items():
        found[former].add(now)
    return dict(found)


def joined_sessions(zone: Path, keys: Collection[str]) -> tuple[str, ...]:
    """Return the sessions all of whose studies moved, some of them into `keys`."""
    known = _read(zone)
    left = {str(placed.key) for placed in known.values()}
    former = {
        str(key)
        for placed in known.values()
        if str(placed.key) in keys
        for key in placed.former
    }
    return tuple(sorted(former - left))


def _note_moving(
    zone: Path, known: Mapping[Identity, Placed], changed: Mapping[Identity, Placed]
) -> None:
    for identity, placed in changed.items():
        before = known.get(identity)
        if before is not None and before.key != placed.key:
            write_text(moving_path(zone) / str(before.key), "", mode=0o640)


def _append(handle: int, placed: Mapping[Identity, Placed]) -> None:
    lines = [
        json.dumps(
            {
                "session": str(each.key),
                "study": study,
                "patient": patient,
                "started": each.started,
                "scanners": sorted(each.scanners),
                "is_fixed": each.is_fixed,
            },
            sort_keys=True,
        )
        for (patient, study), each in placed.items()
    ]
    os.lseek(handle, 0, os.SEEK_END)
    _write_all(handle, "".join(f"{line}\n" for line in lines).encode())
    os.fsync(handle)


def read_ledger(zone: Path) -> dict[Identity, SessionKey]:
    """
    Return the session key of each placed study.

    A last line that is still being written is not read.
    """
    return {one: placed.key for one, placed in _read(zone).items() if placed.key}


def known_sessions(zone: Path) -> frozenset[SessionKey]:
    """Return all sessions of the study that a drop brought."""
    return frozenset(read_ledger(zone).values())


def _read(zone: Path) -> dict[Identity, Placed]:
    path = ledger_path(zone)
    return _parse(path.read_bytes()) if path.exists() else {}


def note_imported(zone: Path, key: SessionKey) -> None:
    """Write down that a session came from an existing dataset; twice is once."""
    path = imported_path(zone)
    with locked(path.with_suffix(".lock")):
        keys = {str(each) for each in read_imported(zone)} | {str(key)}
        write_json(path, sorted(keys), mode=0o640)


def read_imported(zone: Path) -> frozenset[SessionKey]:
    """Return the sessions that ever came from an existing dataset."""
    path = imported_path(zone)
    texts = json.loads(path.read_text()) if path.exists() else []
    return frozenset(map(SessionKey.parse, texts))


def subjects_of_patients(zone: Path) -> dict[str, str]:
    """Return the subject label of each patient with a session, by pseudonym."""
    return {patient: key.subject for (patient, _), key in read_ledger(zone).items()}


def _parse(data: bytes) -> dict[Identity, Placed]:
    whole = data[: data.rfind(b"\n") + 1]
    known: dict[Identity, Placed] = {}
    for line in whole.splitlines():
        entry = json.loads(line)
        key = SessionKey.parse(entry["session"])
        # Lines of the first version: every label was the patient's pseudonym.
        one = entry.get("patient", key.subject), entry["study"]
        before = known.get(one)
        known[one] = Placed(
            key,
            entry.get("started", ""),
            frozenset(entry.get("scanners", ())),
            entry.get("is_fixed", False),
            _former(before, key),
        )
    return known


def _former(before: Placed | None, key: SessionKey) -> tuple[SessionKey, ...]:
    if before is None or before.key is None:
        return ()
    moved = () if before.key == key else (before.key,)
    return (*before.former, *moved)


def _take_back_torn_line(handle: int) -> dict[Identity, Placed]:
    data = os.pread(handle, os.fstat(handle).st_size, 0)
    os.ftruncate(handle, data.rfind(b"\n") + 1)
    return _parse(data)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
