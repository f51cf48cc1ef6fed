"""``imaging-platform release``, ``unrelease``: a person lets a series through."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.deid.release_list import (
    ReleaseStep,
    Step,
    append_steps,
    read_steps,
    released_series,
)
from imaging_platform.files.audit import append_audit
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig, MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.settings import find_home, load_study
from imaging_platform.storage.local import LocalStore

SERIES = click.option(
    "--series",
    "named",
    multiple=True,
    help="Number or name of a series, as listed; may be given again.",
)
AUTHOR = click.option(
    "--author", help="Who decides it; the user of this computer when left out."
)


@dataclass(frozen=True)
class _KeptBack:
    """A series that stays behind the gate, or was let through."""

    series: str
    kind: str
    n_files: int
    reasons: tuple[str, ...]
    can_be_released: bool


@click.command()
@click.argument("study")
@click.argument("session")
@SERIES
@click.option("--all", "is_all", is_flag=True, help="Every series that can be.")
@click.option("--reason", help="Why its pixels may be seen; needed to release.")
@AUTHOR
@json_option
def release(
    study: str,
    session: str,
    named: tuple[str, ...],
    is_all: bool,
    reason: str | None,
    author: str | None,
    as_json: bool,
) -> None:
    """
    List what the pixel gate kept back of SESSION, or let series through.

    Look at the images first: text in the pixels is what the gate is there for.
    """
    home, key = _find(study, session)
    kept = _read_kept_back(home, study, key)
    if not named and not is_all:
        _show(study, key, kept, as_json=as_json)
        return
    chosen = _choose([each for each in kept if each.series], named, is_all=is_all)
    closed = [each for each in chosen if not each.can_be_released]
    if closed and not is_all:
        raise BadConfig(
            f"{closed[0].series} is of a kind that is never released: "
            f"{closed[0].reasons[0]}.",
            fix="Leave it out; an option of the study may clean its content.",
        )
    names = [each.series for each in chosen if each.can_be_released]
    _record(home, study, key, "release", names, reason=reason, author=author)
    _tell(study, key, "Released", names, as_json=as_json)


@click.command()
@click.argument("study")
@click.argument("session")
@SERIES
@click.option("--all", "is_all", is_flag=True, help="Every released series.")
@click.option("--reason", help="Why they are taken back; needed.")
@AUTHOR
@json_option
def unrelease(
    study: str,
    session: str,
    named: tuple[str, ...],
    is_all: bool,
    reason: str | None,
    author: str | None,
    as_json: bool,
) -> None:
    """Take back what `release` let through of SESSION."""
    home, key = _find(study, session)
    released = sorted(released_series(read_steps(home.released_file(study)), key))
    open_ = [_KeptBack(series, "", 0, (), True) for series in released]
    if not named and not is_all:
        raise BadConfig(
            f"Name the series to take back; released are: "
            f"{', '.join(released) or 'none'}.",
            fix="Give --series or --all.",
        )
    names = [each.series for each in _choose(open_, named, is_all=is_all)]
    _record(home, study, key, "unrelease", names, reason=reason, author=author)
    _tell(study, key, "Taken back", names, as_json=as_json)


def _find(study: str, session: str) -> tuple[Home, SessionKey]:
    home = find_home()
    load_study(home, study)
    return home, SessionKey.parse(session)


def _read_kept_back(home: Home, study: str, key: SessionKey) -> list[_KeptBack]:
    """Return what the latest report of a session says, one entry a series."""
    record = LocalStore(home.root).read(layout.anonymized_dicom(study, key))
    if record is None:
        raise MissingInput(
            f"{key} has not been de-identified yet.",
            fix=f"imaging-platform process --study {study}",
        )
    by_series: dict[str, list[dict[str, object]]] = {}
    for row in record.report.get("quarantined", ()):
        by_series.setdefault(row.get("series", ""), []).append(row)
    return [
        _KeptBack(
            series,
            ", ".join(sorted({str(row["sop_class"]) for row in rows})),
            sum(int(str(row["n_files"])) for row in rows),
            tuple(sorted({str(row["reason"]) for row in rows})),
            any(row.get("can_be_released") is True for row in rows),
        )
        for series, rows in sorted(by_series.items())
    ]


def _choose(
    known: Sequence[_KeptBack], named: Sequence[str], *, is_all: bool
) -> list[_KeptBack]:
    """Return the series that were named, in order; each name fits exactly one."""
    if is_all:
        return list(known)
    chosen: dict[str, _KeptBack] = {}
    for name in named:
        start = f"{int(name):04d}-" if name.isdecimal() else name
        fitting = [each for each in known if each.series.startswith(start)]
        if len(fitting) != 1:
            raise BadConfig(
                f"{len(fitting)} series of this session are called {name}.",
                fix="Give one of: "
                + (", ".join(each.series for each in known) or "none is there")
                + ".",
            )
        chosen[fitting[0].series] = fitting[0]
    return list(chosen.values())


def _record(
    home: Home,
    study: str,
    key: SessionKey,
    step: Step,
    names: Sequence[str],
    *,
    reason: str | None,
    author: str | None,
) -> None:
    """Write the audit trail and then the list, so that nothing is done unseen."""
    if not names:
        raise BadConfig(
            "No series of this session can be chosen.",
            fix=f"imaging-platform release {study} {key} lists what there is.",
        )
    if not reason:
        raise BadConfig(
            f"To {step} a series needs a reason.",
            fix='Give --reason "...", in words that a reader of the audit understands.',
        )
    now, who = datetime.now(UTC), author or getpass.getuser()
    zone = home.zone("identified", study)
    for name in names:
        append_audit(
            zone,
            action=step,
            subject=f"{key} {name}",
            author=who,
            reason=reason,
            now=now,
        )
    when = now.isoformat(timespec="seconds")
    append_steps(
        home.released_file(study),
        [ReleaseStep(step, str(key), name, who, reason, when) for name in names],
    )


def _show(
    study: str, key: SessionKey, kept: Sequence[_KeptBack], *, as_json: bool
) -> None:
    if as_json:
        print_json(
            [
                {
                    "series": each.series,
                    "kind": each.kind,
                    "files": each.n_files,
                    "reasons": each.reasons,
                    "can_be_released": each.can_be_released,
                }
                for each in kept
            ]
        )
        return
    print_table(
        f"Kept back of {key}",
        ["series", "kind", "files", "why", "can be released"],
        [
            (
                each.series or "unreadable",
                each.kind,
                each.n_files,
                "; ".join(each.reasons),
                "yes" if each.can_be_released else "no",
            )
            for each in kept
        ],
    )
    if any(each.can_be_released for each in kept):
        click.echo(
            f'Release: imaging-platform release {study} {key} --series N --reason "..."'
        )


def _tell(
    study: str, key: SessionKey, done: str, names: Sequence[str], *, as_json: bool
) -> None:
    if as_json:
        print_json({"session": str(key), "series": list(names)})
        return
    click.echo(f"{done}: {', '.join(names)}")
    click.echo(f"To apply it: imaging-platform process --study {study}")
