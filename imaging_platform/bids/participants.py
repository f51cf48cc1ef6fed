"""What a session tells of its participant: its fragment of the participants table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from imaging_platform.files.digests import list_files
from imaging_platform.files.writing import write_json
from imaging_platform.model import layout
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey

FRAGMENT_NAME = layout.PARTICIPANT

OLDEST_YEARS = 89
"""From this age on only ``89+`` is said (BIDS, participants file: age)."""

COLUMNS: dict[str, dict[str, object]] = {
    "age": {
        "Description": f"Age at the first session; {OLDEST_YEARS}+ from that age on",
        "Units": "year",
    },
    "sex": {
        "Description": "Sex of the participant",
        "Levels": {"M": "male", "F": "female", "O": "other"},
    },
    "height": {"Description": "Height at the first session", "Units": "m"},
    "weight": {"Description": "Weight at the first session", "Units": "kg"},
    "handedness": {
        "Description": "Handedness of the participant",
        "Levels": {"L": "left", "R": "right", "A": "ambidextrous"},
    },
    "group": {"Description": "Group of the participant in the study"},
}
"""Columns of participants.tsv that may be written, as participants.json has them."""

_SEX, _AGE, _SIZE, _WEIGHT = 0x00100040, 0x00101010, 0x00101020, 0x00101030
_AGE_TEXT = re.compile(r"(\d{3})([DWMY])")
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
_VALUES = {
    "age": re.compile(r"\d{1,2}(\.\d{1,3})?"),
    "sex": re.compile(r"[MFO]"),
    "height": re.compile(r"[0-2](\.\d{1,3})?"),
    "weight": re.compile(r"\d{1,3}(\.\d{1,2})?"),
    "handedness": re.compile(r"[LRA]"),
    "group": re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}"),
}
_WORDS = {
    "sex": {"male": "M", "female": "F", "other": "O"},
    "handedness": {"left": "L", "right": "R", "ambidextrous": "A"},
}


def read_participant(source: Path) -> dict[str, str]:
    """
    Return the columns that de-identified DICOM has kept of its patient.

    Parameters
    ----------
    source
        Folder of one session. The first readable file counts: a policy keeps the
        same characteristics in each file of a session.

    Returns
    -------
    dict
        Of age, sex, height and weight those that are there and can be read; zero
        and unreadable values count as absent.
    """
    from imaging_platform.dicom.structure import BadDicom, scan_structure

    wanted = frozenset({_SEX, _AGE, _SIZE, _WEIGHT})
    for path in sorted(list_files(source)):
        try:
            values = scan_structure(Path(path), wanted=wanted).values
        except BadDicom:
            continue
        texts = {t: v.decode("latin-1").strip("\0 ") for t, v in values.items()}
        found = {
            "age": _years(texts.get(_AGE, "")),
            "sex": texts.get(_SEX, ""),
            "height": _decimal(texts.get(_SIZE, ""), digits=2),
            "weight": _decimal(texts.get(_WEIGHT, ""), digits=1),
        }
        return clean_columns(found)
    return {}


def clean_columns(row: Mapping[str, str]) -> dict[str, str]:
    """
    Return the columns of a participant that may be published, in their one form.

    Whatever is no column of `COLUMNS`, or no value that its column can have, is
    left out: nothing else is known to be free of identity.

    Examples
    --------
    >>> clean_columns({"age": "93", "sex": "female", "name": "x", "group": "n/a"})
    {'age': '89+', 'sex': 'F'}
    """
    kept = {}
    for column in COLUMNS:
        text = row.get(column, "").strip()
        text = _WORDS.get(column, {}).get(text.lower(), text)
        if column == "age" and _is_oldest(text):
            kept[column] = f"{OLDEST_YEARS}+"
        elif _VALUES[column].fullmatch(text.upper() if column in _WORDS else text):
            kept[column] = text.upper() if column in _WORDS else text
    return kept


def write_fragment(tree: Path, columns: Mapping[str, str]) -> None:
    """Write the columns of a session's participant into the session's tree."""
    write_json(tree / FRAGMENT_NAME, dict(columns))


def gather_participants(
    root: Path, members: Sequence[SessionKey]
) -> dict[str, dict[str, str]]:
    """
    Return the columns of each subject from the fragments of its sessions.

    Of a column that several sessions have, the first session counts; sessions
    without a fragment add nothing.

    Raises
    ------
    BadInput
        A fragment cannot be read.
    """
    found: dict[str, dict[str, str]] = {}
    for key in sorted(set(members)):
        tree = root / f"sub-{key.subject}" / f"ses-{key.session}"
        for column, value in _read_fragment(tree, key).items():
            found.setdefault(key.subject, {}).setdefault(column, value)
    return found


def _read_fragment(tree: Path, key: SessionKey) -> dict[str, str]:
    try:
        return clean_columns(json.loads((tree / FRAGMENT_NAME).read_text()))
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        raise BadInput(
            f"What {key} tells of its participant cannot be read.",
            fix="Materialize bids_session of this session again.",
        ) from None


def _years(text: str) -> str:
    """Return an AS value in years: whole from two years on, else to a tenth."""
    match = _AGE_TEXT.fullmatch(text)
    if not match or int(match.group(1)) == 0:
        return ""
    years = int(match.group(1)) * _DAYS[match.group(2)] / _DAYS["Y"]
    return f"{years:.0f}" if years >= 2 else f"{years:.1f}"


def _decimal(text: str, *, digits: int) -> str:
    try:
        number = float(text)
    except ValueError:
        return ""
    return f"{number:.{digits}f}".rstrip("0").rstrip(".") if number > 0 else ""


def _is_oldest(text: str) -> bool:
    number = text.removesuffix("+")
    return number.replace(".", "", 1).isdigit() and float(number) >= OLDEST_YEARS
