"""The page of a plan says how the results of a study stand, to anyone."""

from __future__ import annotations

from imaging_platform.planning.cells import Cell, State
from imaging_platform.planning.plan import Plan
from imaging_platform.planning.reasons import Reason
from imaging_platform.reporting.page import external_references
from imaging_platform.reporting.plan_page import render_plan

FRESH = Cell("motion", "sub-01_ses-1", State.FRESH)
STALE = Cell(
    "motion",
    "sub-02_ses-1",
    State.STALE,
    reasons=(Reason("code", "code changed: 1 to <2>", "1", "<2>"),),
)


def test_what_is_out_of_date_stands_with_its_reason_as_text():
    page = render_plan(Plan("demo", (FRESH, STALE)))

    assert "code changed: 1 to &lt;2&gt;" in page
    assert '<span class="badge look">' in page
    assert external_references(page) == ()


def test_a_study_that_is_up_to_date_has_a_sentence_and_no_empty_table():
    page = render_plan(Plan("demo", (FRESH,)))

    assert "Nothing is out of date" in page
    assert ">Why<" not in page


def test_a_study_without_results_says_so():
    page = render_plan(Plan("demo", ()))

    assert "Nothing has come in yet" in page
    assert "<table" not in page


def test_who_froze_a_study_stands_on_its_page():
    page = render_plan(Plan("demo", (FRESH,), frozen="frozen by R. Owner: paper"))

    assert "frozen by R. Owner: paper" in page
