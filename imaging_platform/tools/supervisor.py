"""
The process that watches over one program or container.

It reads a `Request` as one line of JSON. When its standard input ends, its caller is
gone or wants it to stop: then it ends all that it started.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from imaging_platform.tools.capped_log import CappedLog
from imaging_platform.tools.processes import RunningProgram
from imaging_platform.tools.supervised import (
    Bind,
    Container,
    Limits,
    Program,
    Refused,
)

CANCELLED = 1


class _Running(Protocol):
    poll_s: float

    @property
    def is_out_of_memory(self) -> bool: ...

    def poll(self) -> int | None: ...

    def memory_bytes(self) -> int: ...

    def end(self) -> None: ...


def watch(
    running: _Running, limits: Limits, cancelled: threading.Event
) -> dict[str, object] | None:
    """Return how it ended, None when the caller is gone; what runs is not ended."""
    end_s = time.monotonic() + limits.timeout_s
    while (code := running.poll()) is None:
        if cancelled.wait(running.poll_s):
            return None
        if time.monotonic() > end_s:
            return {"exit_code": -signal.SIGKILL, "cause": "timeout"}
        if running.memory_bytes() > limits.memory_bytes:
            return {"exit_code": -signal.SIGKILL, "cause": "memory"}
    cause = "memory" if running.is_out_of_memory else "exit"
    return {"exit_code": code, "cause": cause}


def _main() -> int:
    request = json.loads(sys.stdin.readline())
    cancelled = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: cancelled.set())
    threading.Thread(target=_await_end, args=(cancelled,), daemon=True).start()
    limits = Limits(**request["limits"])
    log = CappedLog(Path(request["log"]), limits.log_bytes, request["hidden"])
    try:
        reply = _run(request, limits, log, cancelled)
    finally:
        log.close()
    if reply is None:
        return CANCELLED
    os.write(sys.stdout.fileno(), json.dumps(reply).encode())
    return 0


def _run(
    request: dict[str, Any],  # `Request` as JSON
    limits: Limits,
    log: CappedLog,
    cancelled: threading.Event,
) -> dict[str, object] | None:
    try:
        running = _start(request, limits, log)
    except Refused as refused:
        return {"refused": refused.what, "why": refused.why}
    try:
        return watch(running, limits, cancelled)
    finally:
        running.end()


def _start(
    request: dict[str, Any],  # `Request` as JSON
    limits: Limits,
    log: CappedLog,
) -> _Running:
    if request["program"] is not None:
        return RunningProgram(Program(**request["program"]), log.write)
    # Its client takes a third of a second to load.
    from imaging_platform.tools.containers import RunningContainer

    told = request["container"]
    binds = [Bind(**bind) for bind in told["binds"]]
    return RunningContainer(Container(**{**told, "binds": binds}), limits, log.write)


def _await_end(cancelled: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1 << 12):
        continue
    cancelled.set()


if __name__ == "__main__":
    sys.exit(_main())
