"""What a step costs: processor time, with its processes, and bytes published."""

from __future__ import annotations

import contextlib
import contextvars
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imaging_platform.pipeline.names import BYTES, CPU_S

_began_s: contextvars.ContextVar[float | None] = contextvars.ContextVar(
    "began_s", default=None
)


@contextlib.contextmanager
def metered() -> Iterator[None]:
    """Count the processor time of what `tell_cost` in this block tells."""
    before_s = _began_s.get()
    _began_s.set(_cpu_s())
    try:
        yield
    finally:
        _began_s.set(before_s)


def tell_cost(n_bytes: int) -> dict[str, Any]:  # metadata of a materialization
    """
    Return the cost of the step until now, for the estimates of a plan.

    It goes to Dagster and never into a published tree, which is the same each time.
    """
    began_s = _began_s.get()
    spent = {} if began_s is None else {CPU_S: round(_cpu_s() - began_s, 2)}
    return {**spent, BYTES: n_bytes}


def weigh(tree: Path) -> int:
    """Return the size of all files of a tree in bytes."""
    return sum(file.lstat().st_size for file in tree.rglob("*") if file.is_file())


def _cpu_s() -> float:
    """User and system time of this process and of the ended ones that it waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(each.ru_utime + each.ru_stime for each in used)
