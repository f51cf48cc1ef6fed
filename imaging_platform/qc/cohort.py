"""What stands out among the sessions of a study, and why."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from imaging_platform.catalog.rows import CohortRow, MetricRow
from imaging_platform.catalog.spread import robust_z
from imaging_platform.catalog.tables import without_session
from imaging_platform.qc.definitions import define
from imaging_platform.qc.settings import CohortSettings


def judge_cohort(
    rows: Iterable[MetricRow], settings: CohortSettings
) -> list[CohortRow]:
    """
    Return how each value of the judged metrics stands among the study's sessions.

    Values of one metric and one kind of scan are compared. A verdict is ``look`` or
    ``fail`` on the metric's worse side only (on both for a metric without one), and
    ``none`` for fewer sessions than the settings ask for.

    Parameters
    ----------
    rows
        Metrics of all sessions; NaN is left out.
    settings
        Which metrics, and when they stand out.

    Returns
    -------
    list
        By kind of scan, metric, session and scan.
    """
    groups: dict[tuple[str, str], list[MetricRow]] = defaultdict(list)
    for row in rows:
        judged = any(fnmatchcase(row.metric, each) for each in settings.metrics)
        if judged and math.isfinite(row.value):
            groups[without_session(row.scan), row.metric].append(row)
    return [
        standing
        for (_, metric), group in sorted(groups.items())
        for standing in _judge_group(metric, group, settings)
    ]


def percentiles(values: Sequence[float]) -> list[float]:
    """
    Return the percentage of the other values that lie below each; ties count half.

    Examples
    --------
    >>> percentiles([10.0, 20.0, 20.0, 30.0, 40.0])
    [0.0, 37.5, 37.5, 75.0, 100.0]
    """
    data = np.array(values, dtype=float)
    if data.size < 2:
        return [50.0] * data.size
    below = (data < data[:, None]).sum(axis=1)
    equal = (data == data[:, None]).sum(axis=1) - 1
    return [float(each) for each in 100 * (below + equal / 2) / (data.size - 1)]


def _judge_group(
    metric: str, rows: Sequence[MetricRow], settings: CohortSettings
) -> list[CohortRow]:
    rows = sorted(rows, key=lambda row: (row.session_key, row.scan))
    values = [row.value for row in rows]
    sessions = len({row.session_key for row in rows})
    middle = float(np.median(values))
    standings = []
    for row, z, percentile in zip(
        rows, robust_z(values), percentiles(values), strict=True
    ):
        verdict = "none"
        if sessions >= settings.sessions:
            verdict = _verdict(z, define(metric).better, settings)
        standings.append(
            CohortRow(
                session_key=row.session_key,
                scan=row.scan,
                metric=metric,
                value=row.value,
                median=middle,
                z=round(z, 4),
                percentile=round(percentile, 2),
                n_sessions=sessions,
                verdict=verdict,
                reason=_explain(row, middle, z, percentile, sessions)
                if verdict in ("look", "fail")
                else "",
            )
        )
    return standings


def _verdict(z: float, better: str, settings: CohortSettings) -> str:
    badness = {"high": -z, "low": z}.get(better, abs(z))
    if settings.fail_z is not None and badness > settings.fail_z:
        return "fail"
    return "look" if badness > settings.look_z else "pass"


def _explain(
    row: MetricRow, middle: float, z: float, percentile: float, sessions: int
) -> str:
    side = "above" if z > 0 else "below"
    unit = f" {row.unit}" if row.unit else ""
    return (
        f"{row.metric} {row.value:.3g}{unit} lies {abs(z):.1f} robust standard "
        f"deviations {side} the median {middle:.3g}{unit} of {sessions} sessions "
        f"(percentile {percentile:.0f})"
    )


def name_outliers(standings: Iterable[CohortRow]) -> Mapping[str, list[str]]:
    """Return the reasons of what stands out by session key, in order of the keys."""
    found: dict[str, list[str]] = defaultdict(list)
    for each in standings:
        if each.verdict in ("look", "fail"):
            found[each.session_key].append(
                f"{without_session(each.scan)}: {each.reason}"
            )
    return dict(sorted(found.items()))
