"""Tables and JSON on the terminal; progress that also reads well in a log file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from imaging_platform.processing.events import Problem, StepDone

Command = TypeVar("Command", bound=Callable[..., object])


def json_option(command: Command) -> Command:
    """Add ``--json`` to a command that reports."""
    return click.option("--json", "as_json", is_flag=True, help="Report as JSON.")(
        command
    )


def print_json(value: object) -> None:
    """Print `value` as JSON with sorted keys."""
    click.echo(json.dumps(value, indent=2, sort_keys=True, default=str))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    """Print rows under a title; numbers to the right, text folded and never cut."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(r[index], int | float) for r in rows)
        table.add_column(
            column, justify="right" if numeric else "left", overflow="fold"
        )
    for row in rows:
        # What stands in brackets is text here, no style of the terminal.
        table.add_row(*(escape(_cell(value)) for value in row))
    console = Console()
    console.print(f"[bold]{title}[/bold]", soft_wrap=True, highlight=False)
    # A log file has no width of its own; folding there would break the rows.
    console.print(table, width=None if console.is_terminal else 160)


def print_step(step: StepDone) -> None:
    """Print one line for a step that ended."""
    mark = "done  " if step.succeeded else "FAILED"
    what = step.partition or "whole study"
    took = f"{step.duration_s:6.1f} s" if step.succeeded else " " * 8
    click.echo(f"  {mark} {took}  {step.asset:<18} {what}")


def print_problems(problems: Sequence[Problem]) -> None:
    """Print asset, partition and cause of each failure, with what to do."""
    for problem in problems:
        kind = "Held" if problem.is_held else "Failed"
        click.echo(
            f"{kind}: {problem.asset} of {problem.partition or problem.study}\n"
            f"  {problem.cause}",
            err=True,
        )


def print_mapping(values: Mapping[str, object]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        click.echo(f"{name:<{width}}  {value}")


def _cell(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
