"""Results as a table to read and as JSON to keep."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import Measured, Result
from imaging_platform.files.writing import write_json

COLUMNS = ("what", "CPU s", "wall s", "CPU x", "wall x", "of")


@dataclasses.dataclass(frozen=True)
class Machine:
    """
    Where and when the numbers were taken.

    Parameters
    ----------
    cores
        Cores of the machine.
    load_average
        Mean number of running processes over 1, 5 and 15 minutes, at the start.
    python
        Version.
    is_small
        Whether the small form ran.
    """

    cores: int
    load_average: tuple[float, float, float]
    python: str
    is_small: bool


def describe_machine(*, is_small: bool) -> Machine:
    """Return what this machine is and how busy it is now."""
    load = os.getloadavg()
    return Machine(
        cores=os.cpu_count() or 1,
        load_average=(round(load[0], 2), round(load[1], 2), round(load[2], 2)),
        python=platform.python_version(),
        is_small=is_small,
    )


def format_head(machine: Machine) -> str:
    """Return the line above the table."""
    load = ", ".join(f"{value:.1f}" for value in machine.load_average)
    size = "small" if machine.is_small else "full"
    return (
        f"{machine.cores} cores, load average at the start {load}, "
        f"Python {machine.python}, {size} form\n"
        "x: how many times a floor the platform takes. The ratios count; "
        "the seconds hold for this machine and hour."
    )


def format_result(result: Result) -> str:
    """Return the lines of one benchmark."""
    lines = [f"{result.name} (median of {result.repeats})"]
    lines += [_format_way(way) for way in result.ways]
    return "\n".join(lines)


def format_columns() -> str:
    """Return the names of the columns."""
    what, cpu_s, wall_s, cpu, wall, counts = COLUMNS
    return f"  {what:<42}{cpu_s:>9}{wall_s:>9}{cpu:>9}{wall:>9}  {counts}"


def write_results(path: Path, machine: Machine, results: Sequence[Result]) -> None:
    """Write machine and results as JSON."""
    write_json(
        path,
        {
            "machine": dataclasses.asdict(machine),
            "benchmarks": [dataclasses.asdict(result) for result in results],
        },
    )


def _format_way(way: Measured) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in way.numbers.items())
    line = (
        f"  {way.name:<42}{way.cpu_s:>9.3f}{way.wall_s:>9.3f}"
        f"{_format_ratio(way.cpu_ratio):>9}{_format_ratio(way.wall_ratio):>9}"
    )
    return f"{line}  {counts}".rstrip()


def _format_ratio(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.2f}"
