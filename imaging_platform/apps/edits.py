"""What people corrected by hand: an input of an app that survives every rerun."""

from __future__ import annotations

import shutil
from pathlib import Path

from imaging_platform.files.digests import digest_tree
from imaging_platform.model.errors import BadInput

EDITS_INPUT = "edits"
"""Input of an app that stands for the content of the folder of edits."""

PLACES = ("out", "work")
"""Folders that edits may hold: they are laid into the folders of the app."""


def edits_version(folder: Path) -> str:
    """Return the content digest of a folder of edits; empty when it has no file."""
    if not any(path.is_file() for path in folder.rglob("*")):
        return ""
    return digest_tree(folder)


def lay_edits(folder: Path, target: Path) -> None:
    """
    Copy edits to where the app finds them.

    Parameters
    ----------
    folder
        Holds ``out`` and ``work``, either may be absent; nothing when it is.
    target
        Folder with the app's own ``out`` and ``work``.

    Raises
    ------
    BadInput
        There is anything else, or a link.
    """
    if not folder.is_dir():
        return
    strange = sorted(p.name for p in folder.iterdir() if p.name not in PLACES)
    if strange:
        raise BadInput(
            f"Edits lie in {' and '.join(PLACES)}; there is also {strange[0]}.",
            fix="Move it to out/, where the app keeps its results, or to work/.",
        )
    if any(path.is_symlink() for path in folder.rglob("*")):
        raise BadInput(
            "There is a link among the edits.", fix="Put a copy of the file there."
        )
    for place in PLACES:
        if (folder / place).is_dir():
            shutil.copytree(folder / place, target / place, dirs_exist_ok=True)
