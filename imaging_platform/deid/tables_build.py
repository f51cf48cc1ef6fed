"""
Build the package's tables from the standard's own, for a new edition.

Run ``python -m imaging_platform.deid.tables_build profile OPTIONS BASIC EDITION OUT``
``... private STANDARD KEEP KNOWLEDGE_BASE OUT`` or ``... meanings GROUPS OUT``
(numbers of context groups with commas between). The output is compact JSON with
sorted rows, so that a new edition shows as a readable difference.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadInput

OPTION_COLUMNS = {
    "rtnLongModifDatesOpt": "dates_modified",
    "rtnLongFullDatesOpt": "dates_full",
    "cleanDescOpt": "clean_descriptors",
    "rtnUIDsOpt": "retain_uids",
    "rtnDevIdOpt": "retain_device",
    "rtnInstIdOpt": "retain_institution",
    "rtnPatCharsOpt": "retain_characteristics",
    "cleanStructContOpt": "clean_structured_content",
    "cleanGraphOpt": "clean_graphics",
    "rtnSafePrivOpt": "retain_safe_private",
}
"""Columns of PS3.15 Table E.1-1 as the source names them, and as this package does."""

_TOP_LEVEL = re.compile(r'\(([0-9a-f]{4}),"?"?([^"\[\]]*?)"?"?,([0-9a-f]{2})\)')


def merge_profile(
    options: Sequence[Mapping[str, str]],
    basic: Sequence[Mapping[str, object]],
    edition: str,
) -> dict[str, object]:
    """
    Merge the newest Basic column with the option columns of an older edition.

    Parameters
    ----------
    options
        Rows of Table E.1-1 with every column, of an edition that has them all.
    basic
        Rows ``{"tag": [group, element], "basic": action}`` of `edition`; a tag of
        four numbers is a repeating group (value, value, mask, mask).
    edition
        Such as ``2026c``; stamped into the table.

    Raises
    ------
    BadInput
        An attribute of the older edition has no row, or another action, in the newer.
    """
    named = {_pattern_of(row["id"]): row for row in options}
    merged: dict[str, dict[str, str]] = {}
    for row in basic:
        tag = _pattern_of_numbers(row["tag"])
        action = str(row["basic"]).replace("/STAR", "*")
        older = named.pop(tag, None)
        if older is not None and older["basicProfile"] != action:
            raise _changed(tag)
        merged[tag] = {"basic": action, **_options_of(older or {})}
    leftover = set(named) - {"private"}
    if leftover:
        raise _changed(sorted(leftover)[0])
    return {"edition": edition, "table": "PS3.15 E.1-1", "attributes": merged}


def merge_private(
    standard: Sequence[Sequence[str]],
    keep: Sequence[Sequence[str]],
    knowledge_base: Sequence[Mapping[str, str]],
) -> dict[str, object]:
    """
    Merge the private elements that two public lists call safe.

    Parameters
    ----------
    standard
        ``[group, element, creator]`` of PS3.15 Table E.3.10-1, lower case.
    keep
        The same for the union of that table and TCIA's list.
    knowledge_base
        TCIA's private tag knowledge base, for the value representations and for
        the elements that hold dates or UIDs (dispositions ``o`` and ``h``).

    Returns
    -------
    dict
        ``"gggg,creator,ee"`` to ``[list, vr, ...]``.
    """
    representations: dict[str, set[str]] = {}
    dated: set[str] = set()
    for row in knowledge_base:
        match = _TOP_LEVEL.fullmatch(row["element_sig_pattern"].strip())
        if not match:
            continue
        group, creator, element = match.groups()
        name = f"{group},{creator.strip().lower()},{element}"
        representations.setdefault(name, set()).add(row["vr"].strip())
        if row["private_disposition"].strip().lower() in ("o", "h"):
            dated.add(name)
    from_standard = {
        f"{group},{creator},{element}" for group, element, creator in standard
    }
    names = from_standard | {f"{g},{creator},{e}" for g, e, creator in keep} | dated
    rows = {
        name: [
            "PS3.15" if name in from_standard else "TCIA",
            *sorted(representations.get(name, set()) - {"UN", ""}),
        ]
        for name in sorted(names)
    }
    return {"source": "PS3.15 E.3.10-1, TCIA 2024-02-01", "elements": rows}


def collect_meanings(context_groups: Sequence[int]) -> dict[str, object]:
    """
    Return the standard's own meanings of codes, by ``scheme,value``.

    Parameters
    ----------
    context_groups
        Numbers of context groups of PS3.16, such as 4031 (common anatomic regions).
        Codes of SNOMED CT are also listed under their older SRT form.
    """
    from pydicom.sr._snomed_dict import mapping
    from pydicom.sr.codedict import codes

    older = {new: old for old, new in mapping["SRT"].items()}
    meanings: dict[str, str] = {}
    for number in context_groups:
        group = getattr(codes, f"cid{number}")
        for name in group.dir():
            code = getattr(group, name)
            meanings[f"{code.scheme_designator},{code.value}"] = code.meaning
            if code.scheme_designator == "SCT" and code.value in older:
                meanings[f"SRT,{older[code.value]}"] = code.meaning
    return {"source": "PS3.16 context groups", "meanings": meanings}


def _options_of(row: Mapping[str, str]) -> dict[str, str]:
    return {
        name: row[column] for column, name in OPTION_COLUMNS.items() if column in row
    }


def _pattern_of(identifier: str) -> str:
    if "odd" in identifier:
        return "private"
    return identifier.lower()


def _pattern_of_numbers(numbers: object) -> str:
    if not isinstance(numbers, list) or len(numbers) not in (2, 4):
        raise _changed(str(numbers))
    if len(numbers) == 2:
        return f"{numbers[0]:04x}{numbers[1]:04x}"
    group, element, _, element_mask = numbers
    tail = f"{element:04x}" if element_mask else "xxxx"
    return f"{group >> 8:02x}xx{tail}"


def _changed(tag: str) -> BadInput:
    return BadInput(
        f"{tag} differs between the two editions of Table E.1-1.",
        fix="Read the change in the standard and give a source table with all options.",
    )


def _compact(document: Mapping[str, object], rows_name: str) -> str:
    """Return JSON with one row a line."""
    rows = document[rows_name]
    assert isinstance(rows, dict)
    head = {name: value for name, value in document.items() if name != rows_name}
    lines = [
        f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}"
        for name, row in sorted(rows.items())
    ]
    start = json.dumps(head)[:-1]
    body = ",\n".join(lines)
    return f'{start}, "{rows_name}": {{\n{body}\n}}}}\n'


def _build_profile(options: str, basic: str, edition: str, out: str) -> None:
    table = merge_profile(_read_json(options), _read_json(basic), edition)
    write_text(Path(out), _compact(table, "attributes"))


def _build_private(standard: str, keep: str, knowledge_base: str, out: str) -> None:
    with Path(knowledge_base).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    table = merge_private(_read_json(standard), _read_json(keep), rows)
    write_text(Path(out), _compact(table, "elements"))


def _build_meanings(context_groups: str, out: str) -> None:
    table = collect_meanings([int(number) for number in context_groups.split(",")])
    write_text(Path(out), _compact(table, "meanings"))


def _read_json(path: str) -> list:  # type: ignore[type-arg]  # outside JSON
    return json.loads(Path(path).read_text(encoding="utf-8"))


_BUILDERS: dict[str, Callable[..., None]] = {
    "profile": _build_profile,
    "private": _build_private,
    "meanings": _build_meanings,
}

if __name__ == "__main__":
    _BUILDERS[sys.argv[1]](*sys.argv[2:6])
