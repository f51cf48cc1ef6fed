"""A decision while the names of its session are worked out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from imaging_platform.bids.decisions import Verdict
from imaging_platform.bids.evidence import Evidence

GRE_PARTS = frozenset(
    {
        "magnitude",
        "magnitude1",
        "magnitude2",
        "phasediff",
        "phase1",
        "phase2",
        "fieldmap",
    }
)
"""Suffixes of one gradient-echo fieldmap."""


@dataclass
class Draft:
    """
    A decision while the session's names are worked out.

    Parameters
    ----------
    image
        Evidence of the image.
    verdict
        What it is.
    entities
        Entities so far.
    suffix
        Suffix decided by comparison; empty keeps the verdict's.
    metadata
        Sidecar keys decided by comparison.
    outcome, why
        Outcome and reason decided by comparison; empty keeps the verdict's.
    warnings
        Contradictions found.
    """

    image: Evidence
    verdict: Verdict
    entities: dict[str, str]
    suffix: str = ""
    metadata: dict[str, object] = field(default_factory=dict)
    outcome: str = ""
    why: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def final_suffix(self) -> str:
        """Suffix after comparison with the other images."""
        return self.suffix or self.verdict.suffix

    @property
    def is_named(self) -> bool:
        """True when the image gets a BIDS name."""
        return (self.outcome or self.verdict.outcome) == "converted"


def read_names(members: Sequence[Draft]) -> set[tuple[object, ...]]:
    """Return what would be the file names of some images, as comparable values."""
    return {
        (
            draft.verdict.datatype,
            draft.final_suffix,
            tuple(sorted(draft.entities.items())),
        )
        for draft in members
    }
