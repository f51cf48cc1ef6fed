"""Takes drops in, in a process of its own whose memory and files are limited."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from imaging_platform.tools import isolated
from imaging_platform.tools.run import Completed

MAX_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class Outcome:
    """What became of one drop, and what it cost."""

    verdicts: Mapping[str, int]
    reasons: Mapping[str, int]
    n_files: int
    problem: str
    fix: str
    cpu_s: float
    peak_bytes: int


def take_in_apart(
    *sites: Path,
    settings: Mapping[str, object] | None = None,
    user: int | None = None,
    max_file_bytes: int | None = None,
    is_forked: bool = False,
) -> list[Outcome]:
    """
    Index all that stands in ``<site>/inbox`` into ``<site>/zone``, for each site.

    Parameters
    ----------
    is_forked
        What the product does in a process of its own is done in a copy of the
        limited one, which takes a tenth of the time to start.
    """
    request = {
        "is_forked": is_forked,
        "sites": [str(site) for site in sites],
        "settings": dict(settings or {}),
        "user": user,
        "max_file_bytes": max_file_bytes,
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    reply = json.loads(done.stdout.splitlines()[-1])
    return [Outcome(**outcome) for outcome in reply]


def _main() -> None:
    request = json.load(sys.stdin)
    # Before the limits, as in a run: a library may map more than it ever touches.
    import pyarrow.parquet  # noqa: F401

    from tests.intake.drops import Site  # noqa: F401

    _limit(request)
    if request["is_forked"]:
        isolated.run = _run_forked  # type: ignore[assignment]  # takes what it needs
    sites = [Path(site) for site in request["sites"]]
    outcomes = [_take_in(site, request["settings"]) for site in sites]
    sys.stdout.write(json.dumps(outcomes))


def _limit(request: Mapping[str, Any]) -> None:
    data = resource.RLIMIT_DATA
    resource.setrlimit(data, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    if request["max_file_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["max_file_bytes"],) * 2)
    if request["user"]:
        os.setgroups([])
        os.setgid(request["user"])
        os.setuid(request["user"])


def _run_forked(argv: Sequence[str], *, stdin: str, **_: object) -> Completed:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, sys.stdout.fileno())
        _answer(stdin)
    os.close(write)
    with open(read) as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    return Completed(os.waitstatus_to_exitcode(status), said, "")


def _answer(request: str) -> NoReturn:
    """Do what the process does that is started for a request, and end."""
    exit_code = 1
    try:
        sys.stdin = io.StringIO(request)
        isolated._main()
        sys.stdout.flush()
        exit_code = 0
    finally:
        os._exit(exit_code)


def _take_in(folder: Path, settings: Any) -> dict[str, Any]:
    from imaging_platform.intake.arrivals import list_arrivals
    from imaging_platform.intake.settings import IntakeSettings
    from imaging_platform.model.errors import PlatformError
    from tests.intake.drops import SECRET, Site

    site = Site(folder / "inbox", folder / "zone", IntakeSettings(**settings))
    started, watch = _cpu_s(), _PeakOfTree()
    outcome: dict[str, Any] = {"problem": "", "fix": ""}
    with watch:
        try:
            (arrival,) = list_arrivals(site.inbox, secret=SECRET)
            report = site.index(arrival.drop_id)
            found = (report.verdicts, report.reasons, report.n_files)
        except PlatformError as error:
            found = ({}, {}, 0)
            outcome = {"problem": str(error), "fix": error.fix}
    verdicts = {verdict: count for verdict, count in found[0].items() if count}
    return {
        **outcome,
        "verdicts": verdicts,
        "reasons": found[1],
        "n_files": found[2],
        "cpu_s": _cpu_s() - started,
        "peak_bytes": watch.peak_bytes,
    }


def _cpu_s() -> float:
    """Return the processor time of this process and its children so far."""
    times = os.times()
    return sum(times[:4])


class _PeakOfTree:
    """The largest sum of resident memory of this process and its children."""

    def __init__(self) -> None:
        self.peak_bytes = 0

    def __enter__(self) -> None:
        import threading

        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        own = psutil.Process()
        while True:
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)
            if self._over.wait(0.02):
                return


if __name__ == "__main__":
    _main()
