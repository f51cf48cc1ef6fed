"""The plan of a study of a home, and why one of its results is as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from imaging_platform.deid.release_list import read_steps, released_versions
from imaging_platform.model.errors import BadInput
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.names import PROCESSING_PLAN
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.pipeline.stages import Per
from imaging_platform.planning.cells import WHOLE_STUDY, Cell
from imaging_platform.planning.plan import Plan
from imaging_platform.settings import Study, load_study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.database import Database, open_known
from imaging_platform.survey.describing import describe, describe_some
from imaging_platform.survey.site import Site
from imaging_platform.survey.study import add_costs, survey_study


@contextlib.contextmanager
def open_site(home: Home, name: str) -> Iterator[Site]:
    """Give a study with all that knows how it stands."""
    study = load_study(home, name)
    with open_database(home) as database:
        yield find_site(home, study, database)


def find_site(home: Home, study: Study, database: Database) -> Site:
    """Return a study of a home with all that knows how it stands."""
    return Site(
        outline_study(study, home.notebooks(study.name)),
        database,
        LocalStore(home.root),
        released_versions(read_steps(home.released_file(study.name))),
    )


@contextlib.contextmanager
def open_database(home: Home) -> Iterator[Database]:
    """Give what Dagster keeps of a home; Dagster is imported only if it must be."""
    with open_known(home) as known:
        if known is not None:
            yield known
            return
    # It takes a second to be imported.
    import dagster as dg

    from imaging_platform.resources.database import find_database

    with dg.DagsterInstance.get() as instance:
        yield find_database(instance)


def read_plan(home: Home, name: str) -> Plan:
    """Return the plan of a study with its costs; nothing is changed."""
    with open_site(home, name) as site:
        return add_costs(site, describe_some(site, survey_study(site).plan))


def list_assets(home: Home, name: str) -> list[str]:
    """Return the names of what a plan of this study tells of, upstream first."""
    outline = outline_study(load_study(home, name), home.notebooks(name))
    nodes = [*outline.nodes(Per.SESSION), *outline.nodes(Per.STUDY)]
    return [node.asset for node in nodes if node.asset != PROCESSING_PLAN]


def explain_cell(home: Home, name: str, asset: str, session: str) -> Cell:
    """
    Return the state of one result with its reasons in words.

    Parameters
    ----------
    session
        Session key, or ``all`` for what spans all sessions.

    Raises
    ------
    BadInput
        There is no such asset or session.
    """
    partition = "" if session == WHOLE_STUDY else session
    with open_site(home, name) as site:
        cell = survey_study(site, partition or None).plan.find(asset, partition)
        if cell is None:
            raise BadInput(
                f"Study {name} has no {asset} of {session}.",
                fix="`plan` names the assets, `status` the sessions; what spans all "
                f"sessions is asked for as `{WHOLE_STUDY}`.",
            )
        return describe(site, cell)
