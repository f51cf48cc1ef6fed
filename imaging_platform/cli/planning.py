"""``imaging-platform plan`` and ``why``: what is out of date, and what it costs."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.model.errors import BadConfig, BadInput
from imaging_platform.model.layout import Home
from imaging_platform.planning.cells import Cell, State
from imaging_platform.planning.cost import Estimate
from imaging_platform.planning.published import (
    ACCEPTED_COLUMNS,
    RELEASE_COLUMNS,
    list_accepted,
    list_releases,
)
from imaging_platform.planning.reasons import Reason
from imaging_platform.settings import enter_home, find_home

if TYPE_CHECKING:
    from imaging_platform.planning.plan import Plan


@click.command()
@click.option("--study", "name", help="Only this study; all when left out.")
@click.option("--asset", "assets", multiple=True, help="Only this asset; repeatable.")
@json_option
def plan(name: str | None, assets: tuple[str, ...], as_json: bool) -> None:
    """Show what is out of date, why, and what bringing it up would cost."""
    home = find_home()
    enter_home(home)
    names = [name] if name else home.studies()
    _refuse_unknown(home, names, assets)
    plans = _read_plans(home, names)
    if assets:
        plans = [each.narrow(assets) for each in plans]
    if as_json:
        told = ",\n".join(map(dump_plan, plans))
        click.echo(f"[{told}]")
        return
    for each in plans:
        print_plan(each)


def _refuse_unknown(home: Home, names: list[str], assets: tuple[str, ...]) -> None:
    """
    Refuse to say that nothing is out of date of what is not there.

    Raises
    ------
    BadInput
        No study has such an asset.
    """
    if not assets:
        return
    from imaging_platform.processing.plans import list_assets

    known = dict.fromkeys(a for name in names for a in list_assets(home, name))
    unknown = [asset for asset in assets if asset not in known]
    if unknown:
        raise BadInput(
            f"There is no asset {', '.join(unknown)}.",
            fix=f"Give some of: {', '.join(known)}.",
        )


def _read_plans(home: Home, names: list[str]) -> list[Plan]:
    from imaging_platform.processing.plans import read_plan

    return [read_plan(home, each) for each in names]


@click.command()
@click.argument("asset")
@click.argument("session")
@click.option("--study", "name", help="Name of the study; needed if there are many.")
@json_option
def why(asset: str, session: str, name: str | None, as_json: bool) -> None:
    """Say how ASSET of SESSION stands, and why; `all` for the whole study."""
    home = find_home()
    enter_home(home)
    from imaging_platform.processing.plans import explain_cell

    cell = explain_cell(home, choose_study(home, name), asset, session)
    if as_json:
        print_json(dataclasses.asdict(cell))
        return
    state = f"{cell.state} ({cell.failure})" if cell.failure else str(cell.state)
    verb = "" if cell.state is State.WAITS else "is "
    click.echo(f"{cell.asset} of {cell.where} {verb}{state}.")
    for line in filter(None, [cell.note, *(r.sentence for r in cell.reasons)]):
        click.echo(f"  {line}")


def choose_study(home: Home, name: str | None) -> str:
    """
    Return the study that is meant: the named one, or the only one.

    Raises
    ------
    BadConfig
        None is named and there is not exactly one.
    """
    names = home.studies()
    if name is None and len(names) != 1:
        raise BadConfig(
            f"There are {len(names)} studies, and none is named.",
            fix=f"Add --study and one of: {', '.join(names) or 'none is there'}.",
        )
    return name or names[0]


def print_plan(plan: Plan) -> None:
    """Print counts, reasons and the estimate of a study."""
    states = plan.count_states()
    print_table(
        f"Plan of {plan.study}",
        ["state", "results"],
        [(state, n) for state, n in states.items() if n],
    )
    if plan.frozen:
        click.echo(f"The study is {plan.frozen}")
    if plan.releases:
        print_table("Releases", [*RELEASE_COLUMNS], list_releases(plan))
    groups = plan.group()
    if groups:
        print_table(
            "Not up to date",
            ["asset", "state", "reason", "results", "why"],
            [(g.asset, g.state_name, g.kinds, g.n_results, g.why) for g in groups],
        )
    if plan.accepted:
        print_table("Accepted", [*ACCEPTED_COLUMNS], list_accepted(plan))
    click.echo(say_estimate(plan.estimate()))
    say_waiting(plan.estimate_waiting())


def say_estimate(found: Estimate) -> str:
    """Return in words what it costs to make what is stale or missing."""
    if not found.n_results:
        return "Nothing to make."
    return f"To make: {found.n_results} result(s); {_say_cost(found)}."


def say_waiting(found: Estimate) -> None:
    """Print what it costs at most to make what waits; nothing when nothing does."""
    if found.n_results:
        click.echo(
            f"Behind these at most {found.n_results} more, as far as what they are "
            f"made from does not come out the same; {_say_cost(found)}."
        )


def _say_cost(found: Estimate) -> str:
    known = (
        f"about {_say_cpu(found.cpu_hours)} and {found.n_bytes / 1e6:.1f} MB, "
        f"from at least {found.n_measured} measurement(s) an asset"
    )
    unknown = f"never measured: {', '.join(found.unknown)}"
    parts = [known] if found.n_measured else []
    parts += [unknown] if found.unknown else []
    return "; ".join(parts)


def _say_cpu(hours: float) -> str:
    """
    Return CPU time in hours, or in seconds where that is less than a minute.

    Examples
    --------
    >>> _say_cpu(12.34), _say_cpu(0.001)
    ('12.3 CPU hours', '3.6 CPU seconds')
    """
    seconds = hours * 3600
    return f"{hours:.3g} CPU hours" if seconds >= 60 else f"{seconds:.1f} CPU seconds"


def dump_plan(plan: Plan, **others: object) -> str:
    """
    Return a plan as JSON, a result a line; results that are fresh are counted only.

    Parameters
    ----------
    plan
        The plan.
    others
        What else is told beside it.
    """
    # Indented as other reports, tens of thousands of results take a second.
    encode = json.JSONEncoder(sort_keys=True).encode
    cells = ",\n".join(encode(_dump_cell(cell)) for cell in plan.unsettled)
    rest = json.dumps({**_dump_totals(plan), **others}, indent=2, sort_keys=True)
    return f'{{"cells": [\n{cells}\n],{rest[1:]}'


def _dump_totals(plan: Plan) -> dict[str, object]:
    """Return what a plan says of all of its results together."""
    return {
        "study": plan.study,
        "frozen": plan.frozen,
        "releases": [
            {**dataclasses.asdict(one), "since": one.since} for one in plan.releases
        ],
        "states": plan.count_states(),
        "accepted": [[c.asset, c.partition, c.note] for c in plan.accepted],
        "estimate": dataclasses.asdict(plan.estimate()),
        "estimate_waiting": dataclasses.asdict(plan.estimate_waiting()),
        "costs": {a: dataclasses.asdict(cost) for a, cost in plan.costs.items()},
    }


def _dump_cell(cell: Cell) -> dict[str, object]:
    return {**_fields(cell), "reasons": [_fields(reason) for reason in cell.reasons]}


def _fields(value: Cell | Reason) -> dict[str, object]:
    """Return the fields as they are: `asdict` copies each, for a third of a plan."""
    return {name: getattr(value, name) for name in _names_of(type(value))}


@functools.cache
def _names_of(kind: type[Cell | Reason]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))
