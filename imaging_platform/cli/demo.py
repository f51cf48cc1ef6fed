"""``imaging-platform demo``: the built-in study from drop to report."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING

import click

from imaging_platform.cli.orchestrated import JOBS, exit_code, process_home
from imaging_platform.cli.printing import (
    json_option,
    print_json,
    print_problems,
    print_table,
)
from imaging_platform.cli.studies import create_study
from imaging_platform.files.staging import staged_tree
from imaging_platform.files.writing import write_bytes, write_json
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.layout import Home
from imaging_platform.settings import DEMO_STUDY, find_home

if TYPE_CHECKING:
    from imaging_platform.processing.summary import Summary

EXAMPLE = "notebooks/examples/seed_correlation.ipynb"
TRUTH_NAME = "demo_truth.json"
"""Holds the planted identities, so it lies in the identified zone."""


@click.command()
@click.option("--small", is_flag=True, help="Coarse images and short runs.")
@click.option("--jobs", default=JOBS, show_default=True, help="Runs side by side.")
@json_option
def demo(small: bool, jobs: int, as_json: bool) -> int:
    """Make the demo study, process it from drop to report, and show the result."""
    from imaging_platform.processing.summary import summarize

    home, name = find_home(), DEMO_STUDY.name
    started_s = time.monotonic()
    create_study(home, name)
    add_example(home)
    deliver_demo(home, small=small, quiet=as_json)
    outcome = process_home(home, [name], jobs=jobs, quiet=as_json)
    summary = summarize(home, name)
    if as_json:
        print_json({**dataclasses.asdict(summary), "runs": outcome.runs})
        return exit_code(outcome)
    print_problems(outcome.problems)
    _print_summary(summary)
    click.echo(
        f"\n{outcome.runs} run(s) in {time.monotonic() - started_s:.0f} s.\n"
        f"Study report  {home.root / layout.study_report(name) / 'report.html'}\n"
        f"BIDS dataset  {home.root / layout.bids_dataset(name)}\n"
        "Look at it    make up    (or: imaging-platform up), then the addresses "
        "that it prints"
    )
    return exit_code(outcome)


def add_example(home: Home) -> None:
    """Put the example of an analysis into the demo study, unless one is there."""
    _, own = home.notebooks(DEMO_STUDY.name)
    example = layout.product_file(EXAMPLE)
    if not (own / example.name).exists():
        write_bytes(own / example.name, example.read_bytes())


def deliver_demo(home: Home, *, small: bool, quiet: bool = False) -> None:
    """
    Put the drops of the demo study into its inbox, once a home.

    Raises
    ------
    BadConfig
        The home holds the demo study in the other size.
    """
    from imaging_platform.demo.study import truth_as_json, write_demo_study
    from imaging_platform.intake.arrivals import put_in_inbox

    name = DEMO_STUDY.name
    truth_file = home.zone("identified", name) / TRUTH_NAME
    if truth_file.exists():
        if json.loads(truth_file.read_text())["small"] != small:
            raise BadConfig(
                "This home holds the demo study in another size.",
                fix="Use another IMAGING_HOME, or the same --small as before.",
            )
        return
    with staged_tree(home.zone("inbox", name), "demo") as folder:
        if not quiet:
            click.echo("Making the demo study")
        made = write_demo_study(
            folder,
            small=small,
            report_progress=None if quiet else lambda text: click.echo(f"  {text}"),
        )
        for drop in made.drops:
            put_in_inbox(drop.path, home.zone("inbox", name))
    write_json(truth_file, {**truth_as_json(made), "small": small}, mode=0o600)


def _print_summary(summary: Summary) -> None:
    print_table(
        "Sessions",
        ["session", "series", "files", "verdict", "look at"],
        [
            (s.session_key, s.n_series, s.n_instances, s.verdict, s.flagged)
            for s in summary.sessions
        ],
    )
    print_table(
        "Time per stage",
        ["asset", "runs", "mean s", "longest s"],
        [(t.asset, t.n_runs, t.mean_s, t.longest_s) for t in summary.times],
    )
