"""Which series an image is of, where the converter names none of the session."""

from __future__ import annotations

from imaging_platform.bids.accounting import SeriesFacts
from imaging_platform.bids.merged import find_numbered, name_series
from tests.bids.sidecars import BOLD, output

SERIES = [
    SeriesFacts("1.9", ("1.study", 7, "rest"), 7, "rest", ("1.9.1",)),
    SeriesFacts("1.8", ("1.study", 7, "rest"), 7, "rest", ("1.8.1",)),
    SeriesFacts("1.7", ("1.study", 8, "rest"), 8, "rest", ("1.7.1",)),
]


def of(number: int, uid: str, study: str = "1.study") -> str:
    image = output(
        "rest", BOLD, number=number, SeriesInstanceUID=uid, StudyInstanceUID=study
    )
    (named,) = name_series([image], SERIES)
    return named.series_uid


def test_a_series_of_the_session_stays():
    assert of(7, "1.9") == "1.9"


def test_a_time_in_place_of_a_series_is_the_first_of_its_run():
    assert of(7, "120906.427000") == "1.8"
    assert of(8, "120906.427000") == "1.7"


def test_what_no_run_has_is_no_series():
    assert of(9, "120906.427000") == ""


def test_a_number_alone_tells_the_only_run_that_has_it():
    twice = [*SERIES, SeriesFacts("1.6", ("1.study", 8, "task"), 8, "task", ("1.6.1",))]

    assert find_numbered("8_120906.nii", SERIES) == "1.7"
    assert find_numbered("8_120906.nii", twice) == ""
    assert find_numbered("x.nii", SERIES) == ""
