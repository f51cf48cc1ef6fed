"""Each stage alone on a local folder, without Dagster."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from imaging_platform import __version__
from imaging_platform.bids.defaults import DEFAULTS, Conventions
from imaging_platform.cli.conversion import (
    find_kept_back,
    find_sessions,
    list_hints,
    print_series,
)
from imaging_platform.cli.exit_codes import HELD
from imaging_platform.cli.printing import json_option, print_json
from imaging_platform.files.staging import publish_tree, staged_tree
from imaging_platform.model.errors import BadConfig, InvalidOutput
from imaging_platform.tools import dcm2niix

DEFAULT_TITLE = "Images converted from DICOM"

SOURCE = click.argument("source", type=click.Path(path_type=Path, exists=True))
TARGET = click.argument("target", type=click.Path(path_type=Path))
STUDY = click.option(
    "--study",
    "study_file",
    type=click.Path(path_type=Path, exists=True),
    help="A study.yaml; the defaults when left out.",
)


@click.command()
@SOURCE
@TARGET
@click.option("--subject", help="BIDS subject label, without sub-.")
@click.option("--session", help="BIDS session label, without ses-.")
@STUDY
@click.option("--validate", is_flag=True, help="Ask the official BIDS validator, too.")
@json_option
def convert(
    source: Path,
    target: Path,
    subject: str | None,
    session: str | None,
    study_file: Path | None,
    validate: bool,
    as_json: bool,
) -> None:
    """
    Convert the de-identified sessions below SOURCE into the BIDS dataset TARGET.

    Sessions are folders named sub-<label>_ses-<label>, as `anonymize` writes them;
    with --subject and --session SOURCE is one session, whatever its name.
    """
    from imaging_platform.bids.participants import read_participant, write_fragment
    from imaging_platform.bids.session import convert_session

    title, settings = _read_settings(study_file)
    sessions = find_sessions(source, subject, session)
    places = {
        key: target.absolute() / f"sub-{key.subject}" / f"ses-{key.session}"
        for key in sessions
    }
    for place in places.values():
        refuse_existing(place)
    reports, errors = {}, set[str]()
    for key, folder in sessions.items():
        with staged_tree(target.absolute(), f"{key}") as staged:
            reports[key] = convert_session(folder, staged, key=key, settings=settings)
            if validate:
                from imaging_platform.bids.validation import validate_session

                validation = validate_session(staged, key=key, settings=settings)
                errors |= {issue.code for issue in validation.errors}
            write_fragment(staged, read_participant(folder))
            publish_tree(staged, places[key])
        if not as_json:
            print_series(reports[key], places[key])
    _describe_dataset(target, title, settings)
    held = find_kept_back(reports)
    if as_json:
        values = {str(key): dataclasses.asdict(one) for key, one in reports.items()}
        print_json({"sessions": values, "kept back": str(held or "")})
    else:
        for hint in list_hints(list(reports.values())):
            click.echo(f"A rule for the study file:\n{hint}")
    if errors:
        raise InvalidOutput(
            f"The sessions have BIDS errors: {', '.join(sorted(errors))}.",
            fix="Add a rule or a metadata supplement to the study file.",
        )
    if held and as_json:
        click.get_current_context().exit(HELD)
    if held:
        raise held


def _read_settings(study_file: Path | None) -> tuple[str, Conventions]:
    """Return the title and the rules of a study; the defaults without a file."""
    if study_file:
        from imaging_platform.settings import read_study

        study = read_study(study_file)
        return study.title or study.name, study.bids
    return DEFAULT_TITLE, DEFAULTS


def _describe_dataset(target: Path, title: str, settings: Conventions) -> None:
    """Write the files at the top of a dataset for all sessions that it holds."""
    from imaging_platform.bids.dataset import (
        DatasetFacts,
        rebuilding,
        write_dataset_files,
    )

    versions = {"imaging_platform": __version__, "dcm2niix": dcm2niix.version()}
    with rebuilding(target.absolute()) as members:
        write_dataset_files(
            target.absolute(),
            # Not of the folder: the same sessions make the same bytes anywhere.
            name=title,
            settings=settings,
            members=members,
            facts=DatasetFacts(versions=versions),
        )


def refuse_existing(target: Path) -> None:
    """Raise `BadConfig` when the target of a command is there already."""
    if target.exists():
        raise BadConfig(
            f"{target} exists already.", fix="Name a folder that is not there yet."
        )
