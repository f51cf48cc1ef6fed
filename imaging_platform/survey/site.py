"""A study and all that knows how it stands."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.assets.scope import VERSION_PARTS, Scope
from imaging_platform.planning.decisions import Decisions, read_decisions
from imaging_platform.planning.state import Made, Node
from imaging_platform.storage.local import LocalStore

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

PROCESSING_PLAN = "processing_plan"

Makings = Mapping[str, Mapping[str | None, Made]]
"""Latest materialization by asset and session (None: of the whole study)."""


@dataclass(frozen=True)
class Site:
    """
    A study and all that knows how it stands.

    Parameters
    ----------
    scope, graph
        The study and its assets.
    instance
        Its event log says what is made.
    store
        Holds what the sessions consisted of, for the policy and rules of today.
    released
        Version of what a person let through the gate, by session; None where it
        cannot be known: then it counts as it was.
    """

    scope: Scope
    graph: BaseAssetGraph
    instance: dg.DagsterInstance
    store: LocalStore
    released: Mapping[str, str] | None = None

    @functools.cached_property
    def decisions(self) -> Decisions:
        """What people decided about results."""
        return read_decisions(self.store.root, self.scope.name)

    def nodes(self, partitions: dg.PartitionsDefinition | None) -> list[Node]:
        """Return the study's assets with these partitions, upstream first."""
        keys = [
            key
            for key in self.graph.toposorted_asset_keys
            if key.path[0] == self.scope.name
            and key.path[-1] != PROCESSING_PLAN
            # What no run makes is never missing.
            and self.graph.get(key).is_executable
            and self.graph.get(key).partitions_def == partitions
        ]
        return [
            Node(
                key.path[-1],
                self.graph.get(key).code_version or "",
                tuple(self.graph.get(key).metadata[VERSION_PARTS].split(", ")),
            )
            for key in keys
        ]

    @functools.cached_property
    def parents(self) -> dict[str, list[str]]:
        """Inputs of each asset of the study, by name."""
        return {
            key.path[-1]: sorted(p.path[-1] for p in self.graph.get(key).parent_keys)
            for key in self.graph.toposorted_asset_keys
            if key.path[0] == self.scope.name
        }
