"""The verbs that talk to Dagster: ingest, process, status, where, up."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imaging_platform.cli.printing import (
    json_option,
    print_json,
    print_mapping,
    print_problems,
    print_step,
    print_table,
)
from imaging_platform.model.errors import BadInput
from imaging_platform.model.layout import ZONES, Home
from imaging_platform.planning.decisions import read_decisions, refuse_frozen
from imaging_platform.settings import enter_home, find_home, load_study

if TYPE_CHECKING:
    from imaging_platform.processing.loop import Outcome

JOBS = 2


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--study", "name", required=True, help="Name of the study.")
def ingest(source: Path, name: str) -> None:
    """Put a folder or archive into the inbox of a study, all or nothing."""
    from imaging_platform.intake.arrivals import put_in_inbox

    home = find_home()
    load_study(home, name)
    refuse_frozen(home.root, name)
    if not source.exists():
        raise BadInput("There is no such folder or file.", fix="Check the path.")
    put_in_inbox(source, home.zone("inbox", name))
    click.echo(
        f"In the inbox of {name}. Sensors start by themselves under "
        f"`imaging-platform up`; else run: imaging-platform process --study {name}"
    )


@click.command()
@click.option("--study", "name", help="Only this study; all when left out.")
@click.option("--jobs", default=JOBS, show_default=True, help="Runs side by side.")
@json_option
def process(name: str | None, jobs: int, as_json: bool) -> int:
    """Run all that is outstanding, without daemon or UI, until nothing is left."""
    outcome = process_home(
        find_home(), [name] if name else [], jobs=jobs, quiet=as_json
    )
    if as_json:
        print_json(dataclasses.asdict(outcome))
    else:
        print_problems(outcome.problems)
        click.echo(f"{outcome.runs} run(s), {len(outcome.problems)} problem(s).")
    return exit_code(outcome)


def process_home(home: Home, names: list[str], *, jobs: int, quiet: bool) -> Outcome:
    """Bring the named studies (all, when empty) up to date and say what was done."""
    enter_home(home)
    import dagster as dg

    from imaging_platform.assets.scope import Scope
    from imaging_platform.definitions import define_home
    from imaging_platform.processing.loop import Loop, only_one
    from imaging_platform.processing.resolving import settle_resolutions
    from imaging_platform.resources.zones import IdentifiedZone

    for name in names:
        refuse_frozen(home.root, name)
    scopes = [
        Scope(load_study(home, name))
        for name in names or home.studies()
        if not _tell_frozen(home, name)
    ]
    definitions = define_home(home)
    with only_one(home.dagster), dg.DagsterInstance.get() as instance:
        for scope in scopes:
            # Finishes what a killed `discard` or `relabel` had begun.
            graph = definitions.resolve_asset_graph()
            settle_resolutions(home, scope, instance, graph)
        loop = Loop(
            instance,
            scopes,
            identified=IdentifiedZone(home=str(home.root)),
            jobs=jobs,
            tell=_ignore if quiet else print_step,
        )
        return loop.run()


def exit_code(outcome: Outcome) -> int:
    """Return 0 when all is done, 1 after a failure, 3 when a person must act."""
    if any(not problem.is_held for problem in outcome.problems):
        return 1
    return 3 if outcome.problems else 0


@click.command()
@click.option("--study", "name", help="Only this study; all when left out.")
@json_option
def status(name: str | None, as_json: bool) -> int:
    """Show what is done, outstanding and held."""
    home = find_home()
    enter_home(home)
    from imaging_platform.processing.status import read_status

    names = [name] if name else home.studies()
    found = [read_status(home, load_study(home, each)) for each in names]
    if as_json:
        print_json([dataclasses.asdict(each) for each in found])
    else:
        for each in found:
            print_table(f"Study {each.study}", ["what", "count"], each.counts())
            if each.outstanding:
                print_table(
                    "Outstanding", ["partition", "asset", "why"], each.outstanding
                )
            if each.held:
                print_table("Held for a person", ["what", "why"], each.held)
            if each.unusable:
                print_table("Kept, but of no use", ["drop", "why"], each.unusable)
            if each.incomplete:
                print_table("Not as expected", ["session", "what"], each.incomplete)
    return 3 if any(each.held for each in found) else 0


@click.command()
@click.argument("name")
@json_option
def where(name: str, as_json: bool) -> None:
    """Print the path of each zone of a study."""
    home = find_home()
    load_study(home, name)
    paths = {
        "study file": str(home.study_file(name)),
        **{zone: str(home.zone(zone, name)) for zone in ZONES},
    }
    if as_json:
        print_json(paths)
    else:
        print_mapping(paths)


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI.")
def up(port: int) -> int:
    """Start the Dagster UI and daemon (sensors on) and serve the reports."""
    from imaging_platform.model.layout import product_file
    from imaging_platform.settings import set_reports_url
    from imaging_platform.tools.serving import run_in_foreground, serve_published

    home = find_home()
    enter_home(home)
    address = set_reports_url(port + 1)
    with serve_published(home.root, port=port + 1):
        click.echo(f"Dagster  http://localhost:{port}\nReports  {address}")
        return run_in_foreground(
            [
                sys.executable,
                "-m",
                "dagster",
                "dev",
                "--workspace",
                str(product_file("workspace.yaml")),
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            ],
            cwd=home.dagster,
        )


def _tell_frozen(home: Home, name: str) -> bool:
    """Say that a study is left out, if it is frozen."""
    frozen = read_decisions(home.root, name).frozen
    if frozen:
        click.echo(f"Study {name} is {frozen}; nothing of it is run.", err=True)
    return frozen is not None


def _ignore(step: object) -> None:
    """Say nothing of a step: the report follows as JSON."""
