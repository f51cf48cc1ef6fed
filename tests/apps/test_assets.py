"""Apps of a study file inside Dagster: made, failed by class, cancelled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml
from click.testing import CliRunner

from imaging_platform.assets.explaining import FAILED_TAG
from imaging_platform.assets.scope import Scope
from imaging_platform.cli.main import cli
from imaging_platform.cli.studies import create_study
from imaging_platform.definitions import define_home
from imaging_platform.deid.guard_store import save_identifiers
from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.files.writing import write_text
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.provenance.record import Record, read_record
from imaging_platform.resources.database import find_database
from imaging_platform.settings import load_study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_made
from tests.apps.conftest import ENTRY, KEY, TINY_APP, write_session

pytestmark = pytest.mark.slow

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
OTHER = SessionKey("01", "2")
THIRD = SessionKey("02", "1")


@dataclass
class Site:
    """A home with sessions in BIDS, apps in its study file, and Dagster beside it."""

    home: Home
    instance: dg.DagsterInstance
    entry: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.home.root)

    def set_app(self, **changed: Any) -> None:
        local = {"runner": "local", "executable": str(TINY_APP)}
        self.entry = {**ENTRY, **local, **changed}
        text = yaml.safe_dump({"name": "demo", "apps": [self.entry]})
        write_text(self.home.study_file("demo"), text)

    def add(self, key: SessionKey) -> None:
        place = layout.bids_session("demo", key)
        with self.store.stage(place) as tree:
            write_session(tree, key)
            record = Record("bids_session", str(key), "1", report={"series": []})
            self.store.publish(tree, place, record)
        self.instance.add_dynamic_partitions("demo_sessions", [str(key)])

    def run(self, partition: str = str(KEY)) -> dg.ExecuteInProcessResult:
        job = define_home(self.home).resolve_job_def("demo_run_tiny")
        return job.execute_in_process(
            instance=self.instance,
            partition_key=partition or None,
            run_config=QUIET,
            raise_on_error=False,
        )

    def failure(self, result: dg.ExecuteInProcessResult) -> str:
        """Return the class of the failure that the run is tagged with."""
        return self.failure_of(result.run_id)

    def failure_of(self, run_id: str) -> str:
        run = self.instance.get_run_by_id(run_id)
        return run.tags.get(f"{FAILED_TAG}tiny", "") if run else ""

    def dataset(self) -> Path:
        return self.store.path(layout.app_dataset("demo", "tiny", "1.2"))

    def processes(self) -> list[int]:
        """Return the processes that an app of this home has started."""
        return [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.home.root) in w for w in process.info["cmdline"] or [])
        ]

    def left_behind(self) -> list[str]:
        staging = self.home.root / "derivatives" / "demo" / ".staging"
        return [p.name for p in staging.glob("*") if p.suffix != ".lock"]


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    home = Home(tmp_path / "home")
    create_study(home, "demo")
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        made = Site(home, instance)
        made.set_app()
        made.add(KEY)
        yield made


def test_an_app_makes_a_derivative_that_the_validator_accepts(site):
    from imaging_platform.tools.validator import validate_dataset

    result = site.run()

    (made,) = result.asset_materializations_for_node("demo__tiny")
    described = json.loads((site.dataset() / "dataset_description.json").read_text())
    record = read_record(site.dataset() / "sub-01" / "ses-1")
    assert result.success
    assert record is not None
    assert record.tools == {"tiny": "1.2"}
    assert made.metadata["desc-copy_T1w size"].value > 0
    assert described["GeneratedBy"] == [{"Name": "tiny", "Version": "1.2"}]
    assert validate_dataset(site.dataset()).errors == ()
    assert site.left_behind() == []


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"params": {"mode": "silent"}}, "BadOutput"),
        ({"params": {"mode": "licence"}}, "Licence"),
        ({"params": {"mode": "memory"}}, "OutOfMemory"),
        ({"params": {"mode": "crash"}}, "ToolFailed"),
        ({"params": {"mode": "sleep"}, "timeout_min": 0.01}, "Timeout"),
        ({"needs": ["dwi/*"]}, "MissingInput"),
        ({"command": "{no_such}"}, "BadConfig"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failure_tags_the_run_with_its_class_and_keeps_what_was_published(
    site, changed, failure
):
    assert site.run().success
    before = read_record(site.dataset() / "sub-01" / "ses-1")
    site.set_app(**changed)

    result = site.run()

    assert not result.success
    assert site.failure(result) == failure
    assert read_record(site.dataset() / "sub-01" / "ses-1") == before
    assert site.left_behind() == []


def test_a_cancelled_run_has_its_class_and_leaves_nothing(site):
    site.set_app(params={"mode": "sleep"})
    log = site.store.path(layout.app_log("demo", "tiny", str(KEY)))
    watcher = threading.Thread(target=_interrupt_when_there, args=(log,))

    watcher.start()
    result = site.run()
    watcher.join()

    assert not result.success
    assert site.failure(result) == "Cancelled"
    assert site.left_behind() == []


def _interrupt_when_there(log: Path) -> None:
    end_s = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size) and time.monotonic() < end_s:
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_subject_level_app_runs_only_for_subjects_that_changed(site):
    site.set_app(
        level="subject",
        needs=[],
        command="-c 'mkdir -p $2/sub-$3/anat; ls $1/sub-$3 > $2/sub-$3/sessions.txt' x "
        "{bids_dir} {out_dir} {subject}",
        executable="sh",
        params={},
        outputs=[{"glob": "sub-{subject}/sessions.txt"}],
    )
    site.add(THIRD)
    assert site.run("").success
    before = _times(site)
    site.add(OTHER)

    result = site.run("")

    (made,) = result.asset_materializations_for_node("demo__tiny")
    after = _times(site)
    assert (site.dataset() / "sub-01" / "sessions.txt").read_text() == "ses-1\nses-2\n"
    assert after["sub-02"] == before["sub-02"]
    assert after["sub-01"] != before["sub-01"]
    assert set(made.metadata["inputs"].value) == {
        f"bids_session[{key}]" for key in (KEY, OTHER, THIRD)
    }


def _times(site: Site) -> dict[str, int]:
    return {
        folder.name: (folder / "sessions.txt").stat().st_mtime_ns
        for folder in site.dataset().glob("sub-*")
    }


def test_a_study_level_app_publishes_one_tree(site):
    site.set_app(
        level="study",
        needs=[],
        command="-c 'ls $1 > $2/group.txt' x {bids_dir} {out_dir}",
        executable="sh",
        params={},
        outputs=[{"glob": "group.txt"}],
        bidsignore=["group.txt"],
    )
    site.add(THIRD)

    result = site.run("")

    record = read_record(site.dataset())
    assert result.success
    assert record is not None
    assert set(record.inputs) == {f"bids_session[{key}]" for key in (KEY, THIRD)}
    assert "sub-02" in (site.dataset() / "group.txt").read_text()
    assert (site.dataset() / "dataset_description.json").exists()


def test_edits_with_an_identifier_of_the_subject_are_held(site):
    edits = site.home.edits("demo", "tiny", str(KEY))
    write_text(edits / "out" / "note.txt", "KESTREL ANNIKA")
    words = Identifiers(words=frozenset({"kestrel", "annika"}))
    save_identifiers(site.home.guard_file("demo", KEY), words)

    result = site.run()

    assert not result.success
    assert site.failure(result) == "IdentityLeak"
    assert not (site.dataset() / "sub-01").exists()


def test_after_the_loss_of_the_database_an_app_has_not_to_run_again(site, tmp_path):
    from imaging_platform.processing.rebuilding import rebuild_index

    assert site.run().success
    scope = Scope(load_study(site.home, "demo"))
    (tmp_path / "lost").mkdir()
    graph = define_home(site.home).resolve_asset_graph()
    with dg.instance_for_test(temp_dir=str(tmp_path / "lost")) as lost:
        told = rebuild_index(site.home, scope, lost, graph).told
        known = read_made(find_database(lost), scope.name, "tiny")

    assert told["tiny"] == 1
    assert known == read_made(find_database(site.instance), scope.name, "tiny")


def test_a_file_of_an_app_is_traced_to_the_session_that_it_was_made_of(
    site, monkeypatch
):
    assert site.run().success
    file = site.dataset() / "sub-01/ses-1/anat" / f"{KEY}_desc-copy_T1w.nii.gz"
    monkeypatch.setenv("IMAGING_HOME", str(site.home.root))

    done = CliRunner().invoke(
        cli, ["trace", str(file), "--json"], standalone_mode=False
    )

    assert done.exception is None
    assert f"bids_session[{KEY}]" in done.output
    assert f"tiny-1.2[{KEY}]" in done.output


def test_of_a_session_that_is_gone_nothing_of_an_app_is_left(site):
    from imaging_platform.assets.leaving import _remove

    assert site.run().success
    log = site.store.path(layout.app_log("demo", "tiny", str(KEY)))
    assert log.exists()

    _remove(site.home, Scope(load_study(site.home, "demo")), str(KEY))

    assert not (site.dataset() / "sub-01").exists()
    assert not log.exists()


def test_process_runs_an_app_in_a_run_that_the_sensor_would_not_start_again(
    site, monkeypatch
):
    from imaging_platform.processing.outstanding import Order
    from imaging_platform.processing.worker import _load_definitions, execute_order

    monkeypatch.setenv("IMAGING_HOME", str(site.home.root))
    _load_definitions.cache_clear()
    order = Order("demo", "run_tiny", str(KEY), {"tiny": "never made"}, "the key")

    succeeded = execute_order(order, str(uuid.uuid4()))
    _load_definitions.cache_clear()

    (run,) = site.instance.get_runs()
    assert succeeded
    assert run.tags["dagster/sensor_name"] == "demo_apps"
    assert run.tags["dagster/run_key"] == "the key"
    assert run.tags["imaging/memory_gb"] == "0.1"


def test_a_failure_shows_where_its_log_is_and_only_if_there_is_one(site):
    site.set_app(params={"mode": "crash"})
    with_log = _failure_metadata(site.run())
    site.set_app(command="{no_such}")
    without_log = _failure_metadata(site.run())

    place = layout.app_log("demo", "tiny", str(KEY))
    assert with_log["log"].value.endswith(place)
    assert with_log["class"].value == "ToolFailed"
    assert "log" not in without_log


def _failure_metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = [e for e in result.all_events if e.is_step_failure]
    data = event.step_failure_data.user_failure_data
    return dict(data.metadata) if data else {}


CALLER = """
import concurrent.futures, multiprocessing, sys
from imaging_platform.processing.outstanding import Order
from imaging_platform.processing.worker import end_with_caller, execute_order

context = multiprocessing.get_context("forkserver")
order = Order("demo", "run_tiny", sys.argv[1], {"tiny": ""}, "key")
pool = concurrent.futures.ProcessPoolExecutor(
    1, mp_context=context, initializer=end_with_caller
)
pool.submit(execute_order, order, sys.argv[2]).result()
"""


def test_an_app_is_cancelled_when_the_process_that_asked_for_it_is_killed(
    site, monkeypatch
):
    site.set_app(params={"mode": "sleep"})
    monkeypatch.setenv("IMAGING_HOME", str(site.home.root))
    run_id = str(uuid.uuid4())
    log = site.store.path(layout.app_log("demo", "tiny", str(KEY)))

    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(KEY), run_id], stderr=subprocess.DEVNULL
    )
    _wait_until(lambda: log.exists() and bool(log.stat().st_size))
    caller.kill()
    caller.wait()
    _wait_until(lambda: site.failure_of(run_id) == "Cancelled")

    assert site.processes() == []
    assert site.left_behind() == []


def _wait_until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.2)
