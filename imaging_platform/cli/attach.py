"""``imaging-platform attach``: events, answers and recordings for a session."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig, BadInput, IdentityLeak
from imaging_platform.model.ids import SessionKey
from imaging_platform.settings import find_home, load_study
from imaging_platform.storage.local import LocalStore


@click.command()
@click.argument("name", metavar="STUDY")
@click.argument("session")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
def attach(name: str, session: str, folder: Path, as_json: bool) -> None:
    """
    Attach the events, answers and recordings in FOLDER to SESSION of STUDY.

    They replace what this command attached before, and files of the same name from
    drops; `process` then puts them into the session's BIDS folder.
    """
    from imaging_platform.assets.attachments import bring_attachments
    from imaging_platform.bids.attachments import receive_attachments
    from imaging_platform.resources.zones import (
        EchoGuard,
        IdentifiedZone,
        PublishedZone,
    )

    home = find_home()
    study, key = load_study(home, name), SessionKey.parse(session)
    _refuse_imported(LocalStore(home.root), study.name, key)
    root, guard = str(home.root), EchoGuard(home=str(home.root))
    with tempfile.TemporaryDirectory(prefix="attach-") as scratch:
        received = receive_attachments(folder, Path(scratch), key)
        if not received.files:
            raise BadInput(
                f"Nothing in the folder can be attached to {key}; "
                f"{len(received.left_out)} file(s) are left out.",
                fix="Name tables as task-rest_run-1_events.tsv or series-5_events.tsv.",
            )
        if guard.search(study.name, key, Path(scratch)):
            raise IdentityLeak(
                f"An identifier of the subject was found in what is for {key}; nothing "
                "was attached.",
                fix="Remove names, numbers and dates of the subject from the files.",
            )
        changed = bring_attachments(
            study.name,
            key,
            identified=IdentifiedZone(home=root),
            published=PublishedZone(home=root, reports_url=""),
            echo_guard=guard,
            by_hand=Path(scratch),
        )
    if as_json:
        print_json({**dataclasses.asdict(received), "changed": changed})
        return
    print_table(f"Attached to {key}", ["file"], [(f,) for f in received.files])
    if left_out := {**received.left_out, **received.thinned}:
        print_table("Left out", ["what", "why"], sorted(left_out.items()))
    click.echo(f"Go on with: imaging-platform process --study {study.name}")


def _refuse_imported(store: LocalStore, study: str, key: SessionKey) -> None:
    converted = store.read(layout.bids_session(study, key))
    if converted is not None and converted.is_imported:
        raise BadConfig(
            f"{key} was imported; its files come from the dataset.",
            fix="Put the files into the dataset and call import-bids again.",
        )
