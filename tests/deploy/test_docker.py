"""A run in a container of its own; `deploy/try_docker.sh` makes the image first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import free_port

pytestmark = [
    pytest.mark.slow,
    # docker's client leaves its sockets to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

IMAGE = "imaging_platform"
TINY = """
import dagster as dg

@dg.asset
def tiny():
    with open("/data/made_by_the_run", "w") as file:
        file.write("yes")
    return dg.MaterializeResult(data_version=dg.DataVersion("v1"))

defs = dg.Definitions(assets=[tiny], jobs=[dg.define_asset_job("tiny_job")])
"""


@pytest.fixture
def docker_client() -> Iterator[Any]:
    import docker
    from docker.errors import DockerException, ImageNotFound

    named = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if named.startswith("unix:") and not Path(named.removeprefix("unix://")).exists():
        pytest.skip("no Docker server on this machine")
    try:
        client = docker.from_env()
    except DockerException:
        pytest.skip("no Docker server answers")
    try:
        client.images.get(IMAGE)
    except ImageNotFound:
        client.close()
        pytest.skip(f"no image {IMAGE}: deploy/try_docker.sh builds it")
    yield client
    client.close()


@pytest.fixture
def volumes(docker_client, tmp_path) -> Iterator[Path]:
    """The two volumes of compose.yaml; returns the folder behind /data."""
    folders = {name: tmp_path / name for name in ("imaging_home", "imaging_logs")}
    present = {volume.name for volume in docker_client.volumes.list()}
    if present & set(folders):
        pytest.skip("volumes of a real installation are here; they stay untouched")
    made = []
    # The user of the image must reach a folder below pytest's private ones.
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    for name, folder in folders.items():
        folder.mkdir()
        shutil.chown(folder, 1000, 1000)
        options = {"type": "none", "o": "bind", "device": str(folder)}
        made.append(docker_client.volumes.create(name, driver_opts=options))
    yield folders["imaging_home"]
    for volume in made:
        volume.remove(force=True)


@pytest.fixture
def code_port(docker_client, volumes) -> Iterator[int]:
    """A code server in a container, as compose.yaml starts it."""
    (volumes / "tiny.py").write_text(TINY)
    port = free_port()
    server = docker_client.containers.run(
        IMAGE,
        f"dagster api grpc --host 127.0.0.1 --port {port} --python-file /data/tiny.py",
        environment={"DAGSTER_CURRENT_IMAGE": IMAGE},
        network="host",
        volumes=["imaging_home:/data"],
        detach=True,
    )
    try:
        yield port
    finally:
        server.remove(force=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="the volumes must belong to user 1000")
def test_a_run_starts_in_a_container_with_the_volumes_and_reports_to_postgres(
    volumes, code_port, production
):
    import dagster as dg
    from dagster._core.storage.tags import DOCKER_IMAGE_TAG

    workspace = production / "workspace.yaml"
    server = {"host": "127.0.0.1", "port": code_port, "location_name": "tiny"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    _wait_for_code_server(code_port)
    daemon = _start("dagster-daemon", "run", "--workspace", str(workspace))
    try:
        launch = _start(
            *("dagster", "job", "launch", "--workspace", str(workspace)),
            *("--job", "tiny_job"),
        )
        assert launch.wait(timeout=60) == 0
        with dg.DagsterInstance.get() as instance:
            done = _wait_for_end(instance)
            event = instance.get_latest_materialization_event(dg.AssetKey("tiny"))
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)

    assert done.status == dg.DagsterRunStatus.SUCCESS
    assert done.tags[DOCKER_IMAGE_TAG] == IMAGE
    assert event is not None
    assert event.run_id == done.run_id
    made = volumes / "made_by_the_run"
    assert (made.read_text(), made.stat().st_uid) == ("yes", 1000)


def _start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start one of Dagster's programs; it reads the environment of the test."""
    path = Path(sys.executable).parent / program
    # In a checkout its file .env would replace DAGSTER_HOME.
    return subprocess.Popen([str(path), *arguments], cwd=os.environ["DAGSTER_HOME"])


def _wait_for_code_server(port: int) -> None:
    check = ["api", "grpc-health-check", "--host", "127.0.0.1", "--port", str(port)]
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if _start("dagster", *check).wait() == 0:
            return
        time.sleep(1)
    pytest.fail("the code server did not start")


def _wait_for_end(instance: Any) -> Any:
    """Return the only run of the instance's job when it has ended."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        runs = [run for run in instance.get_runs() if run.job_name == "tiny_job"]
        if runs and runs[0].is_finished:
            return runs[0]
        time.sleep(1)
    return pytest.fail("the run did not end")
