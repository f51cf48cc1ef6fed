"""
A session of many files from its folder to the index, beside one pydicom loop.

``python -m benchmarks.indexing index FOLDER`` takes ``FOLDER/arrival`` in,
``loop FOLDER`` reads the headers of the files there; both print CPU and wall seconds,
without start and imports, as a line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.deidentification import Originals
from benchmarks.measuring import Benchmark, Numbers, Timed, Way
from benchmarks.repeated import repeat_session
from benchmarks.session import copy_tree, index_copied_drop

N_FILES = 12_000
_LOOK_EVERY_S = 0.02


def index_many(originals: Originals) -> Benchmark:
    """Return the way of a session of 12,000 files into the store and the index."""

    def arrive(folder: Path) -> None:
        copy_tree(_many(originals), folder / "arrival")

    return Benchmark(
        "index_many",
        Way("index_drop", lambda folder: _measure_apart("index", folder), arrive),
        [Way("pydicom, headers only", lambda _: _loop_apart(originals))],
        repeats=3,
        has_warm_up=False,
    )


def _loop_apart(originals: Originals) -> Timed:
    return _measure_apart("loop", _many(originals))


def _many(originals: Originals) -> Path:
    """Return a folder with the session, made when it is first asked for."""
    source = originals.small_files(["Siemens"])
    target = source.with_name("many-of-one-session")
    if target.exists():
        return target
    n_files = N_FILES // originals.share
    return repeat_session(source, target, n_files=n_files, one_study=True)


def _measure_apart(what: str, folder: Path) -> Timed:
    """Work in a process of its own; watch the memory of all that it starts."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, what, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    peak_bytes = _watch(process)
    found = json.loads(process.communicate()[0].splitlines()[-1])
    numbers = {**found["numbers"], "MB peak": peak_bytes / 1e6}
    return Timed(found["cpu_s"], found["wall_s"], numbers)


def _watch(process: subprocess.Popen[str]) -> int:
    """Return the largest sum of resident memory of a process and its children."""
    import psutil

    own, peak_bytes = psutil.Process(process.pid), 0
    while process.poll() is None:
        total = 0
        with contextlib.suppress(psutil.Error):
            for each in [own, *own.children(recursive=True)]:
                total += each.memory_info().rss
        peak_bytes = max(peak_bytes, total)
        time.sleep(_LOOK_EVERY_S)
    return peak_bytes


def _index(folder: Path) -> Numbers:
    report = index_copied_drop(folder)
    return {"files": report.n_files, "bytes": report.n_bytes}


def _read_headers(folder: Path) -> Numbers:
    from pydicom import dcmread

    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        dcmread(path, stop_before_pixels=True)
    return {"files": len(files)}


def _cpu_s() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main(what: str, folder: str) -> None:
    """Work on a folder and print what it took."""
    # Imports are not the work.
    import pyarrow.parquet  # noqa: F401
    import pydicom  # noqa: F401

    import imaging_platform.assets.intake
    import imaging_platform.intake.drop  # noqa: F401

    cpu_s, wall_s = _cpu_s(), time.perf_counter()
    work = {"index": _index, "loop": _read_headers}[what]
    numbers = work(Path(folder))
    wall_s, cpu_s = time.perf_counter() - wall_s, _cpu_s() - cpu_s
    print(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s, "numbers": numbers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
