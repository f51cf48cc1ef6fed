"""A study and all that knows how it stands."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from imaging_platform.pipeline.names import PROCESSING_PLAN
from imaging_platform.pipeline.stages import Outline, Per
from imaging_platform.planning.decisions import Decisions, read_decisions
from imaging_platform.planning.state import Made, Node
from imaging_platform.settings import Study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.database import Database

Makings = Mapping[str, Mapping[str | None, Made]]
"""Latest materialization by asset and session (None: of the whole study)."""


@dataclass(frozen=True)
class Site:
    """
    A study and all that knows how it stands.

    Parameters
    ----------
    outline
        The study and its stages.
    database
        Where Dagster keeps what was made.
    store
        Holds what the sessions consisted of, for the policy and rules of today.
    released
        Version of what a person let through the gate, by session; None where it
        cannot be known: then it counts as it was.
    """

    outline: Outline
    database: Database
    store: LocalStore
    released: Mapping[str, str] | None = None

    @property
    def study(self) -> Study:
        """The study."""
        return self.outline.study

    @property
    def parents(self) -> Mapping[str, list[str]]:
        """Inputs of each asset of the study, by name."""
        return self.outline.parents

    @functools.cached_property
    def decisions(self) -> Decisions:
        """What people decided about results."""
        return read_decisions(self.store.root, self.study.name)

    def nodes(self, per: Per) -> list[Node]:
        """Return the assets of this kind, upstream first, without the plan itself."""
        return [n for n in self.outline.nodes(per) if n.asset != PROCESSING_PLAN]
