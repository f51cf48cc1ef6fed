"""What the orchestration costs for itself, beside the least that it could."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from benchmarks import hollow
from benchmarks.history import fill_history, index_file
from benchmarks.hollow import SCOPE
from benchmarks.measuring import Benchmark, Numbers, Way
from imaging_platform.definitions import define_home
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing.outstanding import find_session_orders
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.sensors.sessions import make_sessions_sensor
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.site import Site
from imaging_platform.survey.study import survey_study

MANY_SESSIONS = 1_000
PLANNED_SESSIONS = 5_000
KNOWN_SESSIONS = 10_000


class Workplace:
    """
    Opens instances, and closes them at the end.

    Parameters
    ----------
    folder
        Existing folder for their homes.
    is_small
        A tenth of the sessions.
    """

    def __init__(
        self, folder: Path, *, is_small: bool, stack: contextlib.ExitStack
    ) -> None:
        self._folder = folder
        self._stack = stack
        self._numbers = itertools.count()
        self.is_small = is_small

    def open(self) -> tuple[dg.DagsterInstance, Home]:
        """Return a new home and its instance of Dagster."""
        home = Home(self._folder / f"home-{next(self._numbers)}")
        hollow.write_home(home)
        instance = dg.DagsterInstance.from_config(str(home.dagster))
        return self._stack.enter_context(instance), home

    def count(self, full: int) -> int:
        """Return how many sessions there are for this size."""
        return full // 10 if self.is_small else full


def definitions(place: Workplace) -> Benchmark:
    """Return the building of one study's definitions, all modules loaded."""

    _, home = place.open()

    def build(_: Path) -> Numbers:
        graph = define_home(home).resolve_asset_graph()
        return {"assets": len(graph.get_all_asset_keys())}

    def build_chain(_: Path) -> None:
        hollow.define_chain().resolve_asset_graph()

    return Benchmark(
        "definitions",
        Way("definitions of a study", build),
        [Way("six bare assets", build_chain)],
    )


def worker_start(place: Workplace) -> Benchmark:
    """Return the start of a worker process, until it could run its first order."""
    _, home = place.open()

    def start(code: str) -> None:
        _start(home, "-c", code)

    ready = (
        "import dagster as dg; import imaging_platform.processing.worker;"
        "from imaging_platform.definitions import define_home;"
        "from imaging_platform.settings import find_home;"
        "define_home(find_home()).resolve_job_def('bench_process_session');"
        "dg.DagsterInstance.get().dispose()"
    )
    return Benchmark(
        "worker_start",
        Way("worker, cold to ready", lambda _: start(ready)),
        [
            Way("python, import dagster", lambda _: start("import dagster")),
            Way("python alone", lambda _: start("")),
        ],
    )


def _start(home: Home, *argv: str) -> None:
    """Run Python on a home in a process of its own."""
    environment = {
        **os.environ,
        "IMAGING_HOME": str(home.root),
        "DAGSTER_HOME": str(home.dagster),
    }
    subprocess.run(
        [sys.executable, *argv],
        check=True,
        env=environment,
        cwd=home.root,
        stdout=subprocess.DEVNULL,
    )


def run(place: Workplace) -> Benchmark:
    """Return one run of six assets that do nothing, in a warm worker."""
    chain = hollow.define_chain()
    instance, home = place.open()
    partitions = map(hollow.session_label, itertools.count())

    def execute(_: Path) -> Numbers:
        run_id = hollow.execute(chain, instance, next(partitions))
        return {"run log bytes": _log_bytes(home, run_id)}

    return Benchmark(
        "run", Way("run of six assets, log on disk", execute), [_in_memory(chain)]
    )


def session_run(place: Workplace) -> Benchmark:
    """Return one run of the session's graph, its checks too, without the work."""
    instance, home = place.open()
    session = hollow.define_hollow_study(home)
    partitions = map(hollow.session_label, itertools.count())

    def execute(_: Path) -> Numbers:
        before = _bytes(home.dagster)
        run_id = hollow.execute(session, instance, next(partitions))
        return {
            "run log bytes": _log_bytes(home, run_id),
            "all bytes": _bytes(home.dagster) - before,
        }

    return Benchmark(
        "session_run",
        Way("run of a session's graph, log on disk", execute),
        [_in_memory(session)],
    )


def outstanding(place: Workplace) -> Benchmark:
    """Return the search for what is left to do when nothing is."""
    instance, home = place.open()
    graph = define_home(home).resolve_asset_graph()
    n_sessions = place.count(MANY_SESSIONS)
    fill_history(instance, graph, n_sessions=n_sessions)
    identified = IdentifiedZone(home=str(home.root))
    outline = outline_study(SCOPE.study, home.notebooks(SCOPE.name))

    def find(_: Path) -> Numbers:
        store = LocalStore(home.root)
        orders = find_session_orders(outline, instance, identified, store)
        return {"sessions": n_sessions, "orders": len(orders)}

    return Benchmark(
        "outstanding",
        Way("find_session_orders", find),
        [Way("sqlite, the same rows", lambda _: _read_rows(home))],
        repeats=3,
    )


def plan(place: Workplace) -> Benchmark:
    """Return the plan of many sessions, and why one result is as it is."""
    instance, home = place.open()
    graph = define_home(home).resolve_asset_graph()
    n_sessions = place.count(PLANNED_SESSIONS)
    fill_history(instance, graph, n_sessions=n_sessions)
    outline = outline_study(SCOPE.study, home.notebooks(SCOPE.name))
    site = Site(outline, find_database(instance), LocalStore(home.root), {})

    def survey(_: Path) -> Numbers:
        found = survey_study(site).plan
        return {"sessions": n_sessions, "results": len(found.cells)}

    last = hollow.session_label(n_sessions - 1)
    why = ("-m", "imaging_platform.cli.main", "why", "motion", last)
    least = ("-c", "import click, pydantic, yaml")

    def explain(_: Path) -> None:
        survey_study(site, last)

    return Benchmark(
        "plan",
        Way("plan of a study", survey),
        [
            Way("why, one session", explain),
            Way("why, as a command", lambda _: _start(home, *why)),
            Way("python, what any command imports", lambda _: _start(home, *least)),
            Way("sqlite, the same rows", lambda _: _read_rows(home)),
        ],
        repeats=3,
    )


def sensor_tick(place: Workplace) -> Benchmark:
    """Return a tick of the sessions sensor after one drop, beside an idle tick."""
    instance, home = place.open()
    definitions = define_home(home)
    graph = definitions.resolve_asset_graph()
    n_known = place.count(KNOWN_SESSIONS)
    fill_history(instance, graph, n_sessions=n_known)
    seen = _index_new_drop(instance, n_known)
    sensor = make_sessions_sensor(SCOPE)
    repository = definitions.get_repository_def()

    def tick(cursor: str | None) -> Numbers:
        # Not `build_sensor_context`: it has no instance to validate partitions with.
        with dg.SensorEvaluationContext(
            instance.get_ref(), cursor=cursor, repository_def=repository
        ) as context:
            found = sensor.evaluate_tick(context)
        return {"known": n_known, "requests": len(found.run_requests or ())}

    return Benchmark(
        "sensor_tick",
        Way("tick with a new drop", lambda _: tick(f"{seen}:0")),
        [Way("tick with nothing new", lambda _: tick("1000000:0"))],
    )


OVERHEAD = {
    make.__name__: make
    for make in (
        definitions,
        worker_start,
        run,
        session_run,
        outstanding,
        plan,
        sensor_tick,
    )
}


@contextlib.contextmanager
def workplace(folder: Path, *, is_small: bool) -> Iterator[Workplace]:
    """Hold a `Workplace` whose instances are closed at the end."""
    with contextlib.ExitStack() as stack:
        yield Workplace(folder, is_small=is_small, stack=stack)


def _index_new_drop(instance: dg.DagsterInstance, n_known: int) -> int:
    """Report a drop of new files of 50 known sessions; return the event before it."""
    key = SCOPE.key("drop_index")
    seen = instance.fetch_materializations(key, limit=1).records[0].storage_id
    sessions = {hollow.session_label(n % n_known): "new" for n in range(50)}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            key,
            partition="drop-0123456789abcdef",
            metadata={"sessions": dg.MetadataValue.json(sessions)},
        )
    )
    return seen


def _in_memory(definitions: dg.Definitions) -> Way:
    def execute(_: Path) -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            hollow.execute(definitions, instance, hollow.session_label(0))

    return Way("the same, log in memory", execute)


def _log_bytes(home: Home, run_id: str) -> int:
    return (home.dagster / "history" / "runs" / f"{run_id}.db").stat().st_size


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _read_rows(home: Home) -> None:
    with contextlib.closing(sqlite3.connect(index_file(home))) as log:
        log.execute("SELECT partition, event FROM event_logs").fetchall()
