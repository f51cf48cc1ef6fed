"""A study's stages: what each makes, of what, and by which version of code."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from imaging_platform.planning.state import Node
from imaging_platform.reporting.front_matter import AnyTemplate
from imaging_platform.settings import Study


class Per(StrEnum):
    """What one result of a stage is about."""

    DROP = "drop"
    SESSION = "session"
    STUDY = "study"


@dataclass(frozen=True)
class Stage:
    """
    One step of a pipeline; an asset in Dagster.

    Parameters
    ----------
    name
        Name of what it makes.
    per
        What one result is about.
    code_version
        Version of its code and settings (`Study.digest`).
    version_parts
        What its parts between dots stand for: ``code``, ``parameter`` and its name
        in the study file, ``tool`` and its name, ``notebook``.
    needs
        Names of the stages that it is made from.
    shown_behind
        Names of stages that it is drawn behind and does not go out of date with.
    """

    name: str
    per: Per
    code_version: str
    version_parts: tuple[str, ...] = ("code",)
    needs: tuple[str, ...] = ()
    shown_behind: tuple[str, ...] = ()

    @property
    def node(self) -> Node:
        """The stage as a plan sees it."""
        return Node(self.name, self.code_version, self.version_parts)


@dataclass(frozen=True)
class Outline:
    """
    The pipeline of one study.

    Parameters
    ----------
    study
        The study.
    stages
        Its stages.
    templates
        The notebooks of people, whether or not they are stages.
    """

    study: Study
    stages: tuple[Stage, ...]
    templates: tuple[AnyTemplate, ...] = ()

    def __getitem__(self, name: str) -> Stage:
        """Return the stage of this name."""
        return self._by_name[name]

    def nodes(self, per: Per) -> list[Node]:
        """Return the stages of this kind for a plan, upstream first, then by name."""
        own = (stage for stage in self.stages if stage.per is per)
        return [each.node for each in sorted(own, key=self._place)]

    @functools.cached_property
    def parents(self) -> dict[str, list[str]]:
        """Names of what each stage stands behind, by name."""
        return {
            stage.name: sorted({*stage.needs, *stage.shown_behind})
            for stage in self.stages
        }

    @functools.cached_property
    def _by_name(self) -> dict[str, Stage]:
        return {stage.name: stage for stage in self.stages}

    @functools.cached_property
    def _depths(self) -> dict[str, int]:
        """How many stages stand one behind the other before each."""
        depths = dict[str, int]()
        for name in self.parents:
            _measure_depth(name, self.parents, depths)
        return depths

    def _place(self, stage: Stage) -> tuple[int, str]:
        return self._depths[stage.name], stage.name


def select_names(stages: Sequence[Stage], per: Per) -> list[str]:
    """Return the names of the stages of this kind."""
    return [stage.name for stage in stages if stage.per is per]


def _measure_depth(
    name: str, parents: dict[str, list[str]], depths: dict[str, int]
) -> int:
    if name not in depths:
        before = (_measure_depth(each, parents, depths) for each in parents[name])
        depths[name] = 1 + max(before, default=0)
    return depths[name]
