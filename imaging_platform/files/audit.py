"""
Who looked behind a pseudonym, or released what was held: a list that only grows.

Each line holds the digest of the line before it, and a second file holds the digest
of the last one, so that a line that was changed, moved or removed is noticed. Who
may write the folder can still write both files anew: note the digest of the last
line, which `imaging-platform audit` prints, where that person cannot write.

::

    <zone>/audit.jsonl   one JSON object a line
    <zone>/audit.head    number and digest of the last line
"""

from __future__ import annotations

import json
import os
import unicodedata
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from imaging_platform.files.digests import digest_bytes
from imaging_platform.files.staging import locked
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadConfig, BadInput

TRAIL = "audit.jsonl"
HEAD = "audit.head"
MAX_CHARACTERS = 500
_START = "0" * 64
_FIX = (
    "Compare audit.jsonl in the identified zone with its backup, find out who "
    "changed it, and put the whole file back."
)


@dataclass(frozen=True)
class Entry:
    """
    One thing that a person did.

    Parameters
    ----------
    number
        From 1, without gaps.
    when
        Moment in UTC, ISO 8601 with seconds.
    action
        What was done, such as ``whois``.
    subject
        To what: a pseudonym, a session key, a count; never an original identifier.
    author, reason
        By whom and why, as told.
    previous
        Digest of the entry before it; 64 zeros for the first.
    """

    number: int
    when: str
    action: str
    subject: str
    author: str
    reason: str
    previous: str

    @property
    def digest(self) -> str:
        """SHA-256 over all fields, 64 hex digits; names this and all before it."""
        return digest_bytes(_text_of(self).encode())


def append_audit(
    zone: Path, *, action: str, subject: str, author: str, reason: str, now: datetime
) -> None:
    """
    Add an entry; when this returns it is on the disk.

    Call it before the thing is done, so that nothing is done without an entry.
    Safe against other processes, and against a kill: an unfinished line is taken
    back by the next writer.

    Parameters
    ----------
    zone
        The study's identified zone; made if absent.
    action, subject
        What is done, and to what; without any original identifier.
    author, reason
        Who does it and why; neither may be blank.
    now
        The moment, with its time zone.

    Raises
    ------
    BadConfig
        A field is blank, longer than 500 characters, or holds a control character.
    BadInput
        The trail was changed by other hands (`read_audit`).
    """
    named = {"action": action, "subject": subject, "author": author, "reason": reason}
    for name, text in named.items():
        _refuse_unreadable(name, text)
    when = now.astimezone(UTC).isoformat(timespec="seconds")
    zone.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(zone / "audit.lock"):
        entries = _read(zone)
        previous = entries[-1].digest if entries else _START
        entry = Entry(number=len(entries) + 1, when=when, previous=previous, **named)
        _append_line(zone / TRAIL, _line_of(entry))
        write_text(zone / HEAD, f"{entry.number} {entry.digest}\n", mode=0o600)


def read_audit(zone: Path) -> tuple[Entry, ...]:
    """
    Return all entries, oldest first, after proving that none was changed.

    Raises
    ------
    BadInput
        A line was changed, moved or removed; the message says which is the first.
    """
    if not (zone / TRAIL).exists() and not (zone / HEAD).exists():
        return ()
    with locked(zone / "audit.lock"):
        return tuple(_read(zone))


def _read(zone: Path) -> list[Entry]:
    trail = zone / TRAIL
    data = trail.read_bytes() if trail.exists() else b""
    entries: list[Entry] = []
    previous = _START
    for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]:
        entry = _entry_of(line, number=len(entries) + 1, previous=previous)
        entries.append(entry)
        previous = entry.digest
    _refuse_other_head(zone, entries)
    return entries


def _entry_of(line: bytes, *, number: int, previous: str) -> Entry:
    try:
        told = json.loads(line)
        digest = told.pop("digest")
        entry = Entry(**told)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _changed(number) from None
    is_next = (entry.number, entry.previous) == (number, previous)
    if not is_next or entry.digest != digest or _line_of(entry) != line + b"\n":
        raise _changed(number)
    return entry


def _refuse_other_head(zone: Path, entries: list[Entry]) -> None:
    """Refuse lines that were cut off; the head is written after its line."""
    head = zone / HEAD
    if not head.exists():
        if len(entries) > 1:
            raise BadInput("The head of the audit trail is missing.", fix=_FIX)
        return
    number, _, digest = head.read_text().strip().partition(" ")
    place = int(number) if number.isdigit() else 0
    # One line more than the head: its writer was killed before it wrote the head.
    if not 0 < place <= len(entries) <= place + 1:
        raise BadInput(
            f"The audit trail has {len(entries)} entries, its head says {place}.",
            fix=_FIX,
        )
    if entries[place - 1].digest != digest:
        raise _changed(place)


def _append_line(trail: Path, line: bytes) -> None:
    handle = os.open(trail, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        data = os.pread(handle, os.fstat(handle).st_size, 0)
        whole = data.rfind(b"\n") + 1
        os.ftruncate(handle, whole)
        while line:
            written = os.pwrite(handle, line, whole)
            line, whole = line[written:], whole + written
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_unreadable(name: str, text: str) -> None:
    is_plain = not any(unicodedata.category(sign).startswith("C") for sign in text)
    if not text.strip() or len(text) > MAX_CHARACTERS or not is_plain:
        raise BadConfig(
            f"The {name} of an audit entry is 1 to {MAX_CHARACTERS} characters "
            "on one line.",
            fix=f"Give a short {name} that a reader of the audit trail understands.",
        )


def _text_of(entry: Entry) -> str:
    return json.dumps(asdict(entry), sort_keys=True)


def _line_of(entry: Entry) -> bytes:
    told = {**asdict(entry), "digest": entry.digest}
    return json.dumps(told, sort_keys=True).encode() + b"\n"


def _changed(number: int) -> BadInput:
    return BadInput(
        f"The audit trail was changed: entry {number} is not what was written.",
        fix=_FIX,
    )
