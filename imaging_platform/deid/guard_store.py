"""
What must not be found in what is made of a session, kept in the identified zone.

Conversion runs where no original can be read; the echo guard looks there for these.
"""

from __future__ import annotations

import json
from pathlib import Path

from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.files.writing import write_json
from imaging_platform.model.errors import MissingInput

_PARTS = ("words", "phrases", "uids", "dates")


def save_identifiers(file: Path, identifiers: Identifiers) -> None:
    """
    Write identifiers as sorted JSON that its owner alone can read.

    Parameters
    ----------
    file
        Below the identified zone; its folder is made, for its owner alone.
    identifiers
        What the de-identified files of the session were searched for.
    """
    parts = {name: sorted(getattr(identifiers, name)) for name in _PARTS}
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_json(file, parts, mode=0o600)


def load_identifiers(file: Path) -> Identifiers:
    """
    Return the identifiers that `save_identifiers` wrote.

    Raises
    ------
    MissingInput
        The file is absent or damaged; nothing may pass without it.
    """
    try:
        parts = json.loads(file.read_text())
        return Identifiers(*(frozenset(parts[name]) for name in _PARTS))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise MissingInput(
            "What must not be found in the session is not known, so it cannot be "
            "searched for.",
            fix="Materialize anonymized_dicom of this session again.",
        ) from None
