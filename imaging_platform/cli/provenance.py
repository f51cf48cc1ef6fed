"""``imaging-platform provenance``: what was made from what, for other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from imaging_platform.files.writing import write_json
from imaging_platform.intake.origins import read_origins
from imaging_platform.model.errors import MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.provenance.bids_links import describe_datasets
from imaging_platform.provenance.lineage import Origin
from imaging_platform.provenance.prov import describe_prov
from imaging_platform.provenance.record import read_outputs
from imaging_platform.provenance.ro_crate import Crate, describe_crate
from imaging_platform.provenance.trees import Trees, read_trees
from imaging_platform.settings import Study, find_home, load_study

Document = dict[str, Any]  # JSON


@dataclass(frozen=True)
class _Scope:
    """What is exported: some results of a study, and what is known of them."""

    home: Home
    study: Study
    trees: Trees
    origins: Mapping[str, tuple[Origin, ...]]
    outputs: Mapping[str, Mapping[str, str]]


@click.command()
@click.argument("name", metavar="STUDY")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--session", help="Only this session, with each of its files.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["prov", "ro-crate", "bids"]),
    required=True,
    help="W3C PROV as JSON-LD, RO-Crate metadata, or what the datasets say.",
)
def provenance(name: str, out: Path, session: str | None, kind: str) -> None:
    """
    Write what was made from what in STUDY into the file OUT.

    Paths in it are relative to the home. Originals are only named.
    """
    home = find_home()
    scope = _read_scope(home, load_study(home, name), session)
    write_json(out, _FORMATS[kind](scope))
    click.echo(f"{len(scope.trees)} result(s) in {out}")


def _read_scope(home: Home, study: Study, session: str | None) -> _Scope:
    key = str(SessionKey.parse(session)) if session else ""
    trees = {
        name: tree
        for name, tree in read_trees(
            home.root, study.name, [key] if key else None
        ).items()
        if not key or tree.partition == key
    }
    if not trees:
        raise MissingInput(
            f"Nothing of {key or study.name} is published.",
            fix=f"imaging-platform process --study {study.name}",
        )
    outputs = {
        name: read_outputs(home.root / tree.key)
        for name, tree in trees.items()
        if key and tree.name != "raw_session"
    }
    zone = home.zone("identified", study.name)
    origins = read_origins(zone, {key} if key else None)
    return _Scope(home, study, trees, origins, outputs)


def _prov(scope: _Scope) -> Document:
    return describe_prov(
        scope.study.name, scope.trees, origins=scope.origins, outputs=scope.outputs
    )


def _ro_crate(scope: _Scope) -> Document:
    study = scope.study
    crate = Crate(
        name=study.bids.dataset_name or study.title or study.name,
        description=study.bids.description or f"Results of the study {study.name}.",
        published=datetime.now(UTC).date().isoformat(),
        license=study.bids.license,
    )
    return describe_crate(
        crate, scope.trees, origins=scope.origins, outputs=scope.outputs
    )


def _bids(scope: _Scope) -> Document:
    return describe_datasets(scope.home.root, scope.study.name, scope.trees)


_FORMATS: Mapping[str, Callable[[_Scope], Document]] = {
    "prov": _prov,
    "ro-crate": _ro_crate,
    "bids": _bids,
}
