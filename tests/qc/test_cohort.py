import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imaging_platform.catalog.rows import MetricRow
from imaging_platform.catalog.spread import robust_z
from imaging_platform.catalog.tables import worse_verdict
from imaging_platform.qc.cohort import (
    judge_cohort,
    name_outliers,
    percentiles,
)
from imaging_platform.qc.settings import CohortSettings

values_of_a_study = st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=40)


def rows(metric: str, values, scan: str = "T1w") -> list[MetricRow]:
    return [
        MetricRow(
            session_key=f"sub-{n:02d}_ses-1",
            scan=f"sub-{n:02d}_ses-1_{scan}",
            metric=metric,
            value=float(value),
            unit="",
            verdict="pass",
            threshold="",
            reason="",
        )
        for n, value in enumerate(values)
    ]


USUAL = (0.60, 0.61, 0.62, 0.63, 0.64, 0.65, 0.66, 0.62, 0.63)


def verdicts(found) -> list[str]:
    return [row.verdict for row in found]


def test_a_value_far_on_the_worse_side_is_looked_at_with_the_reason():
    found = judge_cohort(rows("cjv", (*USUAL, 0.95)), CohortSettings())

    assert verdicts(found) == ["pass"] * 9 + ["look"]
    assert "robust standard deviations above the median 0.63" in found[-1].reason
    assert "of 10 sessions (percentile 100)" in found[-1].reason


def test_a_value_far_on_the_better_side_passes():
    found = judge_cohort(rows("cjv", (*USUAL, 0.2)), CohortSettings())

    assert set(verdicts(found)) == {"pass"}


def test_a_metric_without_a_better_side_is_judged_on_both():
    low = judge_cohort(rows("icv_ml", (*USUAL, 0.2)), CohortSettings())
    high = judge_cohort(rows("icv_ml", (*USUAL, 1.2)), CohortSettings())

    assert verdicts(low)[-1] == verdicts(high)[-1] == "look"


def test_a_study_may_let_outliers_fail():
    found = judge_cohort(rows("tsnr", (*USUAL, 0.1)), CohortSettings(fail_z=5))

    assert found[-1].verdict == "fail"


def test_few_sessions_are_not_judged_but_placed():
    found = judge_cohort(rows("cjv", (0.6, 0.61, 0.62, 5.0)), CohortSettings())

    assert verdicts(found) == ["none"] * 4
    assert found[-1].percentile == 100


def test_kinds_of_scans_are_compared_apart():
    mixed = rows("fd_mean", USUAL, "task-rest_bold") + rows(
        "fd_mean", [9.0], "task-nback_bold"
    )

    found = judge_cohort(mixed, CohortSettings())

    assert [row.n_sessions for row in found] == [1] + [9] * 9
    assert "look" not in verdicts(found)


def test_metrics_that_are_not_named_and_unknown_values_are_left_out():
    found = judge_cohort(
        [*rows("size_x", USUAL), *rows("cjv", [float("nan")])], CohortSettings()
    )

    assert found == []


def test_outliers_are_named_by_session():
    found = name_outliers(judge_cohort(rows("cjv", (*USUAL, 0.95)), CohortSettings()))

    assert list(found) == ["sub-09_ses-1"]
    assert found["sub-09_ses-1"][0].startswith("T1w: cjv 0.95 lies")


@given(values_of_a_study)
@example([0.0, 1.0, 5e-324, -5e-324])
@example([0.0, 1e6, 1e6, 999999.9999999999])
def test_robust_z_has_a_median_of_zero_and_keeps_the_order(values):
    z = robust_z(values)

    assert np.median(z) == pytest.approx(0, abs=1e-9)
    assert _in_order_of(values, z)


def test_what_differs_by_rounding_alone_does_not_stand_out():
    others = [0.3] * 8

    assert robust_z([*others, 0.1 + 0.2]) == [0.0] * 9
    assert robust_z([*others[1:], 0.1 + 0.2, 0.9])[-1] > 3.5


@given(values_of_a_study)
def test_percentiles_reach_from_0_to_100_and_keep_the_order(values):
    found = percentiles(values)

    assert all(0 <= each <= 100 for each in found)
    assert np.mean(found) == pytest.approx(50)
    assert _in_order_of(values, found)


def _in_order_of(values, found) -> bool:
    ordered = [each for _, each in sorted(zip(values, found, strict=True))]
    return ordered == sorted(found)


@given(st.sampled_from(("", "none", "pass", "look", "fail")))
def test_a_cohort_never_makes_a_verdict_better(first):
    order = ("", "none", "pass", "look", "fail")

    for other in order:
        assert order.index(worse_verdict(first, other)) >= order.index(first)
