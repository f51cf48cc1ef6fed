"""Receiving over the DICOM network, beside DCMTK's storescp."""

from __future__ import annotations

import contextlib
import functools
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
OF_SIZES = {
    "receive_tiny": (1500, 10_000),
    "receive_usual": (600, 200_000),
    "receive_large": (40, 8_000_000),
}
"""Files and their bytes by the name of the benchmark."""

_AT_ONCE = {"TCP_NODELAY": "1"}
"""Lets DCMTK send small pieces at once; else it is 40 ms a file that is compared."""

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


def receive_of_size(name: str, folder: Path, *, is_small: bool) -> Benchmark:
    """
    Return the receiving of files of one size; both sides send without delay.

    Parameters
    ----------
    name
        One of `OF_SIZES`.
    folder
        Existing folder for the files.
    is_small
        A tenth of the files.
    """

    @functools.cache
    def files() -> list[Path]:
        n_files, n_bytes = OF_SIZES[name]
        place = folder / name
        place.mkdir()
        return _write_files(place, n_files // (10 if is_small else 1), n_bytes)

    floors = [Way("storescp", lambda place: _with_storescp(files(), place))]
    return Benchmark(
        name,
        Way("receive", lambda place: _with_platform(files(), place)),
        floors if shutil.which("storescp") else [],
        has_warm_up=False,
    )


def _write_files(folder: Path, n_files: int, n_bytes: int) -> list[Path]:
    """Write images of zeros, alike but for their UIDs."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    image = Dataset()
    image.SOPClassUID, image.PatientID = MRImageStorage, "BENCH"
    image.StudyInstanceUID = image.SeriesInstanceUID = "2.25.1"
    image.BitsAllocated, image.Rows, image.Columns = 16, 1, n_bytes // 2 % 65536
    image.add_new("PixelData", "OW", bytes(n_bytes))
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    paths = [folder / f"{number:05d}.dcm" for number in range(n_files)]
    for number, path in enumerate(paths):
        image.SOPInstanceUID = f"2.25.2{number:05d}"
        image.save_as(path, enforce_file_format=True)
    return paths


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
            env={**os.environ, **_AT_ONCE},
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
        make(port), env={**os.environ, **_AT_ONCE, **env}, stdout=subprocess.DEVNULL
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
