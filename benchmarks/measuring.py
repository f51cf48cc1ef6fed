"""Several ways to do the same thing, taken in turns, in CPU and wall-clock seconds."""

from __future__ import annotations

import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Numbers = Mapping[str, float]

SHORTEST_S = 1e-6


@dataclass(frozen=True)
class Timed:
    """
    What a way found itself, that works in a process of its own.

    Parameters
    ----------
    cpu_s, wall_s
        Of the work, without start and imports.
    numbers
        Counts for the table.
    """

    cpu_s: float
    wall_s: float
    numbers: Numbers


@dataclass(frozen=True)
class Way:
    """
    One way to do what a benchmark is about.

    Parameters
    ----------
    name
        What is done, for the table.
    call
        Does it, in an empty folder of its own; may return counts for the table, or
        what it measured itself.
    prepare
        Called before, in the same folder; not measured.
    """

    name: str
    call: Callable[[Path], Numbers | Timed | None]
    prepare: Callable[[Path], object] | None = None


@dataclass(frozen=True)
class Benchmark:
    """
    What the platform does, beside the least that the same work can cost.

    Parameters
    ----------
    name
        One word, for the command line.
    platform
        The platform's way.
    floors
        Other ways, each a floor; empty when there is none.
    repeats
        Rounds; each way is called once a round.
    has_warm_up
        One round before is thrown away, so that imports do not count.
    """

    name: str
    platform: Way
    floors: Sequence[Way] = ()
    repeats: int = 5
    has_warm_up: bool = True


@dataclass(frozen=True)
class Measured:
    """
    A way, measured.

    Parameters
    ----------
    name
        Of the way.
    cpu_s, wall_s
        Medians over the rounds, in seconds. CPU time is user and system time of
        this process and of all that it started and waited for.
    cpu_ratio, wall_ratio
        How many times as long the platform's way took: the median of the ratios of
        each round, since both were under the same load. None for the platform's
        own way.
    numbers
        Counts that the way returned in the last round.
    """

    name: str
    cpu_s: float
    wall_s: float
    cpu_ratio: float | None
    wall_ratio: float | None
    numbers: Numbers


@dataclass(frozen=True)
class Result:
    """
    A benchmark, measured; the platform's way is the first.

    Parameters
    ----------
    name
        Of the benchmark.
    repeats
        Rounds that count.
    ways
        Each way.
    """

    name: str
    repeats: int
    ways: tuple[Measured, ...]


def run_benchmark(benchmark: Benchmark, folder: Path, *, repeats: int) -> Result:
    """
    Take all ways of a benchmark in turns.

    Parameters
    ----------
    benchmark
        What to measure.
    folder
        Existing folder on the disk that is to be measured; left as it was.
    repeats
        Rounds that count.
    """
    ways = [benchmark.platform, *benchmark.floors]
    if benchmark.has_warm_up:
        for way in ways:
            _take(way, folder)
    rounds = [[_take(way, folder) for way in ways] for _ in range(repeats)]
    by_way = list(zip(*rounds, strict=True))
    measured = [
        _summarize(way, samples, None if position == 0 else by_way[0])
        for position, (way, samples) in enumerate(zip(ways, by_way, strict=True))
    ]
    return Result(benchmark.name, repeats, tuple(measured))


def _take(way: Way, folder: Path) -> Timed:
    scratch = Path(tempfile.mkdtemp(dir=folder))
    try:
        if way.prepare:
            way.prepare(scratch)
        cpu_s, wall_s = _cpu_s(), time.perf_counter()
        numbers = way.call(scratch)
        wall_s = time.perf_counter() - wall_s
        if isinstance(numbers, Timed):
            return numbers
        return Timed(_cpu_s() - cpu_s, wall_s, numbers or {})
    finally:
        shutil.rmtree(scratch)


def _cpu_s() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _summarize(
    way: Way, samples: Sequence[Timed], platform: Sequence[Timed] | None
) -> Measured:
    cpu_ratio = wall_ratio = None
    if platform is not None:
        pairs = list(zip(platform, samples, strict=True))
        cpu_ratio = _median_ratio([(p.cpu_s, s.cpu_s) for p, s in pairs])
        wall_ratio = _median_ratio([(p.wall_s, s.wall_s) for p, s in pairs])
    return Measured(
        name=way.name,
        cpu_s=round(statistics.median(s.cpu_s for s in samples), 6),
        wall_s=round(statistics.median(s.wall_s for s in samples), 6),
        cpu_ratio=cpu_ratio,
        wall_ratio=wall_ratio,
        numbers=dict(samples[-1].numbers),
    )


def _median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    ratios = [above / max(below, SHORTEST_S) for above, below in pairs]
    return round(statistics.median(ratios), 3)
