"""The package's tables: the standard's, the public lists', and the reviewed ones."""

from __future__ import annotations

import functools
import json
from importlib.resources import files

from imaging_platform.dicom.dictionary import find_tag

PROFILE_FILE = "ps3.15_e1-1_2026c.json"


def table_edition() -> str:
    """Return the edition of PS3.15 whose table is in force, such as ``2026c``."""
    return load_table(PROFILE_FILE)["edition"]


def code_meaning(scheme: str, value: str) -> str:
    """Return the standard's meaning of a code, the code itself when it has none."""
    # Names that SRT had before PS3.16 settled on it.
    scheme = "SRT" if scheme in ("SNM3", "99SDM") else scheme
    return load_table("code_meanings.json")["meanings"].get(f"{scheme},{value}", value)


@functools.cache
def known_creators() -> frozenset[str]:
    """Return the private creators of the lists, lower case: names of makers' blocks."""
    return frozenset(
        name[5:-3]
        for table in ("private_safe.json", "private_reviewed.json")
        for name in load_table(table)["elements"]
    )


def load_siemens_lists() -> dict:  # type: ignore[type-arg]  # lists and mappings
    """Return what may stay of Siemens' headers (`data/siemens.json`)."""
    return load_table("siemens.json")


@functools.cache
def technique_rules() -> dict[int, str]:
    """Return the rule of each attribute on the technique list, by tag."""
    rows = load_table("technique.json")["attributes"]
    return {tag: row[0] for name, row in rows.items() if (tag := find_tag(name))}


@functools.cache
def load_table(name: str) -> dict:  # type: ignore[type-arg]  # tables of several shapes
    """Return a table of the package by the name of its file."""
    text = files("imaging_platform.deid").joinpath("data", name).read_text("utf-8")
    return json.loads(text)
