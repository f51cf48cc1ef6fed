"""De-identification beside copying, a pydicom loop and other tools."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.apart import CHECKOUT, PEER_MODULES, is_installed, python_of
from benchmarks.enhanced import FULL_VOLUMES, write_enhanced_file
from benchmarks.measuring import Benchmark, Timed, Way
from benchmarks.originals import MAKERS, real_files, write_small_files

N_FILES = 2_000

NAMES = {
    "platform": "anonymize_session",
    "pydicom": "pydicom, read and save_as",
    "cp": "cp -r",
    "dcmodify": "cp -r and dcmodify, 9 elements",
}
FLOORS = ("pydicom", "cp")
TOOLS = ("dcmodify", *PEER_MODULES)


class Originals:
    """
    Files that are made when they are first asked for.

    Parameters
    ----------
    folder
        Existing folder for them.
    is_small
        A tenth of the files and of the frames.
    """

    def __init__(self, folder: Path, *, is_small: bool) -> None:
        self._folder = folder
        self.share = 10 if is_small else 1
        self._made: dict[str, Path] = {}

    def small_files(self, makers: Sequence[str]) -> Path:
        """Return a folder with many files, the same number of each maker."""
        name = "-".join(makers)
        if name not in self._made:
            top = self._folder / f"small-{name}"
            top.mkdir()
            self._made[name] = top
            n_files = N_FILES // self.share // len(makers)
            for maker in makers:
                made = self._folder / f"of-{maker}-for-{name}"
                write_small_files(made, maker, n_files, real=self._patterns)
                for path in made.iterdir():
                    path.rename(top / f"{maker}-{path.name}")
        return self._made[name]

    @property
    def _patterns(self) -> Path | None:
        # Few files are for a test, which must not depend on what lies beside it.
        return real_files() if self.share == 1 else None

    @functools.cached_property
    def enhanced(self) -> Path:
        """A folder with one enhanced multi-frame file."""
        folder = self._folder / "enhanced"
        folder.mkdir()
        write_enhanced_file(folder / "1.dcm", n_volumes=FULL_VOLUMES // self.share)
        return folder


def deid_siemens(originals: Originals) -> Benchmark:
    """Return small files with Siemens' own headers, each another."""
    return _of_maker("deid_siemens", originals, "Siemens")


def deid_ge(originals: Originals) -> Benchmark:
    """Return small files of GE."""
    return _of_maker("deid_ge", originals, "GE")


def deid_philips(originals: Originals) -> Benchmark:
    """Return small files of Philips."""
    return _of_maker("deid_philips", originals, "Philips")


def deid_enhanced(originals: Originals) -> Benchmark:
    """Return one large file in which every frame says something else."""
    return _beside("deid_enhanced", lambda: originals.enhanced, FLOORS, repeats=5)


def deid_peers(originals: Originals) -> Benchmark:
    """Return small files of all three makers, with other tools that are installed."""
    tools = [name for name in TOOLS if is_installed(name)]
    for name in sorted(set(TOOLS) - set(tools)):
        print(f"{name} is not installed and not measured (README.md)", file=sys.stderr)
    return _beside(
        "deid_peers", lambda: originals.small_files(MAKERS), (*FLOORS, *tools), 1
    )


DEIDENTIFICATION: Mapping[str, Callable[[Originals], Benchmark]] = {
    make.__name__: make
    for make in (deid_siemens, deid_ge, deid_philips, deid_enhanced, deid_peers)
}


def _of_maker(name: str, originals: Originals, maker: str) -> Benchmark:
    return _beside(name, lambda: originals.small_files([maker]), FLOORS, repeats=5)


def _beside(
    name: str, source: Callable[[], Path], others: Sequence[str], repeats: int
) -> Benchmark:
    # Each starts a process: there is nothing to warm up but the files.
    return Benchmark(
        name,
        _way("platform", source),
        [_way(other, source) for other in others],
        repeats=repeats,
        has_warm_up=False,
    )


def _way(name: str, source: Callable[[], Path]) -> Way:
    return Way(
        NAMES.get(name, name),
        lambda folder: _run_apart(name, source(), folder),
        lambda _: source(),
    )


def _run_apart(name: str, source: Path, target: Path) -> Timed:
    argv = [python_of(name), "-W", "ignore", "-m", "benchmarks.apart"]
    done = subprocess.run(
        [*argv, name, str(source), str(target)],
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    # Some tools talk while they work; the last line is ours.
    found = json.loads(done.stdout.splitlines()[-1])
    sizes = [path.stat().st_size for path in source.iterdir()]
    cpu_s = max(found["cpu_s"], 1e-6)
    return Timed(
        found["cpu_s"],
        found["wall_s"],
        {
            "files": len(sizes),
            "MB": round(sum(sizes) / 1e6),
            "files/s": round(len(sizes) / cpu_s),
            "MB/s": round(sum(sizes) / 1e6 / cpu_s),
            "MB peak": round(found["peak_mb"]),
        },
    )
