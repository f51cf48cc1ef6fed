"""Making a sample of stale sessions again beside what is published, and comparing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.comparison.trees import compare_trees
from imaging_platform.comparison.trial import (
    DIFFERS,
    FAILED,
    SAME,
    Trial,
    TrialResult,
)
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig, BadInput
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.names import (
    ANONYMIZED_DICOM,
    CPU_S,
    DROP_INDEX,
    RAW_SESSION,
)
from imaging_platform.pipeline.stages import Per
from imaging_platform.planning.cells import Cell, State, find_ancestors
from imaging_platform.planning.plan import Choice, choose_frontier
from imaging_platform.planning.reasons import join_sentences
from imaging_platform.planning.sampling import choose_sample
from imaging_platform.processing.events import read_problems
from imaging_platform.processing.outstanding import Order
from imaging_platform.processing.plans import find_site, open_site
from imaging_platform.processing.rebuilding import rebuild_index
from imaging_platform.processing.scratch import lend_sessions, scratch_home
from imaging_platform.processing.worker import QUIET
from imaging_platform.resources.database import find_database
from imaging_platform.settings import load_study
from imaging_platform.survey.describing import describe
from imaging_platform.survey.history import read_members
from imaging_platform.survey.site import Site
from imaging_platform.survey.study import survey_study

COMPARED_TOO = {ANONYMIZED_DICOM: ("deid_report",)}
"""Trees that an asset publishes beside its own, and that tell what changed."""

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Sampling:
    """
    What a trial is about.

    Parameters
    ----------
    assets
        Only these, what they are made from, and what is behind them; all if empty.
    sessions
        These sessions; a sample of all if empty.
    n_sessions
        Size of the sample.
    """

    assets: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    n_sessions: int = 3


def try_sample(home: Home, study: str, sampling: Sampling, tell: Tell) -> Trial:
    """
    Make the stale results of a sample again in a scratch home, and compare.

    Nothing of the real home changes: neither trees nor Dagster's event log.

    Parameters
    ----------
    home, study
        The study.
    sampling
        Which sessions and assets.
    tell
        Told how many sessions are done, and of how many.

    Raises
    ------
    BadConfig
        Sessions have no such asset.
    BadInput
        There is no such session.
    """
    with open_site(home, study) as site:
        members = read_members(site.database, study)
        family = find_family(site, sampling.assets)
        cells = survey_study(site).plan.cells
        stale = [c for c in cells if c.partition and _is_stale(c, family)]
        sample = _choose(cells, stale, sampling)
        described = {(c.asset, c.partition): describe(site, c) for c in stale}
        with scratch_home(home, study) as scratch:
            lend_sessions(home, scratch, study, sample)
            trying = _Trying(home, scratch, study, family, described)
            results = trying.run({k: members[k] for k in sample if k in members}, tell)
    return Trial(
        study,
        tuple(sample),
        len({cell.partition for cell in stale}),
        results,
        tuple(
            f"{cell.asset} of {cell.partition} comes from the drops: use `reprocess`"
            for cell in stale
            if cell.asset == RAW_SESSION and cell.partition in sample
        ),
    )


def find_family(site: Site, assets: Collection[str]) -> frozenset[str]:
    """
    Return assets of a session with what they are made from and what is behind them.

    Raises
    ------
    BadConfig
        Sessions have no such asset.
    """
    apps = Scope(site.study).apps
    known = [
        node.asset
        for node in site.nodes(Per.SESSION)
        # A trial takes minutes; an app may take a day, and has its followers wait.
        if apps.isdisjoint({node.asset, *find_ancestors(site.parents, node.asset)})
    ]
    unknown = sorted(set(assets) - set(known))
    if unknown:
        raise BadConfig(
            f"Sessions have no asset {unknown[0]}.",
            fix=f"Give one of: {', '.join(known)}.",
        )
    before = {name: find_ancestors(site.parents, name) for name in known}
    return frozenset(
        name
        for name in known
        if not assets
        or name in assets
        or not before[name].isdisjoint(assets)
        or any(name in before[asset] for asset in assets)
    )


def _choose(
    cells: Sequence[Cell], stale: Sequence[Cell], sampling: Sampling
) -> list[str]:
    if not sampling.sessions:
        return choose_sample(stale, sampling.n_sessions)
    unknown = sorted(set(sampling.sessions) - {cell.partition for cell in cells})
    if unknown:
        raise BadInput(
            "There is no such session in the study.",
            fix="Take the key from `plan --json` or `status`, case and all.",
        )
    return sorted(set(sampling.sessions))


def _is_stale(cell: Cell, family: Collection[str]) -> bool:
    return cell.state is State.STALE and cell.asset in family


class _Trying:
    """The scratch home at work; its Dagster lives in memory only."""

    def __init__(
        self,
        home: Home,
        scratch: Home,
        study: str,
        family: Set[str],
        described: Mapping[tuple[str, str], Cell],
    ) -> None:
        self._home = home
        self._scratch = scratch
        self._study = load_study(scratch, study)
        self._family = family
        self._described = described

    def run(self, members: Mapping[str, str], tell: Tell) -> tuple[TrialResult, ...]:
        from imaging_platform.definitions import define_home

        self._scratch.dagster.mkdir(parents=True)
        definitions = define_home(self._scratch)
        results: list[TrialResult] = []
        with dg.DagsterInstance.ephemeral(str(self._scratch.dagster)) as instance:
            site = find_site(self._scratch, self._study, find_database(instance))
            scope = Scope(self._study)
            _tell_members(instance, scope, members)
            rebuild_index(
                self._scratch, scope, instance, definitions.resolve_asset_graph()
            )
            job = definitions.resolve_job_def(scope.session_job)
            tried: set[tuple[str, str]] = set()
            while cells := self._next(site, tried):
                tried |= {(cell.asset, cell.partition) for cell in cells}
                groups = itertools.groupby(cells, key=lambda cell: cell.partition)
                runs = [(session, list(group)) for session, group in groups]
                for n, (session, group) in enumerate(runs):
                    tell(n, len(runs))
                    results += self._execute(job, instance, session, group)
            return tuple(_note_stopped(site, result, results) for result in results)

    def _next(self, site: Site, tried: Collection[tuple[str, str]]) -> list[Cell]:
        plan = survey_study(site).plan
        choice = Choice(frozenset({State.STALE}))
        return [
            cell
            for cell in choose_frontier(plan, choice, tried)
            if cell.partition and cell.asset in self._family - {RAW_SESSION}
        ]

    def _execute(
        self,
        job: dg.JobDefinition,
        instance: dg.DagsterInstance,
        session: str,
        cells: Sequence[Cell],
    ) -> list[TrialResult]:
        study = self._study.name
        result = job.execute_in_process(
            instance=instance,
            partition_key=session,
            asset_selection=[dg.AssetKey([study, cell.asset]) for cell in cells],
            run_config=QUIET,
            raise_on_error=False,
        )
        made = _read_cpu_s(result)
        order = Order(study, "process_session", session, {}, "")
        problems = (
            []
            if result.success
            else read_problems(instance, order, result.dagster_run.run_id)
        )
        causes = {problem.asset: problem.cause for problem in problems}
        return [
            self._compare(cell, made[cell.asset])
            if cell.asset in made and cell.asset not in causes
            else TrialResult(
                cell.asset,
                session,
                FAILED,
                causes.get(cell.asset, "what it is made from failed"),
            )
            for cell in cells
        ]

    def _compare(self, cell: Cell, cpu_s: float) -> TrialResult:
        names = (cell.asset, *COMPARED_TOO.get(cell.asset, ()))
        keys = {n: layout.tree_key(self._study.name, n, cell.partition) for n in names}
        trees = {
            name: compare_trees(self._home.root / key, self._scratch.root / key)
            for name, key in keys.items()
        }
        is_same = trees[cell.asset].is_same
        known = self._described.get((cell.asset, cell.partition), cell)
        return TrialResult(
            cell.asset,
            cell.partition,
            SAME if is_same else DIFFERS,
            join_sentences(known.reasons),
            cpu_s,
            trees,
        )


def _tell_members(
    instance: dg.DagsterInstance, scope: Scope, members: Mapping[str, str]
) -> None:
    """Say that the originals of the sample are as the home's event log has them."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=scope.key(DROP_INDEX),
            partition="drop-0000000000000000",
            metadata={"sessions": dg.MetadataValue.json(dict(members))},
        )
    )


def _read_cpu_s(result: dg.ExecuteInProcessResult) -> dict[str, float]:
    """Return the processor time of each asset that was made."""
    found = {}
    for event in result.get_asset_materialization_events():
        made = event.step_materialization_data.materialization
        cost = made.metadata.get(CPU_S)
        found[made.asset_key.path[-1]] = float(str(cost.value)) if cost else 0.0
    return found


def _note_stopped(
    site: Site, result: TrialResult, results: Sequence[TrialResult]
) -> TrialResult:
    """Return the result with what need not be made behind it, if it is the same."""
    if result.outcome != SAME:
        return result
    made = {each.asset for each in results if each.session == result.session}
    behind = tuple(
        node.asset
        for node in site.nodes(Per.SESSION)
        if node.asset not in made
        and result.asset in find_ancestors(site.parents, node.asset)
    )
    return TrialResult(
        result.asset,
        result.session,
        SAME,
        result.why,
        result.cpu_s,
        result.trees,
        behind,
    )
