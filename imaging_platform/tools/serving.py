"""Programs that stay: the Dagster UI in the foreground, reports over local HTTP."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from imaging_platform.model.layout import IDENTIFIED_ZONES, ZONES

SERVED = tuple(zone for zone in ZONES if zone not in IDENTIFIED_ZONES)


def run_in_foreground(argv: Sequence[str], *, cwd: Path) -> int:
    """
    Run a program until it ends or this one is interrupted, then end its group.

    Returns
    -------
    int
        Its exit code; 0 after an interruption by the user.
    """
    process = subprocess.Popen(list(argv), cwd=cwd, start_new_session=True)

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _end_group(process)


@contextlib.contextmanager
def serve_published(home: Path, *, port: int) -> Iterator[None]:
    """
    Serve the published zones of `home` on the loopback address, read only.

    Nothing of the identified zone, the keys or the event log can be asked for.
    """
    handler = functools.partial(_PublishedOnly, directory=str(home))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _PublishedOnly(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        """Return the file for a path in a published zone; elsewhere, none."""
        found = Path(super().translate_path(path)).resolve()
        home = Path(self.directory).resolve()
        inside = found.relative_to(home).parts if found.is_relative_to(home) else ()
        allowed = bool(inside) and inside[0] in SERVED
        return str(found) if allowed else str(home / "not-published")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Keep the terminal for Dagster."""


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
