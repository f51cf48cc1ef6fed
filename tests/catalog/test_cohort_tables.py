from types import SimpleNamespace

import pytest

from imaging_platform.assets.result_shown import check_cohort
from imaging_platform.catalog.rows import CohortRow
from imaging_platform.catalog.tables import metric_rows, session_rows

KEY = "sub-01_ses-1"
SCAN = f"{KEY}_T1w"


@pytest.fixture
def records():
    metrics = [
        {
            "scan": SCAN,
            "metric": "cjv",
            "value": 0.6,
            "unit": "",
            "verdict": "pass",
            "threshold": "look above 0.7",
            "reason": "",
        }
    ]
    report = {"verdict": "pass", "reasons": [], "metrics": metrics}
    return {("session_quality", KEY): SimpleNamespace(report=report)}


def standing(verdict: str, reason: str) -> CohortRow:
    return CohortRow(KEY, SCAN, "cjv", 0.6, 0.5, 4.0, 100.0, 9, verdict, reason)


def test_what_stands_out_joins_the_verdicts_with_its_reason(records):
    cohort = [standing("look", "far above the others")]

    session = next(iter(session_rows(records, {}, cohort)))
    metric = next(iter(metric_rows(records, cohort)))

    assert (session.verdict, session.flagged) == ("look", "cjv")
    assert session.reasons == f"look: {SCAN} far above the others"
    assert (metric.verdict, metric.reason) == ("look", "far above the others")


def test_what_does_not_stand_out_leaves_the_verdicts(records):
    cohort = [standing("pass", "")]

    session = next(iter(session_rows(records, {}, cohort)))
    metric = next(iter(metric_rows(records, cohort)))

    assert (session.verdict, session.reasons) == ("pass", "")
    assert (metric.verdict, metric.reason) == ("pass", "")


def test_the_check_names_the_outliers():
    found = check_cohort({KEY: ["T1w: far above the others"]})
    quiet = check_cohort({})

    assert not found.passed
    assert KEY in (found.description or "")
    assert quiet.passed
