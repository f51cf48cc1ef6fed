"""Running all that is outstanding, side by side, until nothing is left."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import multiprocessing
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from imaging_platform.assets.leaving import UNFINISHED, clear_emptied
from imaging_platform.assets.scope import Scope
from imaging_platform.model.errors import BadConfig, ToolFailed
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing.events import Problem, StepDone, read_problems, watch
from imaging_platform.processing.outstanding import (
    Order,
    find_cohort_orders,
    find_drop_orders,
    find_session_orders,
)
from imaging_platform.processing.worker import (
    LAUNCHED_BY,
    end_with_caller,
    execute_order,
)
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.storage.local import LocalStore

POLL_S = 0.3
Tell = Callable[[StepDone], None]


@dataclass
class Outcome:
    """
    What one call of `process` did.

    Parameters
    ----------
    runs
        How many runs were started.
    steps
        Each step that ended, in that order.
    problems
        Each failure with its cause and fix.
    """

    runs: int = 0
    steps: list[StepDone] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Loop:
    """
    Brings studies up to date: drops, then sessions, then the cohort.

    Parameters
    ----------
    instance
        Dagster's instance; its event log says what is made.
    scopes
        The studies.
    jobs
        How many runs go side by side.
    tell
        Called after each step.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        scopes: Sequence[Scope],
        *,
        identified: IdentifiedZone,
        jobs: int,
        tell: Tell,
    ) -> None:
        self._instance = instance
        self._scopes = scopes
        home = Home(Path(identified.home))
        self._outlines = [
            outline_study(scope.study, home.notebooks(scope.name)) for scope in scopes
        ]
        self._identified = identified
        self._store = LocalStore(Path(identified.home))
        self._jobs = jobs
        self._tell = tell
        self._given_up: set[tuple[str, str, str]] = set()
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Run until nothing is outstanding but what failed, and say what was done."""
        self._close_interrupted_runs()
        context = multiprocessing.get_context("forkserver")
        with concurrent.futures.ProcessPoolExecutor(
            self._jobs, mp_context=context, initializer=end_with_caller
        ) as pool:
            for find in (self._find_drops, self._find_sessions, self._find_cohorts):
                while orders := self._not_given_up(find()):
                    self._execute(pool, self._not_running(orders))
        return self.outcome

    def _find_drops(self) -> list[Order]:
        while True:
            orders: list[Order] = []
            waiting = 0
            for scope in self._scopes:
                found, settling = find_drop_orders(
                    scope, self._instance, self._identified
                )
                orders += found
                waiting += settling
            if orders or not waiting:
                return orders
            time.sleep(POLL_S)

    def _find_sessions(self) -> list[Order]:
        return [
            order
            for outline in self._outlines
            for order in find_session_orders(
                outline, self._instance, self._identified, self._store
            )
        ]

    def _find_cohorts(self) -> list[Order]:
        for scope in self._scopes:
            # New first: what was relabelled goes when its new session is made.
            clear_emptied(Home(Path(self._identified.home)), scope, self._instance)
        return [
            order
            for outline in self._outlines
            for order in find_cohort_orders(outline, self._instance, self._store)
        ]

    def _not_given_up(self, orders: list[Order]) -> list[Order]:
        return [o for o in orders if _identity(o) not in self._given_up]

    def _not_running(self, orders: list[Order]) -> list[Order]:
        """Leave out what a daemon on the same home is running now."""
        filters = dg.RunsFilter(statuses=UNFINISHED)
        running = {
            (run.job_name, run.tags.get("dagster/partition", ""))
            for run in self._instance.get_runs(filters)
        }
        free = [o for o in orders if (f"{o.study}_{o.job}", o.partition) not in running]
        if not free:
            time.sleep(POLL_S)
        return free

    def _execute(
        self, pool: concurrent.futures.ProcessPoolExecutor, orders: list[Order]
    ) -> None:
        running = {}
        for order in orders:
            self._register(order)
            run_id = str(uuid.uuid4())
            future = pool.submit(execute_order, order, run_id)
            running[run_id] = (order, future)
        self.outcome.runs += len(running)
        cursors: dict[str, str | None] = dict.fromkeys(running)
        while running:
            time.sleep(POLL_S)
            ended = [run_id for run_id, (_, future) in running.items() if future.done()]
            # Looking at a run that has not begun would make its event log.
            begun = {r for r, (_, future) in running.items() if future.running()}
            for run_id in [*begun, *ended]:
                order, _ = running[run_id]
                steps, cursors[run_id] = watch(
                    self._instance, order, run_id, cursors[run_id]
                )
                for step in steps:
                    self.outcome.steps.append(step)
                    self._tell(step)
            for run_id in ended:
                order, future = running.pop(run_id)
                if not _succeeded(future):
                    self._give_up(order, run_id)

    def _register(self, order: Order) -> None:
        """Make the partition known before a run names it."""
        if order.partition:
            kind = "drops" if order.job == "index_drop" else "sessions"
            name = f"{order.study}_{kind}"
            self._instance.add_dynamic_partitions(name, [order.partition])

    def _give_up(self, order: Order, run_id: str) -> None:
        self._given_up.add(_identity(order))
        self.outcome.problems += read_problems(self._instance, order, run_id)

    def _close_interrupted_runs(self) -> None:
        """Mark runs of a killed `process` as failed: the lock says it is gone."""
        filters = dg.RunsFilter(tags={LAUNCHED_BY: "process"}, statuses=UNFINISHED)
        for run in self._instance.get_runs(filters):
            self._instance.report_run_failed(run, "`process` was interrupted.")


def _succeeded(future: concurrent.futures.Future[bool]) -> bool:
    try:
        return future.result()
    except BrokenProcessPool:
        raise ToolFailed(
            "A worker process was ended from outside, most often for lack of memory.",
            fix="Call `process` again, with --jobs 1; what was published stays.",
        ) from None


def _identity(order: Order) -> tuple[str, str, str]:
    return order.study, order.job, order.partition


@contextlib.contextmanager
def only_one(dagster_home: Path) -> Iterator[None]:
    """
    Hold the home for one `process` or `reprocess` at a time.

    Raises
    ------
    BadConfig
        Another `process` or `reprocess` is running on this home.
    """
    with (dagster_home / ".process.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadConfig(
                "Another `process` or `reprocess` is running on this home.",
                fix="Wait until it has ended; `status` shows how far it is.",
            ) from None
        yield
