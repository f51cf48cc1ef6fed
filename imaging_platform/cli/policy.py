"""``imaging-platform policy``: explain, lint, diff, and a dry run on a real file."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.model.errors import BadConfig, MissingKey
from imaging_platform.resources.keys import read_secret
from imaging_platform.settings import Study, find_home, load_study, read_study

if TYPE_CHECKING:
    from imaging_platform.deid.dry_run import DryRun
    from imaging_platform.deid.explaining import Difference

ERRORS = 2


@click.group()
def policy() -> None:
    """Explain, check, compare and try what de-identification does."""


@policy.command()
@click.argument("tag", required=False)
@click.option("--study", "study", help="Name of a study, or a study file.")
@click.option("--creator", default="", help="Private creator of a tag of an odd group.")
@json_option
def explain(tag: str | None, study: str | None, creator: str, as_json: bool) -> None:
    """Tell what happens to an element and why; without TAG, the whole table."""
    from imaging_platform.deid.explaining import (
        explain_element,
        explain_policy,
        name_element,
    )

    settings = _find_study(study).deid
    told = (
        (explain_element(name_element(tag, creator), settings),)
        if tag
        else explain_policy(settings)
    )
    if as_json:
        print_json([dataclasses.asdict(one) for one in told])
        return
    print_table(
        f"De-identification of {study or 'a study with the defaults'}",
        ["element", "keyword", "VR", "action", "reason"],
        [(one.tag, one.keyword, one.vr, one.action, one.reason) for one in told],
    )


@policy.command()
@click.argument("study")
@json_option
def lint(study: str, as_json: bool) -> int:
    """Name contradictions and risks in the policy of STUDY, a name or a study file."""
    from imaging_platform.deid.lint import lint_policy

    found = lint_policy(_find_study(study).deid)
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
    else:
        for one in found:
            click.echo(one)
        n_errors = sum(one.level == "error" for one in found)
        click.echo(f"{n_errors} error(s), {len(found) - n_errors} risk(s).")
    return ERRORS if any(one.level == "error" for one in found) else 0


@policy.command()
@click.argument("before")
@click.argument("after")
@json_option
def diff(before: str, after: str, as_json: bool) -> None:
    """Show what changes when policy AFTER follows BEFORE (names or study files)."""
    from imaging_platform.deid.explaining import compare_policies

    found = compare_policies(_find_study(before).deid, _find_study(after).deid)
    if as_json:
        print_json(dataclasses.asdict(found))
    elif found.is_empty:
        click.echo("Both policies treat every element and every file alike.")
    else:
        _print_difference(found, before, after)


@policy.command("dry-run")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--study", "name", required=True, help="Name of the study.")
@click.option("--all", "show_all", is_flag=True, help="Also what does not change.")
def dry_run(file: Path, name: str, show_all: bool) -> None:
    """Show FILE before and after, on this terminal only; nothing is kept."""
    from imaging_platform.deid.dry_run import try_policy

    if not sys.stdout.isatty():
        raise BadConfig(
            "A dry run shows original values and prints to a terminal only.",
            fix="Run it at a terminal, without a pipe or a file behind it.",
        )
    home = find_home()
    study = load_study(home, name)
    secret = _read_own_secret(name)
    workspace = home.zone("identified", name)
    workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
    _print_dry_run(
        try_policy(file, workspace, settings=study.deid, secret=secret), show_all
    )


def _read_own_secret(name: str) -> bytes:
    try:
        return read_secret(find_home(), name)
    except PermissionError:
        raise MissingKey(
            f"You may not read the key of study {name}, so you may not see its "
            "original values.",
            fix="Ask who keeps the key to run this for you.",
        ) from None


def _print_difference(found: Difference, before: str, after: str) -> None:
    if found.settings:
        print_table("Dates and gate", ["what", before, after], found.settings)
    codes = [("no longer", *c) for c in found.codes_gone]
    codes += [("new", *c) for c in found.codes_new]
    if codes:
        print_table("What the files say", ["", "code", "meaning"], codes)
    if found.elements:
        print_table(
            f"{len(found.elements)} element(s)",
            ["element", "keyword", before, after],
            [(c.tag, c.keyword, c.before, c.after) for c in found.elements],
        )


def _print_dry_run(run: DryRun, show_all: bool) -> None:
    if run.quarantined:
        click.echo(f"The file would be quarantined: {run.quarantined}.")
        return
    rows = [row for row in run.rows if show_all or row.is_changed]
    for row in rows:
        click.echo(
            f"{row.path}\n    {_value(row.before)}\n -> {_value(row.after)}\n"
            f"    {row.action}: {row.reason}"
        )
    click.echo(f"{len(rows)} of {len(run.rows)} element(s) shown. Nothing was kept.")


def _value(value: str | None) -> str:
    return "(absent)" if value is None else repr(value)


def _find_study(named: str | None) -> Study:
    """Return a study by name or file; the defaults when nothing is named."""
    if named is None:
        return Study(name="defaults")
    file = Path(named)
    if not file.is_file():
        return load_study(find_home(), named)
    return read_study(file)
