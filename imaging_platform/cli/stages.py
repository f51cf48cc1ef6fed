"""Each stage alone on a local folder, without Dagster."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from imaging_platform import __version__
from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.deid.labels import Labels
from imaging_platform.dicom.headers import Header
from imaging_platform.files.staging import publish_tree, staged_tree
from imaging_platform.intake.ledger import Identity, assign_sessions, read_ledger
from imaging_platform.intake.placing import studies_of
from imaging_platform.model.errors import BadConfig, BadInput, InvalidOutput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import PIPELINES
from imaging_platform.resources.mapping import read_labels
from imaging_platform.settings import Study, find_home, parse_study
from imaging_platform.tools import dcm2niix

NO_PLACE = "no patient id, or no study uid"

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
@click.option(
    "--study",
    "study_file",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="The study.yaml; its key is read from the imaging home.",
)
@click.option("--jobs", default=1, show_default=True, help="Processes side by side.")
@json_option
def anonymize(
    source: Path, target: Path, study_file: Path, jobs: int, as_json: bool
) -> None:
    """
    De-identify the DICOM below SOURCE into TARGET/<session>, one folder each.

    What was done to each session stands beside it, in TARGET.deid.
    """
    from imaging_platform.deid.deid_report import write_deid_report
    from imaging_platform.deid.session import anonymize_session

    study = _read_study(study_file)
    home = find_home()
    labels = read_labels(home, study.name, study.labels)
    known = read_ledger(home.zone("identified", study.name))
    told = target.absolute().with_name(f"{target.absolute().name}.deid")
    _refuse_existing(target)
    _refuse_existing(told)
    reports = {}
    with (
        staged_tree(target.absolute().parent, target.name) as staged,
        staged_tree(told.parent, told.name) as staged_reports,
    ):
        with staged_tree(target.absolute().parent, f"{target.name}-sorted") as sorted_:
            sessions, unreadable = _sort_sessions(source, sorted_, labels, known)
            for key, folder in sessions.items():
                (staged / str(key)).mkdir()
                report = anonymize_session(
                    folder,
                    staged / str(key),
                    key=key,
                    settings=study.deid,
                    secret=labels.secret,
                    jobs=jobs,
                )
                reports[str(key)] = dataclasses.asdict(report)
                write_deid_report(report, staged_reports, str(key))
        publish_tree(staged_reports, told)
        publish_tree(staged, target.absolute())
    if as_json:
        print_json({"sessions": reports, "unreadable": unreadable})
        return
    print_table(
        f"De-identified into {target}",
        ["session", "read", "written", "quarantined"],
        [
            (k, r["files_read"], r["files_written"], _count_kept_back(r))
            for k, r in reports.items()
        ],
    )
    for reason, count in unreadable.items():
        click.echo(f"Left out: {count} file(s), {reason}", err=True)


@click.command()
@SOURCE
@TARGET
@click.option("--subject", required=True, help="BIDS subject label, without sub-.")
@click.option("--session", required=True, help="BIDS session label, without ses-.")
@STUDY
@json_option
def convert(
    source: Path,
    target: Path,
    subject: str,
    session: str,
    study_file: Path | None,
    as_json: bool,
) -> None:
    """Convert the de-identified DICOM of one session into the BIDS dataset TARGET."""
    from imaging_platform.bids.dataset import (
        DatasetFacts,
        rebuilding,
        write_dataset_files,
    )
    from imaging_platform.bids.participants import read_participant, write_fragment
    from imaging_platform.bids.session import convert_session
    from imaging_platform.bids.validation import validate_session

    settings = _read_study(study_file).bids
    key = SessionKey(subject, session)
    place = target.absolute() / f"sub-{subject}" / f"ses-{session}"
    _refuse_existing(place)
    with staged_tree(target.absolute(), f"{key}") as staged:
        report = convert_session(source, staged, key=key, settings=settings)
        validation = validate_session(staged, key=key, settings=settings)
        write_fragment(staged, read_participant(source))
        publish_tree(staged, place)
    versions = {"imaging_platform": __version__, "dcm2niix": dcm2niix.version()}
    with rebuilding(target.absolute()) as members:
        write_dataset_files(
            target.absolute(),
            name=target.name,
            settings=settings,
            members=members,
            facts=DatasetFacts(versions=versions),
        )
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        print_table(
            f"Converted into {place}",
            ["#", "description", "outcome", "files", "why"],
            [
                (
                    s.series_number,
                    s.description,
                    s.outcome,
                    ", ".join(f for scan in s.scans for f in scan.files),
                    s.why,
                )
                for s in report.series
            ],
        )
    if not validation.is_valid:
        codes = sorted({issue.code for issue in validation.errors})
        raise InvalidOutput(
            f"The session has BIDS errors: {', '.join(codes)}.",
            fix="Add a rule or a metadata supplement to the study file.",
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


def _count_kept_back(report: dict[str, Any]) -> int:  # a DeidReport as values
    return sum(row["n_files"] for row in report["quarantined"])


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


def _sort_sessions(
    source: Path, target: Path, labels: Labels, known: Mapping[Identity, SessionKey]
) -> tuple[dict[SessionKey, Path], dict[str, int]]:
    """Link each readable file into a folder of its session; count the others."""
    headers, left_out = _read_headers(source)
    studies = studies_of(headers.values(), labels.of_study)
    placed = assign_sessions(known, studies.values())
    members: dict[SessionKey, list[Path]] = defaultdict(list)
    for path, header in headers.items():
        study = studies.get((header.patient_id, header.study_uid))
        place = placed[study.identity] if study else NO_PLACE
        if isinstance(place, SessionKey):
            members[place].append(path)
        else:
            left_out[str(place)] += 1
    for key, paths in members.items():
        (target / str(key)).mkdir()
        for number, path in enumerate(paths):
            (target / str(key) / f"{number:06d}.dcm").symlink_to(path.absolute())
    return {key: target / str(key) for key in sorted(members)}, dict(left_out)


def _read_headers(source: Path) -> tuple[dict[Path, Header], Counter[str]]:
    from imaging_platform.dicom.headers import read_header

    headers: dict[Path, Header] = {}
    left_out: Counter[str] = Counter()
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        try:
            headers[path] = read_header(path)
        except BadInput as error:
            left_out[str(error)] += 1
    return headers, left_out


def _read_study(file: Path | None) -> Study:
    if file is None:
        return Study(name="local")
    return parse_study(yaml.safe_load(file.read_text()))


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise BadConfig(
            f"{target} exists already.", fix="Name a folder that is not there yet."
        )
