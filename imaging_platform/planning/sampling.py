"""Which sessions stand for all that are stale."""

from __future__ import annotations

from collections.abc import Sequence

from imaging_platform.files.digests import digest_bytes
from imaging_platform.planning.cells import Cell


def choose_sample(cells: Sequence[Cell], n_sessions: int) -> list[str]:
    """
    Return sessions for a trial, sorted: each kind of reason first, then spread.

    The order is that of a digest of the session's key, so the same plan gives the
    same sample, and neighbours in time are not taken together.

    Parameters
    ----------
    cells
        Results to be tried; those without session do not count.
    n_sessions
        How many at most.
    """
    kinds: dict[str, set[tuple[str, str]]] = {}
    for cell in cells:
        if cell.partition:
            found = kinds.setdefault(cell.partition, set())
            found |= {(cell.asset, reason.kind) for reason in cell.reasons}
    order = sorted(kinds, key=lambda key: digest_bytes(key.encode()))
    seen: set[tuple[str, str]] = set()
    first: list[str] = []
    for key in order:
        if kinds[key] - seen:
            first.append(key)
            seen |= kinds[key]
    ranked = dict.fromkeys([*first, *order])
    return sorted(list(ranked)[:n_sessions])
