"""``imaging-platform apps``: list, check, show and import entries of BIDS Apps."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.model.errors import BadConfig
from imaging_platform.settings import find_home, load_study, read_study

if TYPE_CHECKING:
    from imaging_platform.settings import Study

ERRORS = 2


@click.group()
def apps() -> None:
    """List, check, show and import BIDS Apps of a study."""


@apps.command("list")
@click.argument("study")
@json_option
def list_apps(study: str, as_json: bool) -> None:
    """List the BIDS Apps of STUDY, a name or a study file."""
    listed = _read(study).apps
    if as_json:
        print_json([app.model_dump(mode="json", by_alias=True) for app in listed])
        return
    rows = [
        (a.name, a.version, a.level, a.runner, a.cpus, a.memory_gb, a.timeout_min)
        for a in listed
    ]
    columns = ["app", "version", "level", "runner", "cpus", "GB", "minutes"]
    print_table(f"BIDS Apps of {study}", columns, rows)


@apps.command()
@click.argument("study")
@json_option
def lint(study: str, as_json: bool) -> int:
    """Name errors and risks in the BIDS Apps of STUDY, a name or a study file."""
    from imaging_platform.apps.lint import lint_app

    found = [finding for app in _read(study).apps for finding in lint_app(app)]
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
    else:
        for one in found:
            click.echo(one)
        n_errors = sum(one.level == "error" for one in found)
        click.echo(f"{n_errors} error(s), {len(found) - n_errors} risk(s).")
    return ERRORS if any(one.level == "error" for one in found) else 0


@apps.command()
@click.argument("name", required=False)
@json_option
def show(name: str | None, as_json: bool) -> None:
    """
    Print the ready entry NAME for a study file, or the names of all.

    An image is named without its digest: `apps lint` says how it is filled in.
    """
    from imaging_platform.apps.importing import write_entry
    from imaging_platform.apps.ready import load_ready

    ready = load_ready()
    if name is not None and name not in ready:
        raise BadConfig(
            f"There is no ready entry {name}.", fix=f"Known: {', '.join(ready)}."
        )
    if as_json:
        chosen = ready if name is None else {name: ready[name]}
        print_json({n: dataclasses.asdict(each) for n, each in chosen.items()})
    elif name is None:
        rows = [(n, each.app.version, each.notes[0]) for n, each in ready.items()]
        print_table("Ready entries", ["app", "version", "what it is"], rows)
    else:
        notes = list(ready[name].notes)
        click.echo(write_entry(ready[name].entry, notes), nl=False)


@apps.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def import_file(file: Path, as_json: bool) -> None:
    """
    Print the entry of FILE, a command.json of XNAT or a Boutiques descriptor.

    What is printed is a part of a study file; what could not be carried over stands
    above it, each with its reason.
    """
    from imaging_platform.apps.importing import import_app
    from imaging_platform.apps.lint import lint_app

    try:
        imported = import_app(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BadConfig(
            f"{file.name} is no text in UTF-8.", fix="Save it as UTF-8."
        ) from None
    found = [finding for each in imported for finding in lint_app(each.app)]
    if as_json:
        lint = [dataclasses.asdict(one) for one in found]
        values = [dataclasses.asdict(each) for each in imported]
        print_json({"apps": values, "lint": lint})
    else:
        click.echo("\n".join(each.to_yaml() for each in imported), nl=False)
        for one in found:
            click.echo(one, err=True)


def _read(named: str) -> Study:
    file = Path(named)
    return read_study(file) if file.is_file() else load_study(find_home(), named)
