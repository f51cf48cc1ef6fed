"""``imaging-platform rebuild-index``: after the loss of Dagster's database."""

from __future__ import annotations

import dataclasses

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.settings import enter_home, find_home, load_study


@click.command("rebuild-index")
@click.option("--study", "name", help="Only this study; all when left out.")
@json_option
def rebuild_index(name: str | None, as_json: bool) -> None:
    """
    Tell Dagster again what is made, from receipts and published trees alone.

    Afterwards the plan is the one that it was. What Dagster knows already is not
    told again, so it can be called at any time.
    """
    home = find_home()
    studies = [load_study(home, n) for n in ([name] if name else home.studies())]
    enter_home(home)
    import dagster as dg

    from imaging_platform.assets.scope import Scope
    from imaging_platform.definitions import define_home
    from imaging_platform.processing.loop import only_one
    from imaging_platform.processing.rebuilding import rebuild_index

    graph = define_home(home).resolve_asset_graph()
    with only_one(home.dagster), dg.DagsterInstance.get() as instance:
        done = [rebuild_index(home, Scope(s), instance, graph) for s in studies]
    if as_json:
        print_json([dataclasses.asdict(each) for each in done])
        return
    for each in done:
        print_table(
            f"Study {each.study}: {each.n_drops} drop(s), {each.n_sessions} session(s)",
            ["asset", "told again"],
            list(each.told.items()) or [("nothing", 0)],
        )
