"""What making results will cost, from what it cost before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """
    What one materialization of an asset cost.

    Parameters
    ----------
    n_measured
        Over how many materializations, the latest ones; 0: nothing is known.
    cpu_s
        Median of user and system time in seconds, all processes of the step.
    n_bytes
        Median size of what was published, in bytes.
    """

    n_measured: int = 0
    cpu_s: float = 0.0
    n_bytes: int = 0


@dataclass(frozen=True)
class Estimate:
    """
    What many materializations will cost.

    Parameters
    ----------
    n_results
        How many.
    cpu_hours, n_bytes
        Sum over those of which something is known.
    unknown
        Assets that were never measured; their share is not in the sums.
    n_measured
        The fewest measurements behind one of the others; 0 without any.
    """

    n_results: int
    cpu_hours: float
    n_bytes: int
    unknown: tuple[str, ...]
    n_measured: int


def measure(cpu_s: Sequence[float], n_bytes: Sequence[int]) -> Cost:
    """
    Return the median cost over measurements; of none, one that says so.

    Examples
    --------
    >>> measure([1.0, 9.0, 2.0], [10, 10, 40])
    Cost(n_measured=3, cpu_s=2.0, n_bytes=10)
    """
    if not cpu_s:
        return Cost()
    import statistics

    return Cost(
        len(cpu_s), statistics.median(cpu_s), round(statistics.median(n_bytes or [0]))
    )


def estimate(assets: Mapping[str, int], costs: Mapping[str, Cost]) -> Estimate:
    """
    Return what it costs to make each asset so many times.

    Parameters
    ----------
    assets
        How many times, by asset.
    costs
        What one costs, by asset.
    """
    known = {a: costs[a] for a in assets if a in costs and costs[a].n_measured}
    return Estimate(
        n_results=sum(assets.values()),
        cpu_hours=sum(assets[a] * cost.cpu_s for a, cost in known.items()) / 3600,
        n_bytes=sum(assets[a] * cost.n_bytes for a, cost in known.items()),
        unknown=tuple(sorted(assets.keys() - known.keys())),
        n_measured=min((cost.n_measured for cost in known.values()), default=0),
    )
