"""``imaging-platform share``: what of a study may leave, as a release."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from imaging_platform.cli.decisions import AUTHOR, record_decision
from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.cli.terminal import find_user
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.ids import parse_version
from imaging_platform.model.layout import RELEASE, Home
from imaging_platform.planning.decisions import Decision, read_decisions
from imaging_platform.planning.releases import (
    refuse_absent_release,
    refuse_frozen_release,
)
from imaging_platform.provenance.trees import read_release
from imaging_platform.settings import Study, enter_home, find_home, load_study

if TYPE_CHECKING:
    from imaging_platform.planning.cells import Cell
    from imaging_platform.processing.sharing import Shared


@click.command()
@click.argument("name", metavar="STUDY")
@click.argument("version")
@click.option(
    "--with",
    "apps",
    multiple=True,
    metavar="ASSET",
    help="Results of this app leave too; repeatable. Look for faces in them first.",
)
@click.option("--dry-run", is_flag=True, help="Say what would leave, and make nothing.")
@click.option("--withdraw", is_flag=True, help="Remove a release that was thawed.")
@click.option("--reason", help="Why it is withdrawn; shown to everybody.")
@AUTHOR
@json_option
def share(
    name: str,
    version: str,
    apps: tuple[str, ...],
    dry_run: bool,
    withdraw: bool,
    reason: str | None,
    author: str | None,
    as_json: bool,
) -> int:
    """
    Make a release of STUDY: what may leave, without faces and identifiers.

    Sessions that are out of date, failed, held or rated fail are left out, with the
    reason. A release is frozen when it is made: it is never changed, and removed
    only after `thaw STUDY --release VERSION`.
    """
    home, study = find_home(), load_study(find_home(), name)
    parse_version(version)
    if withdraw:
        _withdraw(home, study, version, author, reason)
        return 0
    from imaging_platform.processing.sharing import Shared, Sharing, make_guards

    sharing = Sharing(
        home,
        study,
        version=version,
        date=_find_date(home, study, version),
        apps=apps,
        tell=_ignore if as_json else _tell,
    )
    chosen = sharing.choose(_read_cells(home, name))
    if dry_run:
        done = Shared(name, version, "not made", "", chosen.verdicts)
    else:
        done = sharing.make(
            chosen,
            make_guards(home, name),
            lambda digest: _freeze(home, name, version, author, digest),
        )
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        _print_shared(home, done)
    return 0


def _withdraw(
    home: Home, study: Study, version: str, author: str | None, reason: str | None
) -> None:
    """Remove a release, after the decision was written; twice is once."""
    from imaging_platform.files.staging import remove_tree
    from imaging_platform.release.packing import set_writable

    if not reason:
        raise BadConfig(
            "A release is withdrawn for a reason.", fix='Add --reason "...".'
        )
    target = home.root / layout.release(study.name, version)
    if version not in _withdrawn(home, study.name):
        refuse_absent_release(home.root, study.name, version)
        refuse_frozen_release(home.root, study.name, version)
        fields = {"asset": RELEASE, "partition": version}
        decision = Decision("withdraw", author or find_user(), reason, _now(), **fields)
        record_decision(home, study.name, decision)
    if target.exists():
        set_writable(target)
        remove_tree(target, target.parent, version)
    click.echo(f"Release {version} of {study.name} is withdrawn.")


def _freeze(
    home: Home, study: str, version: str, author: str | None, digest: str
) -> None:
    """Write down that a release is frozen, once for the same content."""
    steps = read_decisions(home.root, study).steps
    known = [(s.asset, s.partition, s.data_version) for s in steps]
    if (RELEASE, version, digest) in known:
        return
    decision = Decision(
        "freeze",
        author or find_user(),
        f"release {version} was made",
        _now(),
        asset=RELEASE,
        partition=version,
        data_version=digest,
    )
    record_decision(home, study, decision)


def _find_date(home: Home, study: Study, version: str) -> str:
    """Return the day of a release: of the study file, of what stands, or today."""
    for note in study.bids.releases:
        if note.version == version:
            return note.date
    record = read_release(home.root, study.name, version)
    if record is not None:
        return str(record.parameters["date"])
    return datetime.now(UTC).date().isoformat()


def _read_cells(home: Home, name: str) -> Mapping[str, Mapping[str, Cell]]:
    enter_home(home)
    from imaging_platform.processing.plans import open_site
    from imaging_platform.survey.study import survey_study

    found: dict[str, dict[str, Cell]] = {}
    with open_site(home, name) as site:
        for cell in survey_study(site).plan.cells:
            if cell.partition:
                found.setdefault(cell.partition, {})[cell.asset] = cell
    return found


def _withdrawn(home: Home, study: str) -> Mapping[str, Decision]:
    return read_decisions(home.root, study).releases_in("withdraw")


def _print_shared(home: Home, done: Shared) -> None:
    rows = [
        (
            row.session,
            row.verdict,
            row.n_files,
            "; ".join(filter(None, [row.reason, *row.left_out])),
        )
        for row in done.sessions
    ]
    title = f"Release {done.version} of {done.study}"
    print_table(title, ["session", "verdict", "files", "why"], rows)
    n_released = sum(row.leaves for row in done.sessions)
    said = f"{n_released} session(s), {len(done.sessions) - n_released} left out"
    if done.state == "not made":
        click.echo(f"{said}. Nothing was made.")
        return
    was = "stands already and is the same" if done.state == "unchanged" else "is made"
    click.echo(f"{said}. The release {was}, {done.n_files} files, and is frozen:")
    click.echo(f"  {home.root / layout.release(done.study, done.version)}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _tell(step: str) -> None:
    click.echo(step, err=True)


def _ignore(step: str) -> None:
    """Say nothing of a step: the answer follows as JSON."""
