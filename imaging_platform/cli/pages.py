"""``imaging-platform report``: the pages of any BIDS dataset, without Dagster."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from imaging_platform import __version__
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.cli.printing import json_option, print_json
from imaging_platform.files.staging import publish_tree, staged_tree
from imaging_platform.model.errors import BadConfig, InvalidOutput

IGNORED = ("sessions", "study")
"""What BIDS has no names for."""

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("source", type=FOLDER)
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--derivatives",
    type=FOLDER,
    help="Derivative datasets, or what `qc` wrote; SOURCE/derivatives when left out.",
)
@click.option("--title", default="", help="Title of the page of all sessions.")
@json_option
def report(
    source: Path, target: Path, derivatives: Path | None, title: str, as_json: bool
) -> None:
    """
    Draw a page of each session of the BIDS dataset SOURCE, and one of all, in TARGET.

    A head is drawn near its brain or defaced only: without a brain mask among the
    derivatives there are numbers and no T1w. TARGET is a BIDS derivative.
    """
    from imaging_platform.bids.dataset import write_derivative_description
    from imaging_platform.reporting.dataset_pages import list_failures, write_pages

    if target.exists():
        raise BadConfig(
            f"{target} exists already.", fix="Name a folder that is not there yet."
        )
    with staged_tree(target.absolute().parent, target.name) as staged:
        pages = write_pages(
            source.absolute(), staged, derivatives=derivatives, title=title
        )
        write_derivative_description(
            staged,
            name="Reports",
            pipeline="imaging_platform",
            version=__version__,
            bids_version=BidsSettings().bids_version,
            ignored=IGNORED,
        )
        publish_tree(staged, target.absolute())
    if as_json:
        print_json(dataclasses.asdict(pages))
    else:
        click.echo(f"{len(pages.sessions)} session(s): {target / pages.study}")
    if pages.failed:
        raise InvalidOutput(
            f"{len(pages.failed)} session(s) have no page: "
            + "; ".join(list_failures(pages)),
            fix="Read the reasons; correct or remove the files that they name.",
        )
