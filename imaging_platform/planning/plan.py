"""The state of every result of a study, and what of it can be made next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imaging_platform.model.errors import BadInput
from imaging_platform.planning.cells import WHOLE_STUDY, Cell, State, find_ancestors
from imaging_platform.planning.cost import Cost, Estimate, estimate
from imaging_platform.planning.reasons import join_sentences, name_some
from imaging_platform.planning.releases import Release


@dataclass(frozen=True)
class Plan:
    """
    The state of every asset of every session of a study.

    Parameters
    ----------
    study
        Its name.
    cells
        One an asset and session, sessions sorted, upstream first; then those of the
        whole study.
    costs
        What one materialization costs, by asset.
    frozen
        Who froze the study and why; empty when it is not.
    releases
        Its releases, and what has changed since.
    """

    study: str
    cells: tuple[Cell, ...]
    costs: Mapping[str, Cost] = field(default_factory=dict)
    frozen: str = ""
    releases: tuple[Release, ...] = ()

    @property
    def unsettled(self) -> Iterator[Cell]:
        """Results that are not fresh."""
        return (cell for cell in self.cells if cell.state is not State.FRESH)

    @property
    def accepted(self) -> list[Cell]:
        """Results that are fresh because a person said so."""
        return [c for c in self.cells if c.note and c.state is State.FRESH]

    def find(self, asset: str, partition: str) -> Cell | None:
        """Return one cell; None when there is none."""
        return next(
            (c for c in self.cells if c.asset == asset and c.partition == partition),
            None,
        )

    def narrow(self, assets: Collection[str]) -> Plan:
        """Return the plan of these assets only."""
        cells = tuple(cell for cell in self.cells if cell.asset in assets)
        return replace(self, cells=cells)

    def count_states(self) -> dict[str, int]:
        """Return how many results are in each state."""
        found = Counter(cell.state for cell in self.cells)
        return {str(state): found[state] for state in State}

    def group(self) -> list[Group]:
        """Return the results that are not fresh, put together by asset and reason."""
        groups: dict[tuple[str, State, str, str], list[Cell]] = {}
        for cell in self.unsettled:
            kinds = ", ".join(dict.fromkeys(r.kind for r in cell.reasons))
            key = (cell.asset, cell.state, cell.failure, kinds)
            groups.setdefault(key, []).append(cell)
        return [
            Group(asset, state, failure, kinds, len(found), found[0])
            for (asset, state, failure, kinds), found in groups.items()
        ]

    def estimate(self) -> Estimate:
        """Return what it costs to make all that is stale or missing."""
        states = (State.STALE, State.MISSING)
        return self.estimate_of(c for c in self.cells if c.state in states)

    def estimate_waiting(self) -> Estimate:
        """Return what it costs at most to make all that waits and is not stopped."""
        return self.estimate_of(
            c for c in self.cells if c.state is State.WAITS and not c.is_stopped
        )

    def estimate_of(self, cells: Iterable[Cell]) -> Estimate:
        """Return what it costs to make these, whatever their state."""
        return estimate(Counter(cell.asset for cell in cells), self.costs)


@dataclass(frozen=True)
class Group:
    """
    Results of one asset in the same state for the same kind of reason.

    Parameters
    ----------
    asset, state, failure
        As of `Cell`.
    kinds
        Kinds of the reasons.
    n_results
        How many.
    first
        The first of them.
    """

    asset: str
    state: State
    failure: str
    kinds: str
    n_results: int
    first: Cell

    @property
    def state_name(self) -> str:
        """State and, of a failure, its class."""
        return f"{self.state} ({self.failure})" if self.failure else str(self.state)

    @property
    def why(self) -> str:
        """The first of them and its reason, in words."""
        words = self.first.note or join_sentences(self.first.reasons)
        return words if self.n_results == 1 else f"{self.first.where}: {words}"


@dataclass(frozen=True)
class Choice:
    """
    Which results of a plan a person wants made.

    Parameters
    ----------
    states
        All in one of these states.
    failures
        All whose latest attempt ended with an error of one of these classes.
    named
        These (asset, partition), whatever their state.
    """

    states: frozenset[State] = frozenset()
    failures: frozenset[str] = frozenset()
    named: frozenset[tuple[str, str]] = frozenset()

    def wants(self, cell: Cell) -> bool:
        """Return whether a result is wanted."""
        return (
            cell.state in self.states
            or (bool(cell.failure) and cell.failure in self.failures)
            or (cell.asset, cell.partition) in self.named
        )


def refuse_unknown(plan: Plan, choice: Choice) -> None:
    """
    Refuse a choice that names what the study does not have.

    Raises
    ------
    BadInput
        There is no such asset, or no such session.
    """
    known = {(cell.asset, cell.partition) for cell in plan.cells}
    unknown = [
        f"{asset}:{partition or WHOLE_STUDY}"
        for asset, partition in sorted(choice.named - known)
    ]
    if unknown:
        raise BadInput(
            f"Study {plan.study} has no {name_some(tuple(unknown))}.",
            fix="`plan` names the assets, `status` the sessions; what spans all "
            f"sessions is named as `catalog:{WHOLE_STUDY}`.",
        )


def choose_frontier(
    plan: Plan, choice: Choice, besides: Collection[tuple[str, str]] = ()
) -> list[Cell]:
    """
    Return what can be made now of all that is wanted.

    Named results and failures are taken as they are. Of the others, a result waits
    until those before it are as they will be, and while a run is at work on its
    session; what spans all sessions waits for all that is wanted of them.

    Parameters
    ----------
    plan
        The state now.
    choice
        What is wanted.
    besides
        (asset, partition) that were tried already.
    """
    if plan.frozen:
        return []
    busy = {cell.partition for cell in plan.cells if cell.state is State.RUNNING}
    wanted = [
        cell
        for cell in plan.cells
        if choice.wants(cell)
        and cell.partition not in busy
        and (cell.asset, cell.partition) not in besides
        and (cell.is_ready or cell.state not in choice.states)
    ]
    of_sessions = [cell for cell in wanted if cell.partition]
    return of_sessions or wanted


def without_followers(
    cells: Iterable[Cell],
    parents: Mapping[str, Sequence[str]],
    alone: Collection[str],
) -> list[Cell]:
    """
    Return cells without those that cannot be made beside the others.

    Parameters
    ----------
    cells
        What can be made now; of one partition, in one run.
    parents
        Inputs of each asset, by name.
    alone
        Assets that have runs of their own: they wait for what they are made from,
        and what is made from them waits for them.
    """
    chosen = list(cells)
    named = {(cell.asset, cell.partition) for cell in chosen}
    return [
        cell
        for cell in chosen
        if not any(
            (asset, cell.partition) in named
            for asset in find_ancestors(parents, cell.asset)
            if asset in alone or cell.asset in alone
        )
    ]


def choose_together(
    cells: Iterable[Cell],
    parents: Mapping[str, Sequence[str]],
    alone: Collection[str],
) -> list[Cell]:
    """
    Return the cells that are made side by side: what shares runs, else one asset.

    Parameters
    ----------
    cells
        What can be made now.
    parents
        Inputs of each asset, by name.
    alone
        Assets that have runs of their own, and limits for each.
    """
    able = without_followers(cells, parents, alone)
    own = [cell for cell in able if cell.asset not in alone]
    return own or [cell for cell in able if cell.asset == able[0].asset]
