"""Series names that follow the ReproIn convention."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from imaging_platform.bids.decisions import DATATYPES
from imaging_platform.bids.labels import find_suffix

_ENTITIES = ("task", "acq", "ce", "rec", "dir", "run", "echo", "inv", "part")


@dataclass(frozen=True)
class ReproinName:
    """
    A parsed name; source: https://github.com/repronim/reproin, README.

    Parameters
    ----------
    datatype
        BIDS datatype.
    suffix
        BIDS suffix; empty when the name leaves it out.
    entities
        Entities by short name; ``run`` without leading zeros.
    """

    datatype: str
    suffix: str
    entities: Mapping[str, str] = field(default_factory=dict)


def read_reproin_name(name: str) -> ReproinName | None:
    """
    Parse a protocol name; None when it does not follow ReproIn.

    ``WIP `` and ``PREFIX:`` in front and anything from ``__`` on are ignored; a name
    of the datatype alone, without entity or suffix, proves nothing. A suffix that
    the standard does not know is left out, so that the image itself decides.

    Examples
    --------
    >>> read_reproin_name("func-bold_task-rest_run-01__x").entities
    {'task': 'rest', 'run': '1'}
    """
    text = re.sub(r"^WIP[ _]", "", name.strip())
    text = re.sub(r"^[A-Za-z0-9]+:", "", text).split("__")[0]
    first, *parts = text.split("_")
    datatype, _, suffix = first.partition("-")
    if datatype not in DATATYPES or not re.fullmatch(r"[A-Za-z0-9]*", suffix):
        return None
    suffix = find_suffix(datatype, suffix)
    entities: dict[str, str] = {}
    for part in parts:
        key, _, label = part.partition("-")
        if key in _ENTITIES and (clean := re.sub(r"[^A-Za-z0-9]", "", label)):
            entities[key] = clean
    if not suffix and not entities:
        return None
    run = entities.get("run", "")
    if run:
        digits = re.sub(r"\D", "", run).lstrip("0")
        entities = {**entities, "run": digits} if digits else _without(entities, "run")
    return ReproinName(datatype, suffix, entities)


def _without(entities: Mapping[str, str], key: str) -> dict[str, str]:
    return {name: label for name, label in entities.items() if name != key}
