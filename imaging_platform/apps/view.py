"""What an app sees: a BIDS dataset of the sessions that it is about, and no more."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from imaging_platform.files.digests import sorted_files
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model import layout
from imaging_platform.model.errors import MissingInput
from imaging_platform.model.ids import SessionKey

README = "# Sessions of a study\n\nWhat one run of a BIDS App may read.\n"

Sessions = Mapping[SessionKey, Path]
"""The BIDS tree of each session."""


def refuse_missing(sessions: Sessions, needs: Sequence[str], app: str) -> None:
    """
    Refuse to start an app whose input is not there.

    Parameters
    ----------
    sessions
        What it is about.
    needs
        Patterns below a session; one session with a file is enough.
    app
        Its name.

    Raises
    ------
    MissingInput
        A pattern matches no file.
    """
    missing = [
        pattern
        for pattern in needs
        if not any(next(tree.glob(pattern), None) for tree in sessions.values())
    ]
    if missing:
        raise MissingInput(
            f"{app} needs {', '.join(missing)}, which no file of "
            f"{_name_some(sessions)} matches.",
            fix="See what the series became (series table of bids_session); without "
            "such a scan this result cannot be made.",
        )


def write_view(
    root: Path,
    sessions: Sessions,
    *,
    study: str,
    bids_version: str,
    is_linked: bool,
) -> None:
    """
    Write a BIDS dataset of some sessions.

    It follows from the sessions alone: what else the study holds changes nothing.

    Parameters
    ----------
    root
        Empty folder.
    sessions
        Their trees.
    study
        Name of the dataset.
    bids_version
        Such as ``1.11.1``.
    is_linked
        Whether files are hard links; only for an app that cannot write to them.
        Others get copies.
    """
    for key, tree in sorted(sessions.items()):
        place = root / f"sub-{key.subject}" / f"ses-{key.session}"
        for file in sorted_files(tree):
            name = file.relative_to(tree)
            if not name.parts[0].startswith("."):
                _lend(file, place / name, is_linked=is_linked)
    write_json(
        root / "dataset_description.json",
        {"Name": study, "BIDSVersion": bids_version, "DatasetType": "raw"},
    )
    write_text(root / "README.md", README)
    write_text(root / "participants.tsv", _tell_participants(sessions))


def _lend(source: Path, target: Path, *, is_linked: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_linked:
        try:
            os.link(source, target)
        except OSError:
            # Another file system, or one without hard links.
            shutil.copyfile(source, target)
    else:
        shutil.copyfile(source, target)
        target.chmod(0o444)


def _tell_participants(sessions: Sessions) -> str:
    """Return the table with a row a subject, as its first session tells it."""
    rows: dict[str, dict[str, str]] = {}
    for key, tree in sorted(sessions.items()):
        rows.setdefault(f"sub-{key.subject}", _read_columns(tree))
    columns = sorted({column for row in rows.values() for column in row})
    lines = [["participant_id", *columns]]
    lines += [
        [name, *(row.get(c, "n/a") for c in columns)] for name, row in rows.items()
    ]
    return "".join("\t".join(line) + "\n" for line in lines)


def _read_columns(tree: Path) -> dict[str, str]:
    file = tree / layout.PARTICIPANT
    return json.loads(file.read_text()) if file.exists() else {}


def _name_some(sessions: Sessions) -> str:
    first = min(sessions, default=None)
    if first is None:
        return "no session"
    more = len(sessions) - 1
    return f"{first}" + (f" and {more} more session(s)" if more else "")
