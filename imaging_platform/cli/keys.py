"""``imaging-platform key``: create, show, back up, restore and check a study's key."""

from __future__ import annotations

from pathlib import Path

import click

from imaging_platform.cli.printing import json_option, print_json, print_mapping
from imaging_platform.deid.pseudonyms import key_fingerprint
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.ids import parse_study_name
from imaging_platform.resources.keys import (
    back_up_secret,
    create_secret,
    read_secret,
    remember_key,
    restore_secret,
)
from imaging_platform.resources.mapping import read_mapping
from imaging_platform.settings import find_home

STUDY = click.argument("name", metavar="STUDY")


@click.group()
def key() -> None:
    """Keep the secret key of a study: without it nobody gets the same label again."""


@key.command()
@STUDY
def create(name: str) -> None:
    """Make the key of STUDY, once; `study new` does it too."""
    home = find_home()
    file = home.secret_file(parse_study_name(name))
    if file.exists():
        raise BadConfig(
            f"Study {name} has a key, which stays.",
            fix=f"imaging-platform key check {name}",
        )
    create_secret(home, name)
    click.echo(f"Secret key   {file}")
    click.echo(f"Fingerprint  {key_fingerprint(read_secret(home, name))}")
    click.echo(f"Back it up now: imaging-platform key backup {name} FILE")


@key.command()
@STUDY
@json_option
def show(name: str, as_json: bool) -> None:
    """Show the fingerprint of the key, by which people recognize it; not the key."""
    fingerprint = key_fingerprint(read_secret(find_home(), parse_study_name(name)))
    facts = {"study": name, "fingerprint": fingerprint}
    print_json(facts) if as_json else print_mapping(facts)


@key.command()
@STUDY
@click.argument("file", type=click.Path(path_type=Path))
def backup(name: str, file: Path) -> None:
    """Write the key into the new FILE, encrypted with a passphrase that is asked."""
    home = find_home()
    read_secret(home, parse_study_name(name))
    passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True)
    back_up_secret(home, name, passphrase, file)
    click.echo("Keep file and passphrase apart, and both away from the data.")


@key.command()
@STUDY
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(name: str, file: Path) -> None:
    """Put the key back from FILE, if it is the one that the study was made with."""
    passphrase = click.prompt("Passphrase", hide_input=True)
    fingerprint = restore_secret(find_home(), parse_study_name(name), passphrase, file)
    click.echo(f"The key {fingerprint} is back.")


@key.command()
@STUDY
@json_option
def check(name: str, as_json: bool) -> None:
    """Prove that the key is there, private, and the one the study was made with."""
    home = find_home()
    fingerprint = key_fingerprint(read_secret(home, parse_study_name(name)))
    remember_key(home, name, fingerprint)
    n_rows = len(read_mapping(home, name))
    facts = {
        "key": "readable by its owner only",
        "fingerprint": f"{fingerprint}, as the study remembers",
        "mapping table": f"opens, {n_rows} rows",
    }
    print_json(facts) if as_json else print_mapping(facts)
