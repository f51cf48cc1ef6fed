"""Tables and JSON on the terminal; progress that also reads well in a log file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from imaging_platform.processing.events import Problem, StepDone

Command = TypeVar("Command", bound=Callable[..., object])

_WIDEST = 48
"""Characters to which a column of a file is filled up; longer text stands out."""


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
    """
    Print rows under a title; numbers to the right, no text cut.

    A terminal gets a grid with folded text, a file or a pipe one line a row, which
    can be searched.
    """
    is_number = [
        bool(rows) and all(isinstance(row[n], int | float) for row in rows)
        for n in range(len(columns))
    ]
    cells = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _print_grid(title, columns, cells, is_number)
    else:
        _print_lines(title, columns, cells, is_number)


def _print_grid(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    is_number: Sequence[bool],
) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column, numeric in zip(columns, is_number, strict=True):
        table.add_column(
            column, justify="right" if numeric else "left", overflow="fold"
        )
    for row in rows:
        # What stands in brackets is text here, no style of the terminal.
        table.add_row(*map(escape, row))
    console = Console()
    console.print(f"[bold]{title}[/bold]", soft_wrap=True, highlight=False)
    console.print(table)


def _print_lines(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    is_number: Sequence[bool],
) -> None:
    lines = [columns, *(["; ".join(cell.splitlines()) for cell in row] for row in rows)]
    widths = [
        min(max(map(len, column)), _WIDEST) for column in zip(*lines, strict=True)
    ]
    click.echo(title)
    for line in lines:
        padded = [
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, is_number, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


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
