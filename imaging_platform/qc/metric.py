"""A measured number, and the verdict that a limit gives it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imaging_platform.qc.definitions import define
from imaging_platform.qc.settings import Limit, QualitySettings

VERDICTS = ("none", "pass", "look", "fail")
"""From unjudged to worst."""


@dataclass(frozen=True)
class Measure:
    """
    A number and its unit, before any judgement.

    Parameters
    ----------
    metric
        Short lower-case name, such as ``fd_mean``.
    value
        NaN when it could not be told.
    unit
        Such as ``mm``; empty for a ratio.
    reason
        What a reader must know about the number; mostly empty.
    """

    metric: str
    value: float
    unit: str = ""
    reason: str = ""


def with_units(values: Mapping[str, float]) -> tuple[Measure, ...]:
    """Return named numbers as measures, in order of their names."""
    return tuple(
        Measure(name, float(value), define(name).unit)
        for name, value in sorted(values.items())
    )


@dataclass(frozen=True)
class Metric:
    """
    One judged number of one scan: a row of ``metrics.tsv``.

    Parameters
    ----------
    scan
        Name of the scan without extension.
    metric, unit, reason
        As in `Measure`; for ``look`` and ``fail`` the reason says why.
    value
        None when it could not be told.
    verdict
        One of `VERDICTS`; ``none`` for a metric without limit.
    threshold
        The limit in words, such as ``look above 0.3, fail above 0.5``.
    """

    scan: str
    metric: str
    value: float | None
    unit: str
    verdict: str
    threshold: str
    reason: str


def judge(scan: str, measure: Measure, settings: QualitySettings) -> Metric:
    """
    Return the metric with its verdict.

    A judged metric that could not be told (NaN) is ``look``.
    """
    limit = getattr(settings, measure.metric, None)
    known = not math.isnan(measure.value) and not math.isinf(measure.value)
    value = float(f"{measure.value:.6g}") if known else None
    verdict, reason = "none", measure.reason
    if isinstance(limit, Limit):
        verdict = verdict_of(value, limit)
        if verdict in ("look", "fail"):
            reason = "; ".join(part for part in (measure.reason, limit.reason) if part)
    return Metric(
        scan=scan,
        metric=measure.metric,
        value=value,
        unit=measure.unit,
        verdict=verdict,
        threshold=describe(limit) if isinstance(limit, Limit) else "",
        reason=reason,
    )


def verdict_of(value: float | None, limit: Limit) -> str:
    """
    Return ``pass``, ``look`` or ``fail``; a value on a bound is not beyond it.

    Examples
    --------
    >>> verdict_of(0.4, Limit(worse="above", look=0.3, fail=0.5))
    'look'
    >>> verdict_of(10, Limit(worse="below", look=40, fail=20))
    'fail'
    """
    if value is None:
        return "look"
    sign = 1 if limit.worse == "above" else -1
    if limit.fail is not None and sign * value > sign * limit.fail:
        return "fail"
    if limit.look is not None and sign * value > sign * limit.look:
        return "look"
    return "pass"


def describe(limit: Limit) -> str:
    """Return a limit in words."""
    bounds = (("look", limit.look), ("fail", limit.fail))
    return ", ".join(
        f"{word} {limit.worse} {bound:g}" for word, bound in bounds if bound is not None
    )


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of some verdicts; ``none`` when nothing was judged."""
    return max(verdicts, key=VERDICTS.index, default="none")
