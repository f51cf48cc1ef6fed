"""``imaging-platform import-bids``: begin a study with a dataset that is there."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.deid.dates import shift_date
from imaging_platform.deid.pseudonyms import date_offset_days
from imaging_platform.deid.vocabulary import is_technical
from imaging_platform.model.errors import BadConfig, PlatformError
from imaging_platform.model.layout import Home
from imaging_platform.planning.decisions import refuse_frozen
from imaging_platform.resources.keys import read_secret
from imaging_platform.settings import Study, enter_home, find_home, load_study

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from imaging_platform.assets.scope import Scope
    from imaging_platform.bids.existing import ExistingDataset, ExistingSession
    from imaging_platform.bids.importing import ImportRules
    from imaging_platform.storage.local import LocalStore

LAST_MOVED_YEAR = 1925
"""A date of this year or earlier was moved already (BIDS, scans file)."""

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(T\d\d:\d\d:\d\d(?:\.\d{1,6})?)?Z?")


@dataclass
class Imported:
    """
    What one call did.

    Parameters
    ----------
    sessions
        Session key -> ``new``, ``changed``, ``unchanged``, or why it failed.
    images
        Session key -> how many images.
    left_out
        Path below the dataset or session -> why.
    keys_left_out
        Sidecar key -> in how many sidecars it was left out.
    failed
        Session keys that were not imported.
    """

    sessions: dict[str, str] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    keys_left_out: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


@click.command("import-bids")
@click.argument("name", metavar="STUDY")
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--map",
    "labels_file",
    type=click.Path(path_type=Path, exists=True),
    help="Table of old and new subject labels, tab-separated; others are left out.",
)
@click.option(
    "--metadata",
    "metadata_file",
    type=click.Path(path_type=Path, exists=True),
    help="YAML: pattern of names, as task-rest_bold, to sidecar keys.",
)
@json_option
def import_bids(
    name: str,
    folder: Path,
    labels_file: Path | None,
    metadata_file: Path | None,
    as_json: bool,
) -> int:
    """
    Take the sessions of the BIDS dataset FOLDER into STUDY.

    What is there is only read. The same dataset again changes nothing.
    """
    from imaging_platform.bids.existing import read_existing

    home = find_home()
    study = load_study(home, name)
    refuse_frozen(home.root, name)
    rules = _rules(home, study, metadata_file)
    dataset = read_existing(folder, _read_labels(labels_file) if labels_file else {})
    done = _import_all(home, study, dataset, rules)
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        _print(done, name)
    return 1 if done.failed else 0


def _import_all(
    home: Home, study: Study, dataset: ExistingDataset, rules: ImportRules
) -> Imported:
    enter_home(home)
    import dagster as dg

    from imaging_platform.assets.scope import Scope
    from imaging_platform.storage.local import LocalStore

    done = Imported(left_out=dict(dataset.left_out))
    with dg.DagsterInstance.get() as instance:
        target = _Target(instance, LocalStore(home.root), Scope(study), rules)
        for session in dataset.sessions:
            key = str(session.key)
            participant = dataset.participants.get(session.subject, {})
            try:
                done.sessions[key] = target.take(session, participant, done)
            except PlatformError as error:
                done.sessions[key] = f"{error} {error.fix}"
                done.failed.append(key)
    return done


@dataclass(frozen=True)
class _Target:
    """Where sessions go, and by which rules."""

    instance: DagsterInstance
    store: LocalStore
    scope: Scope
    rules: ImportRules

    def take(
        self, session: ExistingSession, participant: Mapping[str, str], done: Imported
    ) -> str:
        """Import one session; return ``new``, ``changed`` or ``unchanged``."""
        from imaging_platform.bids.importing import import_session
        from imaging_platform.model import layout
        from imaging_platform.processing.imports import publish_import, refuse_converted

        key = session.key
        refuse_converted(self.store, self.scope, key)
        with self.store.stage(layout.bids_session(self.scope.name, key)) as tree:
            found = import_session(
                session, tree, participant=participant, rules=self.rules
            )
            done.left_out |= {f"{key}: {k}": v for k, v in found.left_out.items()}
            for name, count in found.keys_left_out.items():
                done.keys_left_out[name] = done.keys_left_out.get(name, 0) + count
            done.images[str(key)] = len(found.report.series)
            return publish_import(
                self.instance,
                self.store,
                self.scope,
                key,
                tree=tree,
                report=found.report,
            )


def _rules(home: Home, study: Study, metadata_file: Path | None) -> ImportRules:
    """Return what decides: the vocabulary, the study's dates, the given metadata."""
    from imaging_platform.bids.importing import ImportRules

    secret, deid = read_secret(home, study.name), study.deid

    def shift(moment: str, subject: str) -> str:
        days = date_offset_days(secret, subject, deid)
        return move_moment(moment, deid.dates, days)

    metadata = _read_metadata(metadata_file) if metadata_file else {}
    return ImportRules(is_technical, shift, metadata)


def move_moment(moment: str, dates: str, offset_days: int) -> str:
    """
    Return an ISO moment as the policy has it; empty when it goes or is none.

    A date of `LAST_MOVED_YEAR` or earlier was moved by whoever made the dataset.

    Parameters
    ----------
    moment
        ``YYYY-MM-DDThh:mm:ss`` with or without fraction.
    dates
        ``modified``, ``full`` or ``remove`` (`deid.dates` of the study file).
    offset_days
        Days of the subject, negative.

    Examples
    --------
    >>> move_moment("2020-03-01T12:00:00", "modified", -1)
    '2020-02-29T12:00:00'
    >>> move_moment("1900-03-01T12:00:00", "modified", -1)
    '1900-03-01T12:00:00'
    """
    match = _MOMENT.fullmatch(moment.strip())
    if match is None or dates == "remove":
        return ""
    day, time = match.group(1), match.group(2) or "T00:00:00"
    if dates == "modified" and int(day[:4]) > LAST_MOVED_YEAR:
        day = shift_date(day, offset_days)
    return day + time if day else ""


def _read_labels(file: Path) -> dict[str, str]:
    """Return new by old labels; a first line that names columns is passed over."""
    rows = [line.split("\t") for line in file.read_text().splitlines() if line.strip()]
    if rows and rows[0][0] == "participant_id":
        rows = rows[1:]
    if not rows or any(len(row) < 2 for row in rows):
        raise BadConfig(
            "The table of labels needs two tab-separated columns: old and new.",
            fix="Write one line a subject, such as sub-01 and A01.",
        )
    return {
        row[0].strip().removeprefix("sub-"): row[1].strip().removeprefix("sub-")
        for row in rows
    }


def _read_metadata(file: Path) -> dict[str, dict[str, object]]:
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict) or not all(
        isinstance(one, dict) for one in content.values()
    ):
        raise BadConfig(
            "The file of metadata is no YAML of name patterns to sidecar keys.",
            fix="Write, for example: task-rest_bold: {RepetitionTime: 2.0}",
        )
    return content


def _print(done: Imported, study: str) -> None:
    print_table(
        f"Imported into {study}",
        ["session", "images", "what became of it"],
        [(key, done.images.get(key, 0), what) for key, what in done.sessions.items()],
    )
    if done.left_out:
        print_table("Left out", ["what", "why"], sorted(done.left_out.items()))
    if done.keys_left_out:
        print_table(
            "Sidecar keys left out",
            ["key", "sidecars"],
            sorted(done.keys_left_out.items()),
        )
    click.echo(f"Go on with: imaging-platform process --study {study}")
