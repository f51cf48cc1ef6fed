"""
Where to look: which drops brought files of a session, and what may be held.

Reading the index of each of thousands of drops to find one session costs more with
every drop. So a drop leaves an empty file under the name of each session that it
brings, before its index is written. A mark may say too much, never too little; a
drop of an earlier version, which left none, is always looked into.

::

    <zone>/marks/indexed/<drop_id>              this drop leaves marks
    <zone>/marks/sessions/<session>/<drop_id>   it brought files of this session
    <zone>/marks/held/<drop_id or session>      something of it may wait for a person
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from imaging_platform.intake.zone import DropFolder, marks_path


def mark_brought(drop: DropFolder, session_keys: Iterable[str]) -> None:
    """Note that a drop brings files of sessions; before these can be read there."""
    marks = marks_path(drop.zone)
    for key in sorted(set(session_keys) - {""}):
        _touch(marks / "sessions" / key / drop.drop_id)


def mark_indexed(drop: DropFolder) -> None:
    """Note that a drop leaves marks; an index that is there already had none."""
    if not drop.index.exists():
        _touch(marks_path(drop.zone) / "indexed" / drop.drop_id)


def mark_held(zone: Path, names: Iterable[str]) -> None:
    """Note that drops or sessions may wait for a person."""
    for name in names:
        _touch(marks_path(zone) / "held" / name)


def has_marks(zone: Path, session_key: str) -> bool:
    """Return whether a drop ever brought files of a session, and is remembered."""
    return (marks_path(zone) / "sessions" / session_key).is_dir()


def forget(zone: Path, session_key: str) -> None:
    """Remove the marks of a session that has no file left, and so its name."""
    marks = marks_path(zone)
    shutil.rmtree(marks / "sessions" / session_key, ignore_errors=True)
    (marks / "held" / session_key).unlink(missing_ok=True)


def drops_with(zone: Path, session_keys: Iterable[str]) -> tuple[DropFolder, ...]:
    """Return the drops that may have files of some sessions, in order."""
    marks = marks_path(zone)
    found = _unmarked(zone)
    for key in set(session_keys) - {""}:
        found |= _names(marks / "sessions" / key)
    return tuple(DropFolder(zone / "drops" / name) for name in sorted(found))


def maybe_held(zone: Path) -> tuple[tuple[DropFolder, ...], tuple[str, ...]]:
    """Return the drops and the sessions of which something may wait for a person."""
    names = _names(marks_path(zone) / "held")
    sessions = {name for name in names if not name.startswith("drop-")}
    drops = sorted((names - sessions) | _unmarked(zone))
    return tuple(DropFolder(zone / "drops" / n) for n in drops), tuple(sorted(sessions))


def _unmarked(zone: Path) -> set[str]:
    drops = {name for name in _names(zone / "drops") if name.startswith("drop-")}
    return drops - _names(marks_path(zone) / "indexed")


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        return set()


def _touch(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o640)
