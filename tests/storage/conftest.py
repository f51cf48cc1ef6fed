"""A real S3 server on loopback, in a process of its own, and the two stores."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from imaging_platform.model.layout import ZONES
from imaging_platform.storage.bucket import S3Endpoint, _make_client
from imaging_platform.storage.local import LocalStore
from imaging_platform.storage.s3 import S3Store
from imaging_platform.storage.store import Store

ACCESS_KEY, SECRET_KEY = "AKIATESTKEY", "a-secret-that-is-never-shown"

_bucket_numbers = itertools.count(1)


class Killed(BaseException):
    """The process ends here; nothing of ours may catch it."""


@dataclass(frozen=True)
class Server:
    """Where the test's S3 server answers."""

    url: str

    def endpoint(self, **changes: Any) -> S3Endpoint:
        settings = {
            "url": self.url,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "attempts": 1,
        }
        return S3Endpoint(**(settings | changes))


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory) -> Iterator[Server]:
    if not (find_spec("moto") and find_spec("flask_cors")):
        pytest.skip("no S3 server: moto with its server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from moto.server import main; main(sys.argv[1:])"
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code, "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=output,
        )
        try:
            _wait_until_it_answers(port, process, log)
            yield Server(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()


def _wait_until_it_answers(port: int, process: Any, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"the S3 server did not start: {log.read_text()}")


@pytest.fixture
def bucket(s3_server: Server) -> str:
    """A bucket of the test's own."""
    name = f"test-{next(_bucket_numbers)}"
    s3_server.endpoint().connect().create_bucket(Bucket=name)
    return name


MakeStore = Callable[..., Store]


@pytest.fixture(params=["local", "s3"])
def make_store(request, tmp_path) -> MakeStore:
    """Makes a store of each kind over the same trees each time it is called."""
    if request.param == "local":
        return lambda zones=ZONES: LocalStore(tmp_path, zones=zones)
    server: Server = request.getfixturevalue("s3_server")
    name = request.getfixturevalue("bucket")
    return lambda zones=ZONES: S3Store(
        name, server.endpoint().connect, prefix="lab", zones=zones, scratch=tmp_path
    )


def make_client(endpoint: S3Endpoint) -> Any:
    """A client of the test's own, whose botocore events can be listened to."""
    return _make_client.__wrapped__(endpoint)


def make_dying_client(endpoint: S3Endpoint, request: int, event: str) -> Any:
    """
    A client that dies at one of its requests.

    Parameters
    ----------
    endpoint
        Whom to ask.
    request
        Number of the request at which to die, from 1.
    event
        ``before-send``: the server never sees it; ``response-received``: the
        server has done it.
    """
    client = make_client(endpoint)
    count = itertools.count(1)

    def die(**_: Any) -> None:
        if next(count) == request:
            raise Killed

    client.meta.events.register(f"{event}.s3", die)
    return client
