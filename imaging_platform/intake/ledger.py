"""
Which study of which subject is which session: a list that only grows.

Sessions of a subject are numbered in the order in which they arrive. A number,
once given, stays, so a session keeps its key whatever arrives later.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.files.digests import digest_bytes
from imaging_platform.intake.zone import ledger_path, locked
from imaging_platform.model.ids import SessionKey


@dataclass(frozen=True, order=True, repr=False)
class StudyOfSubject:
    """
    One study of one subject, to be placed.

    Parameters
    ----------
    subject
        Subject label.
    started
        Date and time of the study as DICOM text; new studies that arrive
        together are numbered in this order.
    study_uid
        StudyInstanceUID.
    """

    subject: str
    started: str
    study_uid: str

    @property
    def identity(self) -> tuple[str, str]:
        """Subject label and digest of the study UID."""
        return self.subject, digest_bytes(self.study_uid.encode())


def place_studies(
    zone: Path, studies: Iterable[StudyOfSubject]
) -> dict[tuple[str, str], SessionKey]:
    """
    Return the session of each study, numbering the new ones.

    Safe against other processes (the ledger is locked) and against a kill (a
    line that was not finished is taken back by the next writer).

    Parameters
    ----------
    zone
        The study's identified zone.
    studies
        Studies to place, each once or more.

    Returns
    -------
    dict
        Session key by `StudyOfSubject.identity`.
    """
    wanted = sorted(set(studies))
    known = read_ledger(zone)
    if all(study.identity in known for study in wanted):
        return {study.identity: known[study.identity] for study in wanted}
    with locked(ledger_path(zone)) as handle:
        known = _take_back_torn_line(handle)
        lines = []
        for study in wanted:
            if study.identity in known:
                continue
            numbers = (
                int(key.session)
                for key in known.values()
                if key.subject == study.subject
            )
            key = SessionKey(study.subject, str(1 + max(numbers, default=0)))
            known[study.identity] = key
            entry = {"session": str(key), "study": study.identity[1]}
            lines.append(json.dumps(entry, sort_keys=True) + "\n")
        os.lseek(handle, 0, os.SEEK_END)
        _write_all(handle, "".join(lines).encode())
        os.fsync(handle)
    return {study.identity: known[study.identity] for study in wanted}


def read_ledger(zone: Path) -> dict[tuple[str, str], SessionKey]:
    """
    Return each placed study: session key by (subject label, digest of study UID).

    A last line that is still being written is not read.
    """
    path = ledger_path(zone)
    return _parse(path.read_bytes()) if path.exists() else {}


def _parse(data: bytes) -> dict[tuple[str, str], SessionKey]:
    whole = data[: data.rfind(b"\n") + 1]
    known = {}
    for line in whole.splitlines():
        entry = json.loads(line)
        key = SessionKey.parse(entry["session"])
        known[key.subject, entry["study"]] = key
    return known


def _take_back_torn_line(handle: int) -> dict[tuple[str, str], SessionKey]:
    data = os.pread(handle, os.fstat(handle).st_size, 0)
    os.ftruncate(handle, data.rfind(b"\n") + 1)
    return _parse(data)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
