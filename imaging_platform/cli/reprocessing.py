"""``imaging-platform reprocess``: make exactly what is out of date again."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import click

from imaging_platform.cli.exit_codes import FAILED, HELD
from imaging_platform.cli.planning import (
    choose_study,
    dump_plan,
    say_estimate,
    say_waiting,
)
from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.cli.progress import shown_progress
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.layout import Home
from imaging_platform.planning.cells import WHOLE_STUDY, Cell, State
from imaging_platform.planning.decisions import refuse_frozen
from imaging_platform.planning.plan import Choice, choose_frontier, refuse_unknown
from imaging_platform.planning.reasons import join_sentences
from imaging_platform.settings import enter_home, find_home

if TYPE_CHECKING:
    from imaging_platform.processing.reprocessing import Reprocessed


@click.command()
@click.option("--study", "name", help="Name of the study; needed if there are many.")
@click.option("--stale", is_flag=True, help="All that is stale, and what follows it.")
@click.option("--missing", is_flag=True, help="All that was never made.")
@click.option(
    "--failed", multiple=True, metavar="CLASS", help="Failures of this class."
)
@click.option(
    "--select",
    multiple=True,
    metavar="ASSET:SESSION",
    help="This result, whatever its state; `asset:all` for the whole study.",
)
@click.option("--dry-run", is_flag=True, help="Show what would run, and run nothing.")
@json_option
def reprocess(
    name: str | None,
    stale: bool,
    missing: bool,
    failed: tuple[str, ...],
    select: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> int:
    """
    Make exactly what is out of date again, as a backfill that Dagster shows.

    Without a running daemon it starts the runs itself. Killed and called again, it
    goes on with the backfill that it had begun.
    """
    home = find_home()
    study = choose_study(home, name)
    choice = parse_choice(stale=stale, missing=missing, failed=failed, select=select)
    enter_home(home)
    if dry_run:
        show_choice(home, study, choice, as_json=as_json)
        return 0
    refuse_frozen(home.root, study)
    done = reprocess_home(home, study, choice, quiet=as_json)
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        _print_done(done)
    return _exit_code(done.left)


def parse_choice(
    *, stale: bool, missing: bool, failed: tuple[str, ...], select: tuple[str, ...]
) -> Choice:
    """
    Return what the options of the command line want.

    Raises
    ------
    BadConfig
        None is given, or one of `select` has no session.
    """
    states = {State.STALE: stale, State.MISSING: missing}
    choice = Choice(
        frozenset(state for state, is_wanted in states.items() if is_wanted),
        frozenset(failed),
        frozenset(map(_parse_result, select)),
    )
    if choice == Choice():
        raise BadConfig(
            "Nothing was chosen to be made again.",
            fix="Give --stale, --missing, --failed CLASS or --select ASSET:SESSION; "
            "`plan` shows what there is.",
        )
    return choice


def show_choice(home: Home, study: str, choice: Choice, *, as_json: bool) -> None:
    """Print what would run first, and the cost of all that is wanted."""
    from imaging_platform.processing.plans import read_plan

    plan = read_plan(home, study)
    refuse_unknown(plan, choice)
    first = choose_frontier(plan, choice)
    cells = tuple(cell for cell in plan.cells if choice.wants(cell))
    wanted = dataclasses.replace(plan, cells=cells)
    cost = plan.estimate_of([] if plan.frozen else cells)
    # Nothing follows what is named, or failed, by itself.
    waiting = plan.estimate_waiting() if choice.states else plan.estimate_of([])
    if as_json:
        told = {
            "first": [[cell.asset, cell.partition] for cell in first],
            "estimate": dataclasses.asdict(cost),
            "estimate_waiting": dataclasses.asdict(waiting),
        }
        click.echo(dump_plan(wanted, **told))
        return
    rows = [(c.asset, c.where, join_sentences(c.reasons) or c.note) for c in first]
    print_table(f"Would run first, of {study}", ["asset", "session", "why"], rows)
    click.echo(say_estimate(cost))
    say_waiting(waiting)


def reprocess_home(
    home: Home, study: str, choice: Choice, *, quiet: bool
) -> Reprocessed:
    """Make what is wanted of a study again and return what was done."""
    from imaging_platform.processing.daemon import run_daemon
    from imaging_platform.processing.live import open_live
    from imaging_platform.processing.loop import only_one
    from imaging_platform.processing.reprocessing import Reprocessing

    with (
        only_one(home.dagster),
        # A code server takes settings from an `.env` of the folder that it starts in.
        contextlib.chdir(home.dagster),
        open_live(home, study) as live,
        run_daemon(live.instance, home.daemon_log) as daemon,
        shown_progress(is_wanted=not quiet) as bars,
    ):
        return Reprocessing(live, daemon, bars.add("results")).run(choice)


def _parse_result(text: str) -> tuple[str, str]:
    asset, _, session = text.partition(":")
    if not session:
        raise BadConfig(
            f"A result is named asset:session, got {text}.",
            fix=f"Write for example brain_mask:sub-01_ses-1, or catalog:{WHOLE_STUDY}.",
        )
    return asset, "" if session == WHOLE_STUDY else session


def _print_done(done: Reprocessed) -> None:
    if done.left:
        rows = [
            (c.asset, c.where, str(c.state), c.note or join_sentences(c.reasons))
            for c in done.left
        ]
        print_table("Not up to date", ["asset", "session", "state", "why"], rows)
    backfills = len(done.backfills) + len(done.attached)
    click.echo(f"{done.n_asked} result(s) asked for in {backfills} backfill(s).")


def _exit_code(left: list[Cell]) -> int:
    """Return 0 when all is done, 1 after a failure, 3 when only a person can act."""
    if not left:
        return 0
    states = {cell.state for cell in left if cell.state is not State.WAITS}
    return HELD if states == {State.HELD} else FAILED
