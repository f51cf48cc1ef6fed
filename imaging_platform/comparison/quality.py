"""Which quality metrics and verdicts differ between two reports of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imaging_platform.comparison.values import relative_difference

SESSION_VERDICT = "verdict of the session"


@dataclass(frozen=True)
class MetricChange:
    """
    A metric that has another value, verdict or limit.

    Parameters
    ----------
    scan, metric
        Which; the scan is empty for `SESSION_VERDICT`.
    before, after
        Value; None where it could not be told or the metric is absent.
    verdict_before, verdict_after
        ``pass``, ``look``, ``fail``, ``none``; empty where the metric is absent.
    threshold_before, threshold_after
        The limit in words.
    """

    scan: str
    metric: str
    before: float | None
    after: float | None
    verdict_before: str
    verdict_after: str
    threshold_before: str = ""
    threshold_after: str = ""

    @property
    def relative(self) -> float | None:
        """Absolute difference of the values over the value before."""
        return relative_difference(self.before, self.after)


def compare_quality(
    before: Mapping[str, Any],  # a `QualityReport` as its record has it
    after: Mapping[str, Any],
) -> tuple[MetricChange, ...]:
    """
    Return what differs between two quality reports, in the order of the metrics.

    The verdict of the session comes first, if it differs.
    """
    first, second = _by_metric(before), _by_metric(after)
    changes = [
        _change(key, first.get(key, {}), second.get(key, {}))
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    ]
    verdicts = str(before.get("verdict", "")), str(after.get("verdict", ""))
    if verdicts[0] != verdicts[1]:
        changes.insert(0, MetricChange("", SESSION_VERDICT, None, None, *verdicts))
    return tuple(changes)


def _by_metric(
    report: Mapping[str, Any],  # see `compare_quality`
) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (row["scan"], row["metric"]): {
            name: row[name] for name in ("value", "verdict", "threshold")
        }
        for row in report.get("metrics", ())
    }


def _change(
    key: tuple[str, str],
    before: Mapping[str, Any],  # a row of `_by_metric`
    after: Mapping[str, Any],
) -> MetricChange:
    return MetricChange(
        *key,
        before.get("value"),
        after.get("value"),
        before.get("verdict", ""),
        after.get("verdict", ""),
        before.get("threshold", ""),
        after.get("threshold", ""),
    )
