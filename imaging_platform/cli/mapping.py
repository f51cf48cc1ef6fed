"""``imaging-platform mapping``: the site's own labels, encrypted beside the key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from imaging_platform.cli.identity import REASON, record
from imaging_platform.cli.terminal import require_terminal, show
from imaging_platform.deid.mapping import MappingRow, PlacedRow, merge_rows, parse_csv
from imaging_platform.model.errors import MissingInput
from imaging_platform.model.layout import Home
from imaging_platform.resources.mapping import change_mapping, read_mapping
from imaging_platform.settings import find_home, load_study

STUDY = click.argument("name", metavar="STUDY")
WHY = click.option(
    "--reason",
    default="labels of the site",
    show_default=True,
    help="Why; written into the study's audit trail.",
)


@click.group()
def mapping() -> None:
    """Keep the site's own subject and session labels, encrypted."""


@mapping.command("import")
@STUDY
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@WHY
def import_file(name: str, file: Path, reason: str) -> None:
    """
    Take the labels in FILE, a CSV table, into the mapping table of STUDY.

    Rows of patients who are in the table already are replaced. Delete the CSV file
    afterwards: it is not encrypted.
    """
    home = _home_of(name)
    rows = parse_csv(file.read_bytes())

    def change(table: Sequence[MappingRow]) -> list[PlacedRow]:
        return merge_rows(table, rows)

    _change(home, name, change, ("mapping import", f"{len(rows)} rows", reason))
    click.echo("Delete the CSV file: it links people to labels and is not encrypted.")


@mapping.command()
@STUDY
@click.option("--subject", required=True, help="Subject label, without sub-.")
@click.option("--session", default="", help="Session label, without ses-.")
@WHY
def add(name: str, subject: str, session: str, reason: str) -> None:
    """Give a patient a label; the PatientID is asked for, never an argument."""
    home = _home_of(name)
    patient_id = click.prompt("PatientID")
    study = ("", "", "")
    if session:
        study = (_ask("StudyInstanceUID"), _ask("AccessionNumber"), _ask("Study date"))
    row = MappingRow(patient_id.strip(), subject, session, *study)

    def change(table: Sequence[MappingRow]) -> list[PlacedRow]:
        return [*_placed(table), ("the new row", row)]

    _change(home, name, change, ("mapping add", _named(subject, session), reason))


@mapping.command()
@STUDY
@click.option("--subject", required=True, help="Subject label, without sub-.")
@click.option("--session", default="", help="Only this session of the subject.")
@WHY
def remove(name: str, subject: str, session: str, reason: str) -> None:
    """Take a label out of the table; sessions that are there keep theirs."""
    home = _home_of(name)

    def change(table: Sequence[MappingRow]) -> list[PlacedRow]:
        kept = [
            row
            for row in table
            if row.subject != subject or (session and row.session != session)
        ]
        if len(kept) == len(table):
            raise MissingInput(
                f"The table has no row of {_named(subject, session)}.",
                fix="Take the label from `mapping list`, case and all.",
            )
        return _placed(kept)

    _change(home, name, change, ("mapping remove", _named(subject, session), reason))


@mapping.command("list")
@STUDY
@REASON
def list_rows(name: str, reason: str) -> None:
    """Show the table, on a terminal only; written into the audit trail first."""
    require_terminal()
    home = _home_of(name)
    rows = read_mapping(home, name)
    record(_zone(home, name), "mapping list", f"{len(rows)} rows", reason)
    for row in rows:
        show(_named(row.subject, row.session), f"  {row.patient_id}  {_study_of(row)}")


def _change(
    home: Home,
    name: str,
    change: Callable[[Sequence[MappingRow]], list[PlacedRow]],
    entry: tuple[str, str, str],
) -> None:
    n_rows = change_mapping(
        home, name, change, announce=lambda: record(_zone(home, name), *entry)
    )
    click.echo(f"The mapping table of {name} has {n_rows} rows.")


def _home_of(name: str) -> Home:
    home = find_home()
    load_study(home, name)
    return home


def _zone(home: Home, name: str) -> Path:
    return home.zone("identified", name)


def _placed(table: Sequence[MappingRow]) -> list[PlacedRow]:
    return [("the table", row) for row in table]


def _named(subject: str, session: str) -> str:
    return f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"


def _study_of(row: MappingRow) -> str:
    return "  ".join(part for part in row.study if part)


def _ask(what: str) -> str:
    return click.prompt(f"{what} (may be empty)", default="", show_default=False)
