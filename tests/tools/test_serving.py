"""Reports are served; what identifies a person is not."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest

from imaging_platform.tools.serving import serve_published


@pytest.fixture
def address(tmp_path):
    for name in ("reports/demo/a.html", "identified/demo/x", "keys/demo.key"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("content")
    (tmp_path / "reports/demo/link").symlink_to(tmp_path / "keys/demo.key")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serve_published(tmp_path, port=port):
        yield f"http://127.0.0.1:{port}"


def test_a_published_file_can_be_read(address):
    with urllib.request.urlopen(f"{address}/reports/demo/a.html") as page:
        assert page.read() == b"content"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "identified/demo/x",
        "keys/demo.key",
        "reports/../keys/demo.key",
        "reports/%2e%2e/keys/demo.key",
        "reports//..//keys/demo.key",
        "reports/demo/link",
        "dagster/",
    ],
)
def test_nothing_else_can_be_read(address, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/{path}")

    assert refused.value.code == 404
    refused.value.close()
