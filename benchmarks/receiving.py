"""Receiving over the DICOM network, beside DCMTK's storescp."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.measuring import Benchmark, Timed, Way
from benchmarks.session import PreparedSession
from imaging_platform.files.writing import write_text
from imaging_platform.model.layout import Home

TITLE, SENDER = "BENCH", "SENDER"
MOST_FILES = 300
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def receive(session: PreparedSession) -> Benchmark:
    """Return the receiving of a part of a session, sent by DCMTK's storescu."""
    floors = [Way("storescp", lambda folder: _with_storescp(_files(session), folder))]
    return Benchmark(
        "receive",
        Way("receive", lambda folder: _with_platform(_files(session), folder)),
        floors if shutil.which("storescp") else [],
        repeats=3,
        has_warm_up=False,
    )


def _files(session: PreparedSession) -> list[Path]:
    found = (path for path in session.drop.rglob("*") if path.is_file())
    return sorted(found)[:MOST_FILES]


def _with_platform(files: Sequence[Path], folder: Path) -> Timed:
    settings = f"{{called_titles: [{TITLE}], calling_titles: [{SENDER}]}}"
    study = Home(folder).study_file("bench")
    write_text(study, f"name: bench\nreceive: {settings}\n")
    return _measure(
        lambda port: [
            *(sys.executable, "-m", "imaging_platform.cli.main", "receive"),
            *("--port", str(port)),
        ],
        files,
        {"IMAGING_HOME": str(folder)},
    )


def _with_storescp(files: Sequence[Path], folder: Path) -> Timed:
    return _measure(lambda port: ["storescp", "-od", str(folder), str(port)], files, {})


def _measure(
    make: Callable[[int], list[str]], files: Sequence[Path], env: dict[str, str]
) -> Timed:
    with _running(make, env) as (process, port):
        cpu_before, before = _cpu_s(process.pid), time.perf_counter()
        subprocess.run(
            ["storescu", "-aet", SENDER, "-aec", TITLE, "127.0.0.1", str(port), *files],
            check=True,
            capture_output=True,
        )
        wall_s = time.perf_counter() - before
        return Timed(
            cpu_s=_cpu_s(process.pid) - cpu_before,
            wall_s=wall_s,
            numbers={"files": len(files), "files/s": len(files) / wall_s},
        )


@contextlib.contextmanager
def _running(
    make: Callable[[int], list[str]], env: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        make(port), env={**os.environ, **env}, stdout=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield process, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the service does not listen")


def _cpu_s(pid: int) -> float:
    """Return user and system time of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS
