from __future__ import annotations

import pytest

from imaging_platform.catalog.tables import session_rows, write_exclusions
from imaging_platform.model.rating import Rating
from imaging_platform.provenance.record import Record


def quality(session: str, verdict: str, *reasons: str) -> Record:
    report = {"verdict": verdict, "reasons": list(reasons), "metrics": []}
    return Record("session_quality", session, "1", report=report)


RECORDS = {
    ("session_quality", record.partition): record
    for record in (
        quality("sub-a_ses-1", "pass"),
        quality("sub-b_ses-1", "fail", "fd_mean is 0.9 mm"),
        quality("sub-c_ses-1", "look", "tsnr is 30"),
        quality("sub-d_ses-1", "fail", "fd_mean is 0.8 mm"),
    )
}


def rating(verdict: str, *, is_expired: bool = False) -> Rating:
    return Rating(verdict, "kim", "seen", "2026-01-01", is_expired)


@pytest.mark.parametrize(
    ("given", "verdict", "shown"),
    [
        (None, "fail", ""),
        (rating("pass"), "pass", "pass"),
        (rating("pass", is_expired=True), "fail", "expired"),
    ],
)
def test_a_persons_verdict_stands_before_the_measured_one_until_it_expires(
    given, verdict, shown
):
    ratings = {"sub-b_ses-1": given} if given else {}

    (row,) = [r for r in session_rows(RECORDS, ratings) if r.subject == "b"]

    assert (row.verdict, row.measured, row.rating) == (verdict, "fail", shown)


def test_the_exclusion_list_has_who_decided_and_why(tmp_path):
    ratings = {"sub-a_ses-1": rating("fail"), "sub-b_ses-1": rating("pass")}

    n = write_exclusions(RECORDS, ratings, tmp_path / "exclusions.tsv")

    assert n == 2
    assert (tmp_path / "exclusions.tsv").read_text().splitlines() == [
        "participant_id\tsession_id\tdecided_by\treason",
        "sub-a\tses-1\tkim\trated fail by kim: seen",
        "sub-d\tses-1\tmetrics\tfd_mean is 0.8 mm",
    ]
