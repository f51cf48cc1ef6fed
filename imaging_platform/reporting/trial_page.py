"""A trial of new code or settings as one HTML file that needs nothing else."""

from __future__ import annotations

from imaging_platform.comparison.listing import TABLES
from imaging_platform.comparison.trial import DIFFERS, FAILED, SAME, Trial
from imaging_platform.reporting.markup import (
    Html,
    badge,
    escape,
    figures_row,
    join,
    table,
)
from imaging_platform.reporting.page import render_plain

_VERDICTS = {SAME: "pass", DIFFERS: "look", FAILED: "fail"}


def render_trial(trial: Trial) -> str:
    """Return what a trial found as a page: verdict, numbers, every difference."""
    told = [Html(f"<p>{escape(each)}</p>") for each in trial.sentences()]
    told += [Html(f'<p class="note">{escape(each)}</p>') for each in trial.left_out]
    counts = [(str(len(trial.having(o))), o) for o in _VERDICTS]
    counts.append((f"{trial.estimated_cpu_hours:.3g}", "CPU hours for all"))
    body = join(
        [
            Html(f"<p>{badge(_VERDICTS[trial.outcome], words=trial.outcome)}</p>"),
            *told,
            figures_row(counts),
            *_tables(trial),
            _decide(trial),
        ]
    )
    return render_plain(f"Canary of {trial.study}", body)


def _tables(trial: Trial) -> list[Html]:
    pieces: list[Html] = []
    for each in TABLES:
        rows = [[_cell(value) for value in row] for row in each.rows(trial)]
        if rows:
            heading = Html(f"<h2>{escape(each.title)}</h2>")
            pieces += [heading, table(each.columns, rows)]
    return pieces


def _cell(value: object) -> str | Html:
    if isinstance(value, str) and value in _VERDICTS:
        return Html(badge(_VERDICTS[value], words=value))
    return str(value)


def _decide(trial: Trial) -> Html:
    rows = [
        (what, Html(f"<code>{escape(command)}</code>"))
        for what, command in trial.commands().items()
    ]
    return Html("<h2>Decide</h2>") + table(("to", "call"), rows)
