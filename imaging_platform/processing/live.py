"""A study as it stands, with the Dagster that works on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.model.layout import Home
from imaging_platform.processing.plans import find_site
from imaging_platform.resources.database import find_database
from imaging_platform.settings import Study, load_study
from imaging_platform.survey.site import Site


@dataclass(frozen=True)
class LiveSite:
    """
    A study as it stands, with the Dagster that works on it.

    Parameters
    ----------
    site
        How it stands.
    instance
        Dagster's instance.
    graph
        The study's assets.
    """

    site: Site
    instance: dg.DagsterInstance
    graph: dg.AssetGraph

    @property
    def scope(self) -> Scope:
        """The study as Dagster sees it."""
        return Scope(self.site.study)


@contextlib.contextmanager
def open_live(home: Home, name: str) -> Iterator[LiveSite]:
    """Give a study of a home, in the home's own instance."""
    with dg.DagsterInstance.get() as instance:
        yield find_live(home, load_study(home, name), instance)


def find_live(home: Home, study: Study, instance: dg.DagsterInstance) -> LiveSite:
    """Return a study of a home with the instance that works on it."""
    from imaging_platform.definitions import define_home

    graph = define_home(home, [study.name]).resolve_asset_graph()
    return LiveSite(find_site(home, study, find_database(instance)), instance, graph)
