"""Which result a file is of: by its place, by its stamp, or by its content."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.files.digests import digest_content
from imaging_platform.model import layout
from imaging_platform.model.errors import BadInput, MissingInput
from imaging_platform.model.layout import Home
from imaging_platform.provenance.record import read_outputs
from imaging_platform.provenance.sources import Files
from imaging_platform.provenance.stamps import Stamp, read_stamp
from imaging_platform.provenance.trees import list_sessions

_SESSION = re.compile(r"sub-[A-Za-z0-9]{1,32}_ses-[A-Za-z0-9]{1,32}")
_TREE = re.compile(
    r"([a-z][\w.+-]*)(?:\[(sub-[A-Za-z0-9]+_ses-[A-Za-z0-9]+|\d[\d.]*)\])?"
)
_TABLES = (".tsv", ".csv", ".parquet")


@dataclass(frozen=True)
class Found:
    """
    The result that a file is of.

    Parameters
    ----------
    study, name, partition
        Which tree; the partition is empty for one of the whole study.
    files
        Which of its files; empty when it is not known, or all.
    by
        How it was found: ``name``, ``place``, ``stamp``, ``content`` or ``row``.
    stamp
        What the file says of itself; None unless it was found by that.
    is_changed
        Whether a file at its place is another than was published there.
    """

    study: str
    name: str
    partition: str
    files: Files
    by: str
    stamp: Stamp | None = None
    is_changed: bool = False


def find_result(home: Path, studies: Sequence[str], target: str) -> Found:
    """
    Return the result that a text or a file means.

    Parameters
    ----------
    home
        The imaging home.
    studies
        Names of the studies to look in.
    target
        ``motion[sub-01_ses-1]``, a stamp, a path below the home, or a path of a file
        that left the system: PNG, JPEG, SVG, page or notebook by its stamp, and any
        file by its content.

    Raises
    ------
    MissingInput
        There is no such file, or no result of these studies is like it.
    """
    named = _TREE.fullmatch(target)
    if named and layout.is_tree(named.group(1)):
        name, partition = named.group(1), named.group(2) or ""
        return Found(_only(studies), name, partition, frozenset(), "name")
    stamp = read_stamp(target.encode())
    if stamp is not None:
        return _found_by_stamp(stamp)
    file = Path(target)
    place = file if file.exists() else home / target
    if not place.exists():
        raise MissingInput(
            "There is no such file, and no result has this name.",
            fix="Give a file, a path below the home, or a name: motion[sub-..._ses-1].",
        )
    found = _find_by_place(home, place)
    if found is None and place.is_file():
        stamp = read_stamp(place.read_bytes())
        found = _found_by_stamp(stamp) if stamp else _by_content(home, studies, place)
    if found is None:
        raise MissingInput(
            "No result of this home made this file as it is.",
            fix="Take the file as it was published; a changed file has lost its way "
            "back. Of a table, name a row with --row.",
        )
    return found


def find_row(home: Path, studies: Sequence[str], table: Path, number: int) -> Found:
    """
    Return the result that a row of a table speaks of.

    Parameters
    ----------
    table
        TSV, CSV or Parquet with a column that names a session.
    number
        Of the row, from 1, without the heading.

    Raises
    ------
    BadInput
        It is no such table, or has no such row.
    MissingInput
        The row names no session that is here.
    """
    row = _read_row(table, number)
    text = " ".join(row.values())
    named = _SESSION.search(text) or _SESSION.search(
        f"{row.get('participant_id', '')}_{row.get('session_id', '')}"
    )
    for study in studies:
        if named and (home / layout.tree_key(study, "bids_session", named[0])).is_dir():
            files = [f for f in row.get("files", row.get("file", "")).split(", ") if f]
            name = _asset_of(row)
            chosen = frozenset(files) if name == "bids_session" else frozenset[str]()
            return Found(study, name, named[0], chosen, "row")
    raise MissingInput(
        "The row names no session of this home.",
        fix="Take a row with session_key, or participant_id and session_id.",
    )


def _find_by_place(home: Path, file: Path) -> Found | None:
    try:
        key = file.resolve().relative_to(home.resolve()).as_posix()
    except ValueError:
        return None
    tree = layout.find_tree(key)
    if tree is None:
        return None
    root = layout.tree_key(*tree)
    inside = key.removeprefix(root).strip("/") if key.startswith(root) else ""
    if tree[1] == "raw_session":
        # The names of originals say nothing of their series.
        return Found(*tree, frozenset(), "place")
    outputs = read_outputs(home / root)
    if not outputs or not inside or inside.startswith("."):
        return Found(*tree, frozenset({inside} if inside else ()), "place")
    if file.is_dir():
        below = frozenset(n for n in outputs if n.startswith(f"{inside}/"))
        return Found(*tree, below, "place") if below else None
    if inside not in outputs:
        # Put there by hand: the result did not make it.
        return None
    is_changed = outputs[inside] != digest_content(file)
    return Found(*tree, frozenset({inside}), "place", is_changed=is_changed)


def _found_by_stamp(stamp: Stamp) -> Found:
    where = stamp.study, stamp.asset, stamp.partition
    if not layout.is_tree(stamp.asset):
        raise MissingInput(
            f"The file says that it is of {stamp.asset}, which is not known here.",
            fix="Ask a home of the version that made it.",
        )
    return Found(*where, frozenset(), "stamp", stamp)


def _by_content(home: Path, studies: Sequence[str], file: Path) -> Found | None:
    if not file.stat().st_size:
        # All empty files are alike.
        return None
    digest = digest_content(file)
    hint = _SESSION.search(file.name)
    for study, name, partition in _places(home, studies, hint[0] if hint else ""):
        tree = home / layout.tree_key(study, name, partition)
        files = frozenset(n for n, each in read_outputs(tree).items() if each == digest)
        if files:
            return Found(study, name, partition, files, "content")
    for study in studies:
        for pattern in layout.dataset_files(study):
            for path in sorted(home.glob(pattern)):
                if path.is_file() and digest_content(path) == digest:
                    return Found(study, "bids_dataset", "", frozenset(), "content")
    return None


def _places(
    home: Path, studies: Sequence[str], hint: str
) -> Iterator[tuple[str, str, str]]:
    """Yield each tree that is no original, those of a hinted session first."""
    for study in studies:
        names = _names(home, study)
        yield from ((study, name, hint) for name in names if hint)
    for study in studies:
        sessions = [str(key) for key in list_sessions(home, study)]
        names = _names(home, study)
        yield from ((study, n, key) for key in sessions if key != hint for n in names)
        yield from ((study, name, "") for name in layout.STUDY_TREES)


def _names(home: Path, study: str) -> list[str]:
    own = [name for name in layout.SESSION_TREES if name != "raw_session"]
    return [*own, *Home(home).app_datasets(study)]


def _read_row(table: Path, number: int) -> dict[str, str]:
    if table.suffix not in _TABLES or not table.is_file():
        raise BadInput(
            "A row is taken from a table that ends in .tsv, .csv or .parquet.",
            fix="Give such a file, or leave --row out.",
        )
    rows = _read_table(table)
    if not 1 <= number <= len(rows):
        raise BadInput(
            f"The table has {len(rows)} row(s), there is no row {number}.",
            fix="Count from 1, without the heading.",
        )
    return rows[number - 1]


def _read_table(table: Path) -> list[dict[str, str]]:
    if table.suffix == ".parquet":
        import pyarrow.parquet as pq

        plain = pq.read_table(table).to_pylist()
        return [{name: str(cell) for name, cell in row.items()} for row in plain]
    import csv

    delimiter = "\t" if table.suffix == ".tsv" else ","
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=delimiter))
    return [{str(n): str(cell) for n, cell in row.items()} for row in rows]


def _asset_of(row: dict[str, str]) -> str:
    asset = row.get("asset", "")
    if asset in layout.SESSION_TREES:
        return asset
    return "session_quality" if {"metric", "verdict"} & row.keys() else "bids_session"


def _only(studies: Sequence[str]) -> str:
    if len(studies) != 1:
        raise MissingInput(
            f"The name fits {len(studies)} studies.", fix="Name one with --study."
        )
    return studies[0]
