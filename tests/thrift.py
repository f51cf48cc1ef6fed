"""What libraries do for years of use, and a test of seconds can do without."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_platform.files import staging
from imaging_platform.tools.isolated import FIXED_ENVIRONMENT

TOGETHER = {
    "demo study": (
        "demo/test_conversion.py",
        "demo/test_identities.py",
        "demo/test_study.py",
        "demo/test_truth.py",
    ),
    "S3 server": (
        "orchestration/test_sensors.py",
        "storage/test_contract.py",
        "storage/test_s3.py",
        "storage/test_s3_inbox.py",
    ),
}
"""Modules that share what takes seconds to make, once a worker."""


@pytest.fixture(scope="session", autouse=True)
def thrift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither wait for a disk nor make anew what Dagster makes for each database."""
    with pytest.MonkeyPatch.context() as patch:
        spare_the_disk(patch)
        if "dagster" in sys.modules:
            spare_dagster(patch, tmp_path_factory.mktemp("empty_databases"))
        yield


def pytest_configure(config: pytest.Config) -> None:
    """
    Let numerical libraries have one thread where two workers have two processors.

    Not in the slow tests: what they start must fix its threads itself.
    """
    if config.option.markexpr == "not slow":
        for name, value in FIXED_ENVIRONMENT.items():
            if name.endswith("_THREADS"):
                os.environ.setdefault(name, value)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Give modules that share something to one worker, which makes it once."""
    from xdist.scheduler.loadfile import LoadFileScheduling

    shared = {
        f"tests/{name}": what for what, names in TOGETHER.items() for name in names
    }

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = super()._split_scope(nodeid)
            return shared.get(module, module)

    return Scheduling(config, log) if config.option.dist == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Look no more for garbage among the modules of all tests, which stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def spare_the_disk(patch: pytest.MonkeyPatch) -> None:
    """Flush nothing: that is for a power cut, which no test of this process makes."""
    patch.setattr(staging, "flush_disk", lambda _: None)
    patch.setattr(os, "fsync", lambda _: None)
    real = sqlite3.dbapi2.connect

    def connect(*args: Any, **settings: Any) -> sqlite3.Connection:
        connection = real(*args, **settings)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    patch.setattr(sqlite3.dbapi2, "connect", connect)


def spare_dagster(patch: pytest.MonkeyPatch, empty: Path) -> None:
    """
    Copy an empty database where Dagster would migrate one, and follow no output.

    A run has a database of its own with thirteen tables, and each is migrated by
    reading every migration there ever was; each look into it compiles its statements
    anew. The output of each step is followed by four processes, for a UI that no
    test opens.
    """
    from alembic.script import ScriptDirectory
    from dagster._core.execution import compute_logs
    from dagster._core.storage.event_log.sqlite import sqlite_event_log as events
    from dagster._core.storage.runs.sqlite import sqlite_run_storage as runs
    from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage as ticks

    read = functools.lru_cache(ScriptDirectory.from_config)
    patch.setattr(ScriptDirectory, "from_config", read)
    followed = contextlib.nullcontext((None, None))
    patch.setattr(compute_logs, "tail_to_stream", lambda *_: followed)
    for module in (events, runs, ticks):
        patch.setattr(module, "create_engine", _reusing(module.create_engine))

    migrate = events.SqliteEventLogStorage._initdb

    def start_events(storage: Any, engine: Any, for_index_shard: bool = False) -> None:
        file = Path(engine.url.database)
        if not file.exists():
            make = functools.partial(migrate, storage, engine, for_index_shard)
            _copy_or_make(empty / "events.db", file, make)

    patch.setattr(events.SqliteEventLogStorage, "_initdb", start_events)
    for kind, name in (
        (runs.SqliteRunStorage, "runs"),
        (ticks.SqliteScheduleStorage, "schedules"),
    ):
        patch.setattr(
            kind, "from_local", _starting(kind.from_local, empty / f"{name}.db")
        )


def _copy_or_make(known: Path, file: Path, make: Callable[[], object]) -> None:
    if known.exists():
        shutil.copyfile(known, file)
    else:
        make()
        shutil.copyfile(file, known)


def _starting(from_local: Callable[..., Any], known: Path) -> Callable[..., Any]:
    """Return the maker of a storage that starts from a copy of the first one."""

    def start(base_dir: str, inst_data: Any = None) -> Any:
        file = Path(base_dir, known.name)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            _copy_or_make(known, file, lambda: from_local(base_dir, inst_data))
        return from_local(base_dir, inst_data)

    return start


def _reusing(create_engine: Callable[..., Any]) -> Callable[..., Any]:
    """Return `create_engine` that gives one engine a database, which holds no file."""
    engines: dict[str, Any] = {}

    def reuse(url: str, **settings: Any) -> Any:
        if url not in engines:
            engines[url] = create_engine(url, **settings)
        return engines[url]

    return reuse
