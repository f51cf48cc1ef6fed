"""Each stage alone on a local folder, without Dagster."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import click

from imaging_platform import __version__
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.cli.conversion import (
    find_kept_back,
    find_sessions,
    list_hints,
    print_series,
)
from imaging_platform.cli.exit_codes import HELD
from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.files.staging import publish_tree, staged_tree
from imaging_platform.model.errors import BadConfig, BadInput, InvalidOutput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import PIPELINES
from imaging_platform.settings import Study, read_study
from imaging_platform.tools import dcm2niix

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
    from imaging_platform.bids.validation import validate_session

    settings = _read_study(study_file).bids
    sessions = find_sessions(source, subject, session)
    places = {
        key: target.absolute() / f"sub-{key.subject}" / f"ses-{key.session}"
        for key in sessions
    }
    for place in places.values():
        _refuse_existing(place)
    reports, errors = {}, set[str]()
    for key, folder in sessions.items():
        with staged_tree(target.absolute(), f"{key}") as staged:
            reports[key] = convert_session(folder, staged, key=key, settings=settings)
            if validate:
                validation = validate_session(staged, key=key, settings=settings)
                errors |= {issue.code for issue in validation.errors}
            write_fragment(staged, read_participant(folder))
            publish_tree(staged, places[key])
        if not as_json:
            print_series(reports[key], places[key])
    _describe_dataset(target, settings)
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


def _describe_dataset(target: Path, settings: BidsSettings) -> None:
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
            name=target.name,
            settings=settings,
            members=members,
            facts=DatasetFacts(versions=versions),
        )


@click.command()
@SOURCE
@TARGET
@STUDY
@json_option
def qc(source: Path, target: Path, study_file: Path | None, as_json: bool) -> None:
    """Make derivatives and quality metrics of the BIDS dataset SOURCE in TARGET."""
    settings = _read_study(study_file).quality.model_dump(mode="json")
    sessions = {
        SessionKey(found.parent.name[4:], found.name[4:]): found
        for found in sorted(source.absolute().glob("sub-*/ses-*"))
    }
    if not sessions:
        raise BadInput(
            "The folder holds no sub-*/ses-*.",
            fix="Give the top folder of a BIDS dataset whose subjects have sessions.",
        )
    _refuse_existing(target)
    reports = {}
    with staged_tree(target.absolute().parent, target.name) as staged:
        for key, bids_session in sessions.items():
            reports[str(key)] = _measure(bids_session, staged, key, settings)
        publish_tree(staged, target.absolute())
    if as_json:
        print_json(reports)
    else:
        print_table(
            f"Quality in {target}",
            ["session", "verdict", "reasons"],
            [(k, r["verdict"], "; ".join(r["reasons"])) for k, r in reports.items()],
        )


def _measure(
    bids_session: Path, target: Path, key: SessionKey, settings: Mapping[str, object]
) -> dict[str, object]:
    from imaging_platform.tools.isolated import call_isolated

    names = {"subject": key.subject, "session": key.session}
    trees = {"bids_session": bids_session}
    needs = {
        "brain_mask": {"bids_session": "bids_session"},
        "defaced_t1w": {
            "bids_session": "bids_session",
            "brain_mask_session": "brain_mask",
        },
        "motion": {"bids_session": "bids_session"},
        "temporal_snr": {"motion_session": "motion"},
        "diffusion_maps": {"bids_session": "bids_session"},
    }
    for pipeline in PIPELINES:
        trees[pipeline] = target / pipeline / f"sub-{key.subject}/ses-{key.session}"
        trees[pipeline].mkdir(parents=True)
        inputs = {name: trees[tree] for name, tree in needs[pipeline].items()}
        call_isolated(
            f"imaging_platform.derivatives.{pipeline}:write_{pipeline}",
            {**inputs, "target": trees[pipeline], **names},
        )
    quality = target / "quality" / str(key)
    quality.mkdir(parents=True)
    measured = {k: v for k, v in trees.items() if k != "defaced_t1w"}
    return call_isolated(
        "imaging_platform.qc.session:measure_session",
        {**measured, "target": quality, **names, "settings": settings},
    )


def _read_study(file: Path | None) -> Study:
    if file is None:
        return Study(name="local")
    return read_study(file)


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise BadConfig(
            f"{target} exists already.", fix="Name a folder that is not there yet."
        )
