"""``imaging-platform study``: new, check, list."""

from __future__ import annotations

from pathlib import Path

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.ids import parse_study_name
from imaging_platform.model.layout import ZONES, Home
from imaging_platform.resources.keys import create_secret, read_secret
from imaging_platform.settings import Study, find_home, load_study
from imaging_platform.study_file import describe_study


@click.group()
def study() -> None:
    """Create, check and list studies."""


@study.command()
@click.argument("name")
def new(name: str) -> None:
    """Write a commented study file and the study's secret key."""
    home = find_home()
    file = home.study_file(parse_study_name(name))
    if file.exists():
        raise BadConfig(
            f"Study {name} exists already.", fix="Edit its study.yaml instead."
        )
    create_study(home, name)
    click.echo(f"Study file  {file}\nSecret key  {home.secret_file(name)}")
    click.echo("Back up the key: without it no later session gets the same pseudonym.")
    click.echo("In a running Dagster, reload the code location to see the study.")


def create_study(home: Home, name: str) -> None:
    """Write study file, key and the folders of each zone; what is there stays."""
    for zone in ZONES:
        mode = 0o700 if zone in ("inbox", "identified") else 0o755
        home.zone(zone, name).mkdir(parents=True, exist_ok=True, mode=mode)
    create_secret(home, name)
    if not home.study_file(name).exists():
        write_text(home.study_file(name), describe_study(name))


@study.command("list")
@json_option
def list_studies(as_json: bool) -> None:
    """List the studies of the home."""
    home = find_home()
    rows = [(s.name, s.title) for s in (load_study(home, n) for n in home.studies())]
    if as_json:
        print_json([{"name": name, "title": title} for name, title in rows])
    else:
        print_table(f"Studies in {home.root}", ["study", "title"], rows)


@study.command()
@click.argument("name")
@json_option
def check(name: str, as_json: bool) -> None:
    """Prove study file, key, folders and tools."""
    home = find_home()
    loaded = load_study(home, name)
    read_secret(home, name)
    proofs = {
        "study file": "valid",
        "notebooks": _prove_notebooks(home, loaded),
        "key": "readable by its owner only",
        **{f"folder {zone}": _prove_writable(home.zone(zone, name)) for zone in ZONES},
        **_prove_tools(),
    }
    if as_json:
        print_json(proofs)
    else:
        print_table(f"Study {name}", ["what", "is"], list(proofs.items()))


def _prove_writable(folder: Path) -> str:
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadConfig(
            f"The folder {folder} cannot be written: {error.strerror}.",
            fix="Correct its owner or mode, or free the disk.",
        ) from None
    return "writable"


def _prove_notebooks(home: Home, study: Study) -> str:
    """Return which notebooks are assets; refuse the first that cannot be one."""
    from imaging_platform.pipeline.outline import outline_study
    from imaging_platform.reporting.front_matter import BrokenTemplate, UnmetTemplate

    found = outline_study(study, home.notebooks(study.name)).templates
    for template in found:
        if isinstance(template, BrokenTemplate):
            raise template.problem
    unmet = [t for t in found if isinstance(t, UnmetTemplate)]
    left_out = (f"; without {t.path.name}: no {', '.join(t.unmet)}" for t in unmet)
    return f"{len(found) - len(unmet)} with front matter{''.join(left_out)}"


def _prove_tools() -> dict[str, str]:
    from imaging_platform.tools import dcm2niix, validator
    from imaging_platform.tools.run import run

    run([dcm2niix.program(), "--version"], timeout_s=30, accepted=(0, 3))
    run([validator.program(), "--version"], timeout_s=30)
    return {"dcm2niix": dcm2niix.version(), "BIDS validator": validator.version()}
