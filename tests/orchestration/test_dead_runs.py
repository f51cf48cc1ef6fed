"""Runs whose processes are gone are told from those that go on."""

import json
import time

import dagster as dg
import pytest
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat
from dagster_docker import DockerRunLauncher

from imaging_platform.processing.backfills import REPROCESS
from imaging_platform.processing.daemon import close_dead_runs
from imaging_platform.processing.worker import LAUNCHED_BY


@pytest.fixture
def instance(monkeypatch):
    """Give a home whose runs are processes of code servers."""
    monkeypatch.setattr(dg.DagsterInstance, "run_launcher", DefaultRunLauncher())
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def begin(instance: dg.DagsterInstance, **tags: str) -> str:
    """Return the id of a run of `reprocess` that was taken from the queue."""
    run = create_run_for_test(
        instance,
        job_name="demo",
        status=dg.DagsterRunStatus.STARTING,
        tags={LAUNCHED_BY: REPROCESS, **tags},
    )
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_whose_server_is_gone_is_closed(instance, tmp_path):
    gone = json.dumps({"host": "localhost", "socket": str(tmp_path / "gone")})
    run_id = begin(instance, **{GRPC_INFO_TAG: gone})

    assert close_dead_runs(instance) == 1

    assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_a_run_that_never_came_to_its_server_is_closed(instance):
    """The command was ended between taking it from the queue and starting it."""
    run_id = begin(instance)

    assert close_dead_runs(instance) == 1

    assert status(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_what_a_living_daemon_starts_just_now_is_left_to_it(instance):
    run_id = begin(instance)
    for kind in ("BACKFILL", "QUEUED_RUN_COORDINATOR"):
        beat = DaemonHeartbeat(time.time(), kind, "daemon", [])
        instance.add_daemon_heartbeat(beat)

    assert close_dead_runs(instance) == 0

    assert status(instance, run_id) is dg.DagsterRunStatus.STARTING


def test_a_run_in_a_container_is_left_to_its_monitor(instance, monkeypatch):
    monkeypatch.setattr(dg.DagsterInstance, "run_launcher", DockerRunLauncher())
    run_id = begin(instance)

    assert close_dead_runs(instance) == 0

    assert status(instance, run_id) is dg.DagsterRunStatus.STARTING


def test_runs_of_others_are_not_touched(instance):
    run_id = begin(instance, **{LAUNCHED_BY: "a person"})

    assert close_dead_runs(instance) == 0

    assert status(instance, run_id) is dg.DagsterRunStatus.STARTING
