"""What the BIDS schema allows in a name, in the short words of file names."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imaging_platform.bids.decisions import DATATYPES, ENTITY_ORDER

FIXED_LABELS: Mapping[str, tuple[str, ...]] = {
    "part": ("mag", "phase", "real", "imag"),
    "mt": ("on", "off"),
}
"""Entities with a closed list of labels (BIDS schema, objects.entities)."""


@dataclass(frozen=True)
class NameRule:
    """
    What one suffix may carry in one datatype.

    Parameters
    ----------
    allowed, required
        Entities by short name, without sub and ses.
    """

    allowed: frozenset[str]
    required: frozenset[str]


@dataclass(frozen=True)
class Vocabulary:
    """
    The words of a BIDS name.

    Parameters
    ----------
    names
        Rule by (datatype, suffix), for images.
    indices
        Entities whose label is a number.
    long_names
        Short name of an entity by each other name that people give it.
    metadata
        Sidecar keys that BIDS defines.
    """

    names: Mapping[tuple[str, str], NameRule]
    indices: frozenset[str]
    long_names: Mapping[str, str]
    metadata: frozenset[str]

    def suffixes(self, datatype: str) -> list[str]:
        """Return the suffixes of images of a datatype, sorted."""
        return sorted(suffix for kind, suffix in self.names if kind == datatype)

    def datatypes(self, suffix: str) -> list[str]:
        """Return the datatypes that have a suffix, sorted."""
        return sorted(kind for kind, found in self.names if found == suffix)


@functools.cache
def load_vocabulary() -> Vocabulary:
    """Return the vocabulary of the installed BIDS schema."""
    from bidsschematools.schema import load_schema

    schema = load_schema().to_dict()
    entities = schema["objects"]["entities"]
    short = {name: str(facts["name"]) for name, facts in entities.items()}
    names: dict[tuple[str, str], NameRule] = {}
    for datatype in DATATYPES:
        for group in schema["rules"]["files"]["raw"][datatype].values():
            if ".nii.gz" in group["extensions"]:
                rule = _name_rule(group["entities"], short)
                names.update({(datatype, s): rule for s in group["suffixes"]})
    return Vocabulary(
        names=names,
        indices=frozenset(
            short[name]
            for name, facts in entities.items()
            if facts["format"] == "index"
        ),
        long_names={n: s for n, s in short.items() if s in ENTITY_ORDER},
        metadata=frozenset(
            str(facts["name"]) for facts in schema["objects"]["metadata"].values()
        ),
    )


def _name_rule(entities: Mapping[str, object], short: Mapping[str, str]) -> NameRule:
    levels = {
        short[name]: str(level.get("level") if isinstance(level, dict) else level)
        for name, level in entities.items()
        if name not in ("subject", "session")
    }
    required = {name for name, level in levels.items() if level == "required"}
    return NameRule(frozenset(levels), frozenset(required))


def find_nearest(word: str, known: Iterable[str]) -> str:
    """
    Return the known word that is most like `word`; empty when none is near.

    A difference in case alone is nearest of all.

    Examples
    --------
    >>> find_nearest("t1w", ["T2w", "T1w"]), find_nearest("Tsk", ["task", "acq"])
    ('T1w', 'task')
    """
    folded = {each.lower(): each for each in sorted(known, reverse=True)}
    if word.lower() in folded:
        return folded[word.lower()]
    near = difflib.get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    return folded[near[0]] if near else ""
