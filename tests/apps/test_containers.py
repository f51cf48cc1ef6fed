"""The same small app as a container, where a Docker engine answers."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_platform.apps.run import AppReport, run_app
from imaging_platform.apps.runners import AppJob
from imaging_platform.apps.settings import App
from imaging_platform.files.digests import digest_tree
from imaging_platform.model.errors import (
    BadOutput,
    Licence,
    MissingInput,
    OutOfMemory,
    Timeout,
    ToolFailed,
)
from imaging_platform.tools.containers import LABEL
from tests.apps.conftest import ENTRY, KEY, TINY_APP

pytestmark = [
    pytest.mark.slow,
    # docker's client leaves its sockets to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SHELL_TOOLS = ("sh", "cat", "cp", "mkdir", "sleep", "dd", "ln", "wc", "head", "ls")

DOCKERFILE = b"""FROM scratch
COPY bin /bin
COPY app /app
ENTRYPOINT ["/bin/sh", "/app"]
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    import docker
    from docker.errors import DockerException

    named = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if named.startswith("unix:") and not Path(named.removeprefix("unix://")).exists():
        pytest.skip("no Docker engine on this machine")
    try:
        client = docker.from_env()
        client.ping()
    except DockerException:
        pytest.skip("no Docker engine answers")
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(engine) -> Iterator[str]:
    """An image of a static busybox and the app; its reference is its digest."""
    busybox = shutil.which("busybox")
    if busybox is None or b"statically" not in _describe(busybox):
        pytest.skip("no static busybox on this machine (Debian: busybox-static)")
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
        tar.add(TINY_APP, "app")
        for name in SHELL_TOOLS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        recipe = tarfile.TarInfo("Dockerfile")
        recipe.size = len(DOCKERFILE)
        tar.addfile(recipe, io.BytesIO(DOCKERFILE))
    context.seek(0)
    built, _ = engine.images.build(fileobj=context, custom_context=True, rm=True)
    yield built.id
    engine.images.remove(built.id, force=True)


def _describe(busybox: str) -> bytes:
    found = subprocess.run(["ldd", busybox], capture_output=True, check=False)
    dynamic = found.returncode == 0 and b"not a dynamic" not in found.stdout
    return b"dynamic" if dynamic else b"statically"


def container_app(image: str, mode: str = "all", **changed: Any) -> App:
    entry = {**ENTRY, "runner": "docker", "image": image, "params": {"mode": mode}}
    return App.model_validate({**entry, **changed})


def run(app: App, session: Path, tmp_path: Path) -> AppReport:
    (tmp_path / "workspace").mkdir(exist_ok=True)
    job = AppJob(app, "demo", {KEY: session}, tmp_path / "app.log")
    return run_app(job, tmp_path / "workspace")


def containers(engine: Any) -> list[str]:
    listed = engine.containers.list(all=True, filters={"label": LABEL})
    return [container.name for container in listed]


def test_a_container_makes_what_the_program_makes(engine, image, session, tmp_path):
    report = run(container_app(image), session, tmp_path)

    made = tmp_path / "workspace" / "published" / "anat" / f"{KEY}_desc-copy_T1w.nii.gz"
    assert report.metrics["desc-copy_T1w size"] == made.stat().st_size
    assert made.stat().st_uid == os.getuid()
    assert report.left_out == ("sub-01/passwd",)
    assert containers(engine) == []


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("silent", BadOutput),
        ("broken", BadOutput),
        ("crash", ToolFailed),
        ("licence", Licence),
        ("memory", OutOfMemory),
        ("sleep", Timeout),
    ],
)
def test_each_failure_has_its_class_and_leaves_nothing(
    mode, kind, engine, image, session, tmp_path
):
    app = container_app(image, mode, timeout_min=0.05 if mode == "sleep" else 1)

    with pytest.raises(ToolFailed) as raised:
        run(app, session, tmp_path)

    assert type(raised.value) is kind
    assert list((tmp_path / "workspace").iterdir()) == []
    assert containers(engine) == []


def test_a_container_cannot_write_to_its_input(engine, image, session, tmp_path):
    before = digest_tree(session)

    run(container_app(image, "write"), session, tmp_path)

    assert digest_tree(session) == before
    assert "Read-only" in (tmp_path / "app.log").read_text()


def test_a_container_has_no_network(engine, image, session, tmp_path):
    app = container_app(
        image,
        entrypoint=["sh", "-c"],
        command=["ls /sys/class/net > /out/networks.txt"],
        params={},
        outputs=[{"glob": "networks.txt"}],
    )

    run(app, session, tmp_path)

    seen = tmp_path / "workspace" / "published" / "other" / "networks.txt"
    assert "eth" not in seen.read_text()
    assert "lo" in seen.read_text()


def test_an_image_that_is_not_here_is_not_pulled(engine, session, tmp_path):
    absent = f"site/absent@sha256:{'0' * 64}"

    with pytest.raises(MissingInput, match="not on this machine") as raised:
        run(container_app(absent), session, tmp_path)

    assert f"docker pull {absent}" in raised.value.fix


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_a_container_ends_with_the_process_that_runs_it(
    signal_number, engine, image, session, tmp_path
):
    script = (
        "import sys; from pathlib import Path;"
        "from tests.apps.test_containers import container_app, run;"
        "run(container_app(sys.argv[1], 'sleep'), *map(Path, sys.argv[2:]))"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script, image, str(session), str(tmp_path)],
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until(lambda: bool(containers(engine)))
        caller.send_signal(signal_number)
        caller.wait(timeout=60)
        _wait_until(lambda: not containers(engine))
    finally:
        caller.kill()
        caller.wait()

    assert containers(engine) == []


def test_a_container_that_a_kill_left_is_removed_by_the_next_run(
    engine, image, session, tmp_path
):
    report = run(container_app(image), session, tmp_path)
    shutil.rmtree(tmp_path / "workspace")
    name = _name_of_container(tmp_path, session, image)
    engine.containers.create(image, ["x"], name=name, labels=[LABEL])

    again = run(container_app(image), session, tmp_path)

    assert again == report
    assert containers(engine) == []


def _name_of_container(tmp_path: Path, session: Path, image: str) -> str:
    from imaging_platform.apps.runners import prepare
    from imaging_platform.tools.supervised import Container

    job = AppJob(container_app(image), "demo", {KEY: session}, tmp_path / "app.log")
    folders = {n: tmp_path / "workspace" / n for n in ("bids", "out", "work")}
    made = prepare(job, folders)
    assert isinstance(made, Container)
    return made.name


def _wait_until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.2)
