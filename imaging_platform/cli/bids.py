"""``imaging-platform bids``: lint, preview and import the rules of a study."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from imaging_platform.cli.printing import json_option, print_json
from imaging_platform.model.errors import BadConfig, MissingInput
from imaging_platform.model.ids import SessionKey, parse_study_name
from imaging_platform.settings import find_home, load_study, parse_study
from imaging_platform.storage.local import LocalStore

if TYPE_CHECKING:
    from imaging_platform.bids.preview import PreviewedImage, PreviewedSession
    from imaging_platform.bids.rule_overlap import Meeting
    from imaging_platform.bids.settings import BidsSettings
    from imaging_platform.bids.stored import StoredSession
    from imaging_platform.model.findings import Finding

ERRORS = 2


@click.group()
def bids() -> None:
    """Check, preview and import rules that name series."""


@bids.command()
@click.argument("study")
@json_option
def lint(study: str, as_json: bool) -> int:
    """
    Name errors and risks in the rules of STUDY, a name or a study file.

    The converted sessions of the study are asked, too: a name that a rule gives to
    several series of one session is a risk.
    """
    from imaging_platform.bids.rule_lint import lint_rules

    content = _read_content(study)
    found = lint_rules(_rules_of(content))
    meetings: tuple[Meeting, ...] = ()
    if not any(one.level == "error" for one in found):
        settings = parse_study(content).bids
        meetings = tuple(_find_meetings(study, settings))
    if as_json:
        values = [dataclasses.asdict(one) for one in found]
        print_json({"rules": values, "meetings": list(map(_plain, meetings))})
    else:
        _print_findings(found, meetings)
    return ERRORS if any(one.level == "error" for one in found) else 0


@bids.command()
@click.argument("study")
@click.argument("sessions", nargs=-1, metavar="[SESSION]...")
@click.option(
    "--rules",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Study file, or its part bids.rules, to try instead of the study's own.",
)
@click.option("--all", "show_all", is_flag=True, help="Also images that stay the same.")
@json_option
def preview(
    study: str,
    sessions: tuple[str, ...],
    file: Path | None,
    show_all: bool,
    as_json: bool,
) -> None:
    """
    Show what rules would make of the converted sessions of STUDY.

    Nothing is converted: the rules are asked about what was kept of each image.
    """
    from imaging_platform.bids.preview import preview_session

    settings = load_study(find_home(), study).bids
    if file is not None:
        settings = settings.model_copy(update={"rules": _read_rules(file)})
    found = [
        preview_session(stored, key, settings)
        for key, stored in _read_sessions(study, sessions)
    ]
    if as_json:
        print_json({"counts": _count(found), "sessions": list(map(_plain, found))})
    else:
        _print_preview(study, found, show_all=show_all)


@bids.command("import-rules")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def import_rules(file: Path, as_json: bool) -> int:
    """
    Print the rules of FILE, an XNAT bidsmap.json or a dcm2bids configuration.

    What is printed is a part of a study file; what could not be taken over stands
    above it, each with its reason.
    """
    from imaging_platform.bids.rule_import import import_rules as translate
    from imaging_platform.bids.rule_lint import lint_rules

    imported = translate(_read_text(file))
    findings = lint_rules(list(imported.rules))
    if as_json:
        lint = [dataclasses.asdict(one) for one in findings]
        print_json(dataclasses.asdict(imported) | {"lint": lint})
    else:
        click.echo(imported.to_yaml(), nl=False)
        for one in findings:
            click.echo(one, err=True)
    return ERRORS if any(one.level == "error" for one in findings) else 0


def _read_content(named: str) -> Mapping[str, Any]:  # YAML
    """Return a study file as YAML has it, by the study's name or by its path."""
    file = Path(named)
    if not file.is_file():
        file = find_home().study_file(parse_study_name(named))
    if not file.is_file():
        known = ", ".join(find_home().studies()) or "none"
        raise BadConfig(
            f"There is no study {named}; known: {known}.",
            fix=f"Create it: imaging-platform study new {named}",
        )
    content = _load_yaml(file)
    if not isinstance(content, Mapping):
        raise BadConfig(
            f"{file.name} is no mapping of keys to values.",
            fix="Give a study file, or the name of a study.",
        )
    return content


def _rules_of(content: object) -> object:
    """Return ``bids.rules`` of a study file, or of a file that holds only them."""
    part = content
    for key in ("bids", "rules"):
        if isinstance(part, Mapping):
            part = part.get(key, part if key == "bids" and "rules" in part else [])
    return [] if part is None else part


def _read_rules(file: Path) -> tuple[Any, ...]:  # StudyRule
    """Return the rules of a file; refuse it with the first error of the lint."""
    from imaging_platform.bids.rule_lint import lint_rules
    from imaging_platform.bids.settings import StudyRule

    rules = _rules_of(_load_yaml(file))
    for one in lint_rules(rules):
        if one.level == "error" and "unreachable" not in one.message:
            raise BadConfig(f"{one.field}: {one.message}", fix=one.fix)
    listed = rules if isinstance(rules, Sequence) else ()
    return tuple(StudyRule.model_validate(rule) for rule in listed)


def _load_yaml(file: Path) -> object:
    try:
        return yaml.safe_load(_read_text(file))
    except yaml.YAMLError:
        raise BadConfig(
            f"{file.name} is not valid YAML.", fix="Correct it, or name a study."
        ) from None


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadConfig(
            f"{file.name} is no text in UTF-8.", fix="Save it as UTF-8."
        ) from None


def _read_sessions(
    study: str, wanted: Sequence[str]
) -> Iterator[tuple[SessionKey, StoredSession]]:
    """Yield the facts of the converted sessions of a study, or of those named."""
    from imaging_platform.pipeline.evidence import list_stored, read_stored

    store = LocalStore(find_home().root)
    known = list_stored(store, study)
    for session in wanted or known:
        key = SessionKey.parse(session)
        stored = read_stored(store, study, session)
        if stored is None:
            raise MissingInput(
                f"Nothing is known of the images of {key}.",
                fix="Run `imaging-platform process` once; it keeps what is needed.",
            )
        yield key, stored


def _find_meetings(study: str, settings: BidsSettings) -> Iterator[Meeting]:
    from imaging_platform.bids.rule_overlap import find_meetings

    if study not in find_home().studies():
        return
    for key, stored in _read_sessions(study, ()):
        if not stored.missing_fields(settings):
            yield from find_meetings(str(key), stored.decide_again(key, settings))


def _print_findings(found: Sequence[Finding], meetings: Sequence[Meeting]) -> None:
    for one in found:
        click.echo(one)
    for name, met in _gather_meetings(meetings).items():
        series = ", ".join(map(str, met[0].series))
        more = f" and {len(met) - 1} more session(s)" if len(met) > 1 else ""
        click.echo(
            f"risk: bids.rules: series {series} of {met[0].session}{more} all become "
            f"{name}.\n  Their runs are numbered by time; give acq or exclude one if "
            "they are no repetitions."
        )
    n_errors = sum(one.level == "error" for one in found)
    n_risks = len(found) - n_errors + len(_gather_meetings(meetings))
    click.echo(f"{n_errors} error(s), {n_risks} risk(s).")


def _gather_meetings(meetings: Sequence[Meeting]) -> dict[str, list[Meeting]]:
    gathered: dict[str, list[Meeting]] = {}
    for one in meetings:
        gathered.setdefault(one.name, []).append(one)
    return gathered


def _print_preview(
    study: str, found: Sequence[PreviewedSession], *, show_all: bool
) -> None:
    for session in found:
        images = session.images if show_all else session.changed_images
        if session.unknown_fields:
            listed = ", ".join(session.unknown_fields)
            click.echo(f"{session.session}: {listed} must be read by a conversion.")
        elif images:
            click.echo(session.session)
            for image in images:
                _print_image(image)
    counts = _count(found)
    click.echo(
        f"{study}: {counts['changed_sessions']} of {counts['sessions']} session(s) "
        f"would be converted again, {counts['changed_images']} of {counts['images']} "
        "image(s) become something else."
    )


def _print_image(image: PreviewedImage) -> None:
    """Print one image over several lines: names are too long for a table."""
    after = image.after
    if image.before == after:
        after = "another sidecar or reason" if image.is_changed else "the same"
    click.echo(
        f"  series {image.series_number}: {image.description}\n"
        f"       {image.before}\n    -> {after}\n"
        f"       {' '.join([image.why, *image.warnings])}"
    )


def _count(found: Sequence[PreviewedSession]) -> dict[str, int]:
    counts = Counter(
        sessions=len(found),
        images=sum(len(one.images) for one in found),
        changed_sessions=sum(one.is_changed for one in found),
        changed_images=sum(len(one.changed_images) for one in found),
        undecided_sessions=sum(bool(one.unknown_fields) for one in found),
    )
    return dict(counts)


def _plain(value: Any) -> dict[str, Any]:  # any of our dataclasses
    return dataclasses.asdict(value)
