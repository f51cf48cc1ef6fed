"""
Files that came beside images: which session each belongs to, and where they wait.

Events, answers and recordings name their session themselves, or belong to the one
session of the drop. What the names mean is told by the caller (`NameCompanion`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from imaging_platform.files.writing import write_text
from imaging_platform.intake.index import read_index
from imaging_platform.intake.marks import drops_with, mark_brought
from imaging_platform.intake.store import place_content
from imaging_platform.intake.zone import DropFolder
from imaging_platform.model.ids import SessionKey

NO_SESSION = "nothing says to which session it belongs: give it by `attach`"
UNKNOWN_SESSION = "its session has not come: wait for it, or use `attach`"
RECORDED = "PHYSIO"
"""Value of (0008,0008) ImageType in recordings that came as DICOM (CMRR)."""


NameCompanion = Callable[[str], tuple[str, str] | None]
"""
From the relative name of a file: the labels of subject and session that it gives, ""
where it gives none; None when it is no file that can be attached. The labels may be
the site's own, so they may identify.
"""


@dataclass(frozen=True)
class Companion:
    """
    One file of a drop that can be attached to a session.

    Parameters
    ----------
    arrival
        Number of the arrival that brought it, from 1.
    sha256
        Digest of the content; its place in the store.
    name
        Relative name as it came; may identify the subject.
    session_key
        Text of the key that it belongs to, "" when nothing says which.
    """

    arrival: int
    sha256: str
    name: str = field(repr=False)
    session_key: str = field(repr=False)


def name_none(_: str) -> None:
    """Say that no file can be attached."""


def choose_session(
    named: tuple[str, str],
    *,
    here: Collection[SessionKey],
    known: Collection[SessionKey],
) -> str:
    """
    Return the key of the session that a file belongs to; "" when it is not certain.

    Parameters
    ----------
    named
        Subject and session label that its name gives, "" where it gives none.
    here
        Sessions whose images came with it.
    known
        All sessions of the study.

    Examples
    --------
    >>> one, two = SessionKey("A", "1"), SessionKey("A", "2")
    >>> choose_session(("", ""), here=[one], known=[one, two])
    'sub-A_ses-1'
    >>> choose_session(("A", ""), here=[], known=[one, two])
    ''
    """
    subject, session = named
    if subject and session:
        return str(SessionKey(subject, session))
    fitting = _fitting(here, subject, session)
    if not fitting and subject:
        fitting = _fitting(known, subject, session)
    return str(fitting.pop()) if len(fitting) == 1 else ""


def _fitting(
    keys: Collection[SessionKey], subject: str, session: str
) -> set[SessionKey]:
    return {
        key
        for key in keys
        if subject in ("", key.subject) and session in ("", key.session)
    }


def read_companions(drop: DropFolder) -> tuple[Companion, ...]:
    """Return the files of a drop that can be attached; none when there are none."""
    if not drop.companions.exists():
        return ()
    lines = drop.companions.read_text("utf-8").splitlines()
    return tuple(Companion(**json.loads(line)) for line in lines)


def write_companions(drop: DropFolder, rows: Iterable[Companion]) -> None:
    """Replace a drop's list with one rename; a drop without such files has none."""
    brought = list(rows)
    mark_brought(drop, (row.session_key for row in brought))
    lines = sorted(json.dumps(asdict(row), sort_keys=True) + "\n" for row in brought)
    if lines or drop.companions.exists():
        write_text(drop.companions, "".join(lines), mode=0o640)


def gather_companions(key: SessionKey, *, zone: Path, target: Path) -> int:
    """
    Link all that came for a session, from all drops, and return how many files.

    Files of one folder stay together, under their own names: these say what a
    file is. Recordings that came as DICOM are among them.

    Parameters
    ----------
    key
        The session.
    zone
        The study's identified zone.
    target
        An existing, empty folder inside the identified zone.
    """
    folders: dict[tuple[str, int, str], Path] = {}
    n_files = 0
    for drop in drops_with(zone, [str(key)]):
        for place, name, sha256 in _files_of(drop, key):
            number = str(len(folders))
            folder = folders.setdefault((drop.drop_id, *place), target / number)
            folder.mkdir(exist_ok=True)
            if not (folder / name).exists():
                place_content(zone, sha256, folder / name)
                n_files += 1
    return n_files


def _files_of(
    drop: DropFolder, key: SessionKey
) -> list[tuple[tuple[int, str], str, str]]:
    """Return arrival and folder, name in it, and digest of each file of a session."""
    brought = [row for row in read_companions(drop) if row.session_key == str(key)]
    found = [
        ((row.arrival, folder), name, row.sha256)
        for row in brought
        for folder, _, name in [row.name.rpartition("/")]
    ]
    found += [
        ((row.arrival, ""), f"{row.sha256[:24]}.dcm", row.sha256)
        for row in read_index(drop, session_key=str(key), only_without_pixels=True)
        if RECORDED in row.header.image_type.split("\\")
    ]
    return found


def companion_digests(zone: Path, keys: Collection[str]) -> dict[str, set[str]]:
    """Return the digests of all that came for some sessions, over all drops."""
    digests: dict[str, set[str]] = {key: set() for key in keys}
    for drop in drops_with(zone, keys):
        for row in read_companions(drop):
            if row.session_key in digests:
                digests[row.session_key].add(row.sha256)
    return digests


def came_since(
    rows: Sequence[Companion], known: Collection[SessionKey]
) -> frozenset[str]:
    """Return the digests of files all of whose sessions are known."""
    keys = {str(key) for key in known}
    waiting = {row.sha256 for row in rows if row.session_key not in keys}
    return frozenset(row.sha256 for row in rows) - waiting
