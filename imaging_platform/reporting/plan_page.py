"""The state of every result of a study as one HTML file that needs nothing else."""

from __future__ import annotations

from collections import Counter

from imaging_platform.planning.cells import State
from imaging_platform.planning.plan import Plan
from imaging_platform.planning.published import (
    list_accepted,
    list_reasons,
    list_releases,
)
from imaging_platform.reporting.markup import (
    Html,
    badge,
    escape,
    figures_row,
    join,
    sentence,
    table,
)
from imaging_platform.reporting.page import render_plain

_VERDICTS = {State.FRESH: "pass", State.FAILED: "fail", State.HELD: "fail"}
"""Verdict whose shape and colour a state has; all others are to be looked at."""


def render_plan(plan: Plan) -> str:
    """
    Return a plan as a page: how many results are in which state, and why.

    Costs are measured and differ from time to time, so they are not on it.
    """
    counts = [(str(n), state) for state, n in plan.count_states().items() if n]
    pieces = [Html(f'<p class="where">Study {escape(plan.study)}</p>')]
    if plan.frozen:
        pieces.append(sentence(f"The study is {plan.frozen}"))
    pieces += [figures_row(counts), *_reasons(plan), *_by_asset(plan)]
    pieces += [*_accepted(plan), *_releases(plan)]
    return render_plain(f"Plan of {plan.study}", join(pieces))


def _reasons(plan: Plan) -> list[Html]:
    heading = Html("<h2>Not up to date</h2>")
    rows = [
        (str(asset), _state(str(state)), str(kinds), str(n_results), str(why))
        for asset, state, kinds, n_results, why in list_reasons(plan)
    ]
    if not plan.cells:
        return [heading, sentence("Nothing has come in yet: there is no result.")]
    if not rows:
        said = "Nothing is out of date: every result is as it would be made today."
        return [heading, sentence(said)]
    head = ("Asset", "State", "What changed", "Results", "Why")
    return [heading, table(head, rows, numeric=(3,), kind="sessions")]


def _by_asset(plan: Plan) -> list[Html]:
    if not plan.cells:
        return []
    states = [s for s, n in plan.count_states().items() if n]
    counts = Counter((cell.asset, str(cell.state)) for cell in plan.cells)
    assets = dict.fromkeys(cell.asset for cell in plan.cells)
    rows = [(a, *(str(counts[a, s] or "·") for s in states)) for a in assets]
    numeric = range(1, len(states) + 1)
    listed = table(("Asset", *states), rows, numeric=numeric, kind="facts")
    return [Html("<h2>Every asset</h2>"), listed]


def _accepted(plan: Plan) -> list[Html]:
    if not plan.accepted:
        return []
    rows = [tuple(map(str, row)) for row in list_accepted(plan)]
    head = ("Asset", "Session", "Who and why")
    return [Html("<h2>Accepted</h2>"), table(head, rows, kind="sessions")]


def _releases(plan: Plan) -> list[Html]:
    if not plan.releases:
        return []
    rows = [tuple(map(str, row)) for row in list_releases(plan)]
    head = ("Release", "State", "Sessions", "Changed since")
    return [Html("<h2>Releases</h2>"), table(head, rows, numeric=(2,), kind="facts")]


def _state(name: str) -> Html:
    verdict = _VERDICTS.get(State(name.partition(" ")[0]), "look")
    return Html(badge(verdict, words=name))
