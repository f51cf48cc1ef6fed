"""The words in which a decision about one image is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DATATYPES = ("anat", "func", "dwi", "fmap", "perf", "pet")
"""Folders of a session that images go to."""

ENTITY_ORDER = (
    "sub",
    "ses",
    "task",
    "acq",
    "ce",
    "trc",
    "rec",
    "dir",
    "run",
    "mod",
    "echo",
    "flip",
    "inv",
    "mt",
    "part",
    "chunk",
)
"""Order of entities in a file name (BIDS schema 1.11, rules.entities)."""


@dataclass(frozen=True)
class Verdict:
    """
    What one rule says of one image.

    Parameters
    ----------
    rule
        Name of the rule.
    why
        Its reason, as a sentence.
    datatype, suffix
        BIDS label; empty when the image is left out or not known.
    entities
        Entities that the rule itself knows, by short name.
    metadata
        Sidecar keys that the rule adds.
    volume_types
        ASL volume types that a study rule gives.
    confidence
        ``high``: the scanner's own statement; ``medium``: physics or sequence;
        ``low``: words in a name.
    outcome
        ``converted``, ``excluded`` or ``unknown``.
    """

    rule: str
    why: str
    datatype: str = ""
    suffix: str = ""
    entities: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    volume_types: tuple[str, ...] = ()
    confidence: str = "high"
    outcome: str = "converted"


@dataclass(frozen=True)
class Decision:
    """
    What becomes of one output of dcm2niix.

    Parameters
    ----------
    stem
        The output in the scratch folder.
    outcome
        ``converted``; ``excluded`` (left out, for a reason); ``unknown`` (no rule
        fits); ``incomplete`` (the standard requires metadata that is not there).
        The last two are kept beside the validated files.
    datatype, suffix
        BIDS label; empty when there is none.
    entities
        All entities but sub and ses, in the order of the standard.
    metadata
        Sidecar keys beyond those of dcm2niix, in BIDS units.
    volume_types
        Types of ASL volumes; empty otherwise.
    why
        The reason, as a sentence.
    rule
        Name of the rule that decided.
    evidence
        The fields that were looked at, as ``Field=value``.
    confidence
        ``high``, ``medium`` or ``low``.
    warnings
        Contradictions that a person should look at.
    second_opinion
        BidsGuess of dcm2niix, such as ``func/bold``; empty without one.
    """

    stem: str
    outcome: str
    datatype: str
    suffix: str
    entities: Mapping[str, str]
    metadata: Mapping[str, object]
    volume_types: tuple[str, ...]
    why: str
    rule: str
    evidence: tuple[str, ...]
    confidence: str
    warnings: tuple[str, ...]
    second_opinion: str

    @property
    def is_converted(self) -> bool:
        """True when the image gets a BIDS name that the validator sees."""
        return self.outcome == "converted"

    def name(self, prefix: str) -> str:
        """Return the file name without extension; `prefix` is ``sub-x_ses-y``."""
        pairs = [f"{key}-{label}" for key, label in self.entities.items()]
        return "_".join([prefix, *pairs, self.suffix])


def order_entities(entities: Mapping[str, str]) -> dict[str, str]:
    """Return the entities in the order of a BIDS file name."""
    return {key: entities[key] for key in ENTITY_ORDER if entities.get(key)}
