"""``imaging-platform canary``: the new version beside the old, on a few sessions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imaging_platform.cli.exit_codes import FAILED, HELD
from imaging_platform.cli.planning import choose_study
from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.cli.progress import shown_progress
from imaging_platform.files.writing import write_text
from imaging_platform.settings import enter_home, find_home

if TYPE_CHECKING:
    from imaging_platform.comparison.trial import Trial

MOST_ROWS = 40
"""Above this a table is cut on the terminal; JSON and page have all of it."""


@click.command()
@click.option("--study", "name", help="Name of the study; needed if there are many.")
@click.option(
    "--asset",
    "assets",
    multiple=True,
    help="Only this asset, what it is made from and what is behind it; repeatable.",
)
@click.option(
    "--sessions",
    "n_sessions",
    default=3,
    show_default=True,
    type=click.IntRange(min=1),
    help="Size of the sample.",
)
@click.option(
    "--session", "sessions", multiple=True, help="This session instead; repeatable."
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the comparison as one HTML file.",
)
@json_option
def canary(
    name: str | None,
    assets: tuple[str, ...],
    n_sessions: int,
    sessions: tuple[str, ...],
    page: Path | None,
    as_json: bool,
) -> int:
    """
    Make a few stale sessions again beside what is published, and compare.

    Nothing of the home changes. Leaves with 0 when nothing differs, with 3 when a
    person should look at differences, and with 1 when a result could not be made.
    """
    home = find_home()
    study = choose_study(home, name)
    enter_home(home)
    from imaging_platform.comparison.trial import DIFFERS
    from imaging_platform.comparison.trial import FAILED as COULD_NOT
    from imaging_platform.processing.canary import Sampling, try_sample

    sampling = Sampling(assets, sessions, n_sessions)
    with shown_progress(is_wanted=not as_json) as bars:
        trial = try_sample(home, study, sampling, bars.add("sessions"))
    if page is not None:
        from imaging_platform.reporting.trial_page import render_trial

        write_text(page, render_trial(trial))
    if as_json:
        print_json(dump_trial(trial))
    else:
        _print_trial(trial)
    return {COULD_NOT: FAILED, DIFFERS: HELD}.get(trial.outcome, 0)


def dump_trial(trial: Trial) -> dict[str, object]:
    """Return a trial for programs."""
    return {
        **dataclasses.asdict(trial),
        "outcome": trial.outcome,
        "cpu_s": trial.cpu_s,
        "estimated_cpu_hours": trial.estimated_cpu_hours,
        "commands": trial.commands(),
    }


def _print_trial(trial: Trial) -> None:
    from imaging_platform.comparison.listing import TABLES

    for table in TABLES:
        rows = list(table.rows(trial))
        if rows:
            print_table(table.title, list(table.columns), rows[:MOST_ROWS])
        if len(rows) > MOST_ROWS:
            click.echo(f"{len(rows) - MOST_ROWS} more rows: --json or --html.")
    for line in _tell(trial):
        click.echo(line)


def _tell(trial: Trial) -> Iterator[str]:
    yield from trial.left_out
    yield from trial.sentences()
    if trial.results:
        for what, command in trial.commands().items():
            yield f"  To {what}: {command}"
