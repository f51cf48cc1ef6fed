"""What differs between two texts of numbers: sidecars, tables, lists."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.files.digests import VOLATILE_SIDECAR_KEYS

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Difference:
    """
    One value that is not what it was.

    Parameters
    ----------
    where
        Key of a sidecar (parts between dots), or row and column of a table.
    before, after
        The two values; None where there is none.
    """

    where: str
    before: Value
    after: Value

    @property
    def relative(self) -> float | None:
        """Absolute difference over the absolute value before; None if undefined."""
        return relative_difference(self.before, self.after)


def relative_difference(before: object, after: object) -> float | None:
    """
    Return ``|after - before| / |before|``; None unless both are finite numbers.

    None also when the value before is 0 and the other is not.

    Examples
    --------
    >>> relative_difference(4, 5), relative_difference(0, 1), relative_difference(0, 0)
    (0.25, None, 0.0)
    """
    first, second = _number(before), _number(after)
    if first is None or second is None:
        return None
    if first == second:
        return 0.0
    return abs(second - first) / abs(first) if first else None


def compare_json(before: Path, after: Path) -> tuple[Difference, ...]:
    """
    Return each key whose value differs, sorted; `VOLATILE_SIDECAR_KEYS` do not count.

    Raises
    ------
    ValueError
        One of the files is no JSON.
    """
    return compare_mappings(_read_json(before), _read_json(after))


def compare_mappings(before: object, after: object) -> tuple[Difference, ...]:
    """Return each leaf of two JSON values that differs, by its path, sorted."""
    return _compare(dict(_leaves(before)), dict(_leaves(after)))


def compare_tables(before: Path, after: Path) -> tuple[Difference, ...]:
    """
    Return each cell of two tab-separated tables that differs, in order of the rows.

    Rows are told apart by their place, from 1; columns by their name. A file without
    a header, such as a recording, has its first row as the names.
    """
    return _compare(dict(_read_cells(before)), dict(_read_cells(after)))


def _compare(
    before: dict[str, Value], after: dict[str, Value]
) -> tuple[Difference, ...]:
    keys = dict.fromkeys([*before, *after])
    return tuple(
        Difference(key, before.get(key), after.get(key))
        for key in keys
        if key not in before
        or key not in after
        or not _is_same(before[key], after[key])
    )


def _is_same(before: Value, after: Value) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        return before == after or (math.isnan(before) and math.isnan(after))
    return before == after and isinstance(before, bool) == isinstance(after, bool)


def _read_json(path: Path) -> object:
    value = json.loads(path.read_text("utf-8"))
    if isinstance(value, dict):
        return {k: v for k, v in value.items() if k not in VOLATILE_SIDECAR_KEYS}
    return value


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, Value]]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _leaves(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and value:
        for n, item in enumerate(value):
            yield from _leaves(item, f"{path}[{n}]")
    elif isinstance(value, str | int | float | bool) or value is None:
        yield path, value
    else:
        # What is left is an empty list or mapping, which has no leaf to compare.
        yield path, json.dumps(value)


def _read_cells(path: Path) -> Iterator[tuple[str, Value]]:
    with (
        gzip.open(path, "rt", encoding="utf-8", newline="")
        if path.name.endswith(".gz")
        else path.open(encoding="utf-8", newline="")
    ) as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        head = next(rows, [])
        for n, name in enumerate(head):
            yield f"column {n + 1}", name
        for number, row in enumerate(rows, start=1):
            for n, text in enumerate(row):
                name = head[n] if n < len(head) else f"column {n + 1}"
                yield f"row {number} {name}", text


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
