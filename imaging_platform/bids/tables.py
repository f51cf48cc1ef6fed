"""Tables that people bring: only columns and values that can be no identity pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from imaging_platform.model.errors import BadInput

TEXT_COLUMNS = frozenset(
    {
        "accuracy",
        "block",
        "condition",
        "correct",
        "event_type",
        "response",
        "stim_type",
        "trial",
        "trial_type",
        "volume_type",
    }
)
"""Columns that may hold words; any other column holds numbers or is left out."""

MOST_DIGITS = 6
"""Of the whole part of a number: more are a date, a clock or a person's number."""

MOST_WORDS = 64
"""Different words that a column of conditions may have; more are free text."""

_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NUMBER = re.compile(rf"[+-]?\d{{1,{MOST_DIGITS}}}(\.\d+)?([eE][+-]?\d{{1,2}})?|n/a|")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+/. -]{0,63}|n/a|")
_DATE = re.compile(rf"\d{{4}}[-_./]\d\d|\d\d[-_./]\d\d[-_./]\d\d|\d{{{MOST_DIGITS},}}")


@dataclass(frozen=True)
class CleanTable:
    """
    A table of which only what may pass is left.

    Parameters
    ----------
    text
        Tab-separated, one heading, a final line break.
    columns
        Names of the columns that are left.
    left_out
        How many columns are not, by reason; never a name or value.
    """

    text: str
    columns: tuple[str, ...]
    left_out: dict[str, int]


def clean_table(text: str, *, required: Sequence[str] = ()) -> CleanTable:
    r"""
    Return a table of events or answers without what might tell who it is about.

    Parameters
    ----------
    text
        Tab-separated values with a heading.
    required
        Columns that must be left.

    Raises
    ------
    BadInput
        Lines have different numbers of cells, or a required column is absent or
        has values that cannot pass.

    Examples
    --------
    >>> clean_table("onset\tduration\tname\n1.0\t2\tDoe\n").text
    'onset\tduration\n1.0\t2\n'
    """
    heading, rows = _split(text)
    reasons = [
        _reason(name, [row[place] for row in rows])
        for place, name in enumerate(heading)
    ]
    kept = [place for place, reason in enumerate(reasons) if not reason]
    columns = tuple(heading[place] for place in kept)
    missing = [name for name in required if name not in columns]
    if missing:
        raise BadInput(
            f"A table lacks the column {missing[0]}, or its values are no numbers.",
            fix=f"Give it tab-separated columns {', '.join(required)}.",
        )
    order = [heading.index(name) for name in required]
    order += [place for place in kept if place not in order]
    left_out: dict[str, int] = {}
    for reason in filter(None, reasons):
        left_out[reason] = left_out.get(reason, 0) + 1
    lines = [[heading[place] for place in order]]
    lines += [[row[place].strip() or "n/a" for place in order] for row in rows]
    joined = "".join("\t".join(line) + "\n" for line in lines)
    return CleanTable(joined, tuple(heading[place] for place in order), left_out)


def keep_columns(text: str, columns: Collection[str]) -> list[dict[str, str]]:
    """
    Return the rows of a table with the named columns alone, values as they are.

    Raises
    ------
    BadInput
        Lines have different numbers of cells.
    """
    heading, rows = _split(text)
    return [
        {n: v.strip() for n, v in zip(heading, row, strict=True) if n in columns}
        for row in rows
    ]


def map_moments(
    rows: Sequence[dict[str, str]], shift: Callable[[str], str]
) -> list[dict[str, str]]:
    """Return rows whose ``acq_time`` went through `shift`; ``n/a`` where it is gone."""
    return [
        {**row, "acq_time": shift(row.get("acq_time", "")) or "n/a"} for row in rows
    ]


def _split(text: str) -> tuple[list[str], list[list[str]]]:
    lines = [line.split("\t") for line in text.lstrip("\ufeff").splitlines() if line]
    if not lines or any(len(line) != len(lines[0]) for line in lines):
        raise BadInput(
            "A table must have a heading and equally many cells in each line.",
            fix="Save it as tab-separated text.",
        )
    heading = [name.strip() for name in lines[0]]
    if len(set(heading)) != len(heading):
        raise BadInput("A table names a column twice.", fix="Rename one of them.")
    return heading, lines[1:]


def _reason(name: str, cells: Sequence[str]) -> str:
    """Return why a column is left out; empty when it stays."""
    values = {cell.strip() for cell in cells}
    if not _COLUMN.fullmatch(name):
        return "its name is not letters, digits and underscores"
    if all(_NUMBER.fullmatch(value) for value in values):
        return ""
    if name not in TEXT_COLUMNS:
        return "it holds words, and is no column of conditions"
    if len(values) > MOST_WORDS:
        return "it holds too many different words"
    if not all(_WORD.fullmatch(v) and not _DATE.search(v) for v in values):
        return "it holds a date, a long number or free text"
    return ""
