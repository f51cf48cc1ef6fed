"""Making again what is wanted of a study, step by step, until nothing is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from imaging_platform.model.errors import ToolFailed
from imaging_platform.planning.cells import Cell, State, place_failure
from imaging_platform.planning.decisions import refuse_frozen
from imaging_platform.planning.plan import (
    Choice,
    Plan,
    choose_frontier,
    choose_together,
    refuse_unknown,
)
from imaging_platform.processing.backfills import (
    find_unfinished,
    launch_backfill,
    read_progress,
)
from imaging_platform.processing.daemon import Daemon, close_dead_runs
from imaging_platform.processing.live import LiveSite
from imaging_platform.survey.attempts import read_attempts
from imaging_platform.survey.study import survey_study

POLL_S = 0.5
BUSY_S = 5.0
MOST_ATTEMPTS = 2
"""How often one result is asked for; an interrupted run is worth a second try."""

KEPT = "it could not be made again; what was made before stays"


@dataclass
class Reprocessed:
    """
    What one call of `reprocess` did.

    Parameters
    ----------
    study
        Name of the study.
    backfills
        Ids of the backfills, in that order, as Dagster's UI shows them.
    n_asked
        How many results were asked for.
    attached
        Backfills that an earlier call had begun.
    left
        What of the wanted is not up to date now.
    """

    study: str
    backfills: list[str] = field(default_factory=list)
    n_asked: int = 0
    attached: list[str] = field(default_factory=list)
    left: list[Cell] = field(default_factory=list)


Tell = Callable[[int, int], None]


class Reprocessing:
    """
    Launches what can be made, waits for it, and plans again.

    So a re-made input that comes out the same stops what is behind it. Called again
    after a kill, it goes on with the backfill that was begun.

    Parameters
    ----------
    live
        The study.
    daemon
        Goes on with backfills where no other daemon does.
    tell
        Told how many results of the current backfill are made, and of how many.
    """

    def __init__(self, live: LiveSite, daemon: Daemon, tell: Tell) -> None:
        self._live, self._site = live, live.site
        self._daemon = daemon
        self._tell = tell
        self._asked: Counter[tuple[str, str]] = Counter()
        self.done = Reprocessed(live.scope.name)

    def run(self, choice: Choice) -> Reprocessed:
        """
        Make what is wanted and return what was done.

        Raises
        ------
        BadInput
            The choice names what the study does not have.
        Held
            A person froze the study meanwhile.
        ToolFailed
            A backfill was cancelled in Dagster's UI, or broke.
        """
        close_dead_runs(self._live.instance)
        for begun in find_unfinished(self._live):
            self.done.attached.append(begun)
            self._wait(begun)
        plan = self._plan()
        refuse_unknown(plan, choice)
        # What is wanted now is told at the end, in whatever state it then is.
        wanted = {(c.asset, c.partition) for c in plan.cells if choice.wants(c)}
        while cells := choose_together(
            self._next(plan, choice), self._site.parents, self._live.scope.apps
        ):
            wanted |= {(cell.asset, cell.partition) for cell in cells}
            self._asked.update((cell.asset, cell.partition) for cell in cells)
            self.done.n_asked += len(cells)
            self.done.backfills.append(launch_backfill(self._live, cells))
            self._wait(self.done.backfills[-1])
            plan = self._plan()
        refuse_frozen(self._site.store.root, self._site.study.name)
        self.done.left = [
            cell
            for cell in plan.unsettled
            if (cell.asset, cell.partition) in wanted and not _only_waits(cell)
        ]
        self.done.left += self._find_kept(plan)
        return self.done

    def _find_kept(self, plan: Plan) -> list[Cell]:
        """Return what was asked for, could not be made, and is fresh as it was."""
        kept = [
            cell
            for cell in plan.cells
            if cell.state is State.FRESH and (cell.asset, cell.partition) in self._asked
        ]
        assets = sorted({cell.asset for cell in kept})
        attempts = read_attempts(self._site.database, self._site.study.name, assets)
        return [
            replace(cell, state=place_failure(failure), note=KEPT, failure=failure)
            for cell in kept
            if (attempt := attempts.get(cell.asset, {}).get(cell.partition)) is not None
            and not attempt.is_running
            for failure in [attempt.failure or "Interrupted"]
        ]

    def _plan(self) -> Plan:
        # Not what was read before: people decide meanwhile.
        return survey_study(replace(self._site)).plan

    def _next(self, plan: Plan, choice: Choice) -> list[Cell]:
        """Return what to launch now; waits while others work on what is wanted."""
        most = MOST_ATTEMPTS if choice.states else 1
        while True:
            given_up = {key for key, times in self._asked.items() if times >= most}
            cells = choose_frontier(plan, choice, given_up)
            is_busy = any(cell.state is State.RUNNING for cell in plan.cells)
            if cells or not is_busy:
                return cells
            self._daemon.tick()
            time.sleep(BUSY_S)
            close_dead_runs(self._live.instance)
            plan = self._plan()

    def _wait(self, backfill_id: str) -> None:
        while True:
            self._daemon.tick()
            progress = read_progress(self._live, backfill_id)
            self._tell(progress.n_done, progress.n_all)
            if progress.is_finished:
                break
            time.sleep(POLL_S)
        if progress.is_cancelled or progress.error:
            what = "was cancelled" if progress.is_cancelled else "broke"
            raise ToolFailed(
                f"The backfill {backfill_id} {what}. {progress.error}".strip(),
                fix="What it made stays; `reprocess` again goes on with the rest.",
            )


def _only_waits(cell: Cell) -> bool:
    """Return whether a result is as good as it can be until others are made."""
    return cell.state is State.WAITS and not cell.is_stopped
