from __future__ import annotations

import pytest

from imaging_platform.planning.cells import Cell, State
from imaging_platform.planning.cost import Cost, estimate
from imaging_platform.planning.plan import (
    Choice,
    Plan,
    choose_frontier,
    choose_together,
    without_followers,
)
from imaging_platform.planning.reasons import Reason

CODE = (Reason("code", "code changed: 1 to 2", "1", "2"),)
STALE = Choice(states=frozenset({State.STALE}))


def cell(asset: str, partition: str, state: State, **more: object) -> Cell:
    reasons = () if state is State.FRESH else CODE
    return Cell(asset, partition, state, reasons, **more)


PLAN = Plan(
    "demo",
    (
        cell("mask", "sub-1_ses-1", State.STALE, is_ready=True),
        cell("motion", "sub-1_ses-1", State.STALE, is_ready=False),
        cell("mask", "sub-2_ses-1", State.STALE, is_ready=True),
        cell("motion", "sub-2_ses-1", State.RUNNING),
        cell("mask", "sub-3_ses-1", State.FAILED, failure="ToolFailed", is_ready=True),
        cell("motion", "sub-3_ses-1", State.FRESH),
        cell("catalog", "", State.STALE, is_ready=True),
    ),
    {"mask": Cost(3, 1800.0, 10)},
)


def chosen(choice: Choice, **more: object) -> list[tuple[str, str]]:
    return [(c.asset, c.partition) for c in choose_frontier(PLAN, choice, **more)]


def test_ready_results_of_idle_sessions_come_before_the_whole_study():
    assert chosen(STALE) == [("mask", "sub-1_ses-1")]


def test_the_whole_study_comes_when_no_session_is_left():
    assert chosen(STALE, besides={("mask", "sub-1_ses-1")}) == [("catalog", "")]


def test_failures_are_chosen_by_their_class():
    assert chosen(Choice(failures=frozenset({"ToolFailed"}))) == [
        ("mask", "sub-3_ses-1")
    ]
    assert chosen(Choice(failures=frozenset({"BadInput"}))) == []


def test_what_is_named_is_chosen_in_any_state():
    named = ("motion", "sub-3_ses-1")

    assert chosen(Choice(named=frozenset({named}))) == [named]


@pytest.mark.parametrize("state", [State.FROZEN, State.FRESH])
def test_of_a_frozen_study_nothing_is_chosen(state):
    cells = (cell("mask", "sub-1_ses-1", state),)
    choice = Choice(named=frozenset({("mask", "sub-1_ses-1")}))

    assert choose_frontier(Plan("demo", cells, frozen="by ada"), choice) == []


def test_results_in_the_same_state_for_the_same_reason_are_counted_together():
    groups = {(g.asset, g.state_name): g for g in PLAN.group()}

    assert groups["mask", "stale"].n_results == 2
    assert groups["mask", "stale"].why == "sub-1_ses-1: code changed: 1 to 2"
    assert groups["mask", "failed (ToolFailed)"].kinds == "code"


def test_what_waits_is_estimated_apart_unless_it_is_stopped():
    waiting = Plan(
        "demo",
        (
            cell("motion", "sub-1_ses-1", State.STALE, is_ready=True),
            cell("mask", "sub-1_ses-1", State.WAITS),
            cell("mask", "sub-2_ses-1", State.WAITS, is_stopped=True),
        ),
        {"mask": Cost(3, 1800.0, 10)},
    )

    assert waiting.estimate().n_results == 1
    found = waiting.estimate_waiting()
    assert (found.n_results, found.cpu_hours, found.n_bytes) == (1, 0.5, 10)


def test_the_estimate_counts_what_would_run_and_names_what_was_never_measured():
    found = PLAN.estimate()

    assert found.n_results == 4
    assert (found.cpu_hours, found.n_bytes, found.n_measured) == (1.0, 20, 3)
    assert found.unknown == ("catalog", "motion")


def test_nothing_to_do_costs_nothing():
    assert estimate({}, {}).cpu_hours == 0


def test_what_has_runs_of_its_own_comes_after_the_others_and_one_by_one():
    cells = [
        Cell(asset, session, State.STALE)
        for session in ("s1", "s2")
        for asset in ("motion", "first_app", "second_app")
    ]
    apps = {"first_app", "second_app"}

    rounds = []
    while cells:
        rounds.append(choose_together(cells, {}, apps))
        cells = [cell for cell in cells if cell not in rounds[-1]]

    assert [{(c.asset, c.partition) for c in each} for each in rounds] == [
        {(asset, session) for session in ("s1", "s2")}
        for asset in ("motion", "first_app", "second_app")
    ]


def test_what_has_runs_of_its_own_waits_for_what_it_is_made_from():
    cells = [Cell("bids_session", "s1", State.STALE), Cell("app", "s1", State.STALE)]
    cells += [Cell("app", "s2", State.STALE)]
    parents = {"app": ["bids_session"]}

    left = without_followers(cells, parents, {"app"})

    assert [(c.asset, c.partition) for c in left] == [
        ("bids_session", "s1"),
        ("app", "s2"),
    ]


def test_what_is_made_from_an_app_waits_for_its_run_and_shares_the_next_one():
    parents = {"app": ["bids_session"], "page": ["app", "motion"]}
    cells = [Cell(a, "s1", State.MISSING) for a in ("motion", "app", "page")]
    cells += [Cell("page", "s2", State.MISSING)]

    rounds = []
    while cells:
        rounds.append(choose_together(cells, parents, {"app"}))
        cells = [cell for cell in cells if cell not in rounds[-1]]

    assert [[(c.asset, c.partition) for c in each] for each in rounds] == [
        [("motion", "s1"), ("page", "s2")],
        [("app", "s1")],
        [("page", "s1")],
    ]
