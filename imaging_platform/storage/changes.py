"""
Which files of a tree changed from one published version to the next.

Kept beside the trees and not in them, so that the same content is the same tree
whatever stood there before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from imaging_platform.files.writing import write_json

MOST_KEPT = 20
"""Steps from version to version that are remembered of a tree."""


def note_step(
    file: Path,
    before: tuple[str, Mapping[str, str]],
    after: tuple[str, Mapping[str, str]],
) -> None:
    """
    Remember one step of a tree; the same step again changes nothing.

    Parameters
    ----------
    file
        Where the steps of the tree are kept.
    before, after
        Data version, and content digest of each file by its path.
    """
    (old, olds), (new, news) = before, after
    if old == new:
        return
    differing = sorted(
        name for name in olds.keys() | news.keys() if olds.get(name) != news.get(name)
    )
    step = {
        "before": old,
        "after": new,
        "files": {name: _word(name, olds, news) for name in differing},
    }
    known = [each for each in _read_steps(file) if each != step]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, [*known, step][-MOST_KEPT:])


def find_changes(file: Path, since: str) -> dict[str, str]:
    """
    Return ``added``, ``changed`` or ``removed`` by path since a version of a tree.

    Empty when that version is not remembered. A file that changed and changed back
    is among them.
    """
    steps = _read_steps(file)
    starts = [n for n, step in enumerate(steps) if step["before"] == since]
    if not starts:
        return {}
    changes: dict[str, str] = {}
    for step in steps[starts[-1] :]:
        for name, word in step["files"].items():
            is_new = changes.get(name) == "added" and word == "changed"
            changes[name] = "added" if is_new else word
    return changes


def _word(name: str, olds: Mapping[str, str], news: Mapping[str, str]) -> str:
    if name not in olds:
        return "added"
    return "changed" if name in news else "removed"


def _read_steps(file: Path) -> list[dict[str, dict[str, str]]]:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return []
