"""Doors to the home: with identity for four users, without for all, and a guard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from imaging_platform.deid.labels import Labels, LabelSettings
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import IDENTIFIED_ZONES, ZONES, Home
from imaging_platform.planning.decisions import read_decisions
from imaging_platform.resources.keys import read_secret
from imaging_platform.resources.mapping import read_labels
from imaging_platform.storage.local import LocalStore

if TYPE_CHECKING:
    from imaging_platform.deid.residue import Residue


class IdentifiedZone(dg.ConfigurableResource):
    """The inbox, the originals and the key; required where identity must be read."""

    home: str

    def store(self) -> LocalStore:
        """Return the store of original sessions."""
        return LocalStore(Path(self.home), zones=IDENTIFIED_ZONES)

    def inbox(self, study: str) -> Path:
        """Return the folder into which drops of `study` are put."""
        return Home(Path(self.home)).zone("inbox", study)

    def folder(self, study: str) -> Path:
        """Return the folder of receipts, ledger and originals of `study`."""
        return Home(Path(self.home)).zone("identified", study)

    def guard_file(self, study: str, key: SessionKey) -> Path:
        """Return where `EchoGuard` looks up what must not be found of a session."""
        return Home(Path(self.home)).guard_file(study, key)

    def released(self, study: str, key: SessionKey) -> frozenset[str]:
        """Return the series of a session that a person let through the pixel gate."""
        from imaging_platform.deid.release_list import read_steps, released_series

        file = Home(Path(self.home)).released_file(study)
        return released_series(read_steps(file), key)

    def released_versions(self, study: str) -> dict[str, str]:
        """Return the version of `released` by session key; absent when it is empty."""
        from imaging_platform.deid.release_list import read_steps, released_versions

        return released_versions(read_steps(Home(Path(self.home)).released_file(study)))

    def secret(self, study: str) -> bytes:
        """Return the key of `study`; see `read_secret`."""
        return read_secret(Home(Path(self.home)), study)

    def labels(self, study: str, settings: LabelSettings) -> Labels:
        """Return what decides the labels of `study`; see `read_labels`."""
        return read_labels(Home(Path(self.home)), study, settings)


class EchoGuard(dg.ConfigurableResource):
    """Answers where identifiers stand in what was made of a session; never which."""

    home: str

    def search(self, study: str, key: SessionKey, tree: Path) -> tuple[Residue, ...]:
        """
        Return the places of a folder that echo the session's subject.

        Raises
        ------
        MissingInput
            What must not be found is not known, so nothing may pass.
        """
        from imaging_platform.deid.echo import find_echoes
        from imaging_platform.deid.guard_store import load_identifiers

        file = Home(Path(self.home)).guard_file(study, key)
        own_names = (f"sub-{key.subject}", f"ses-{key.session}")
        return find_echoes(tree, load_identifiers(file), own_names=own_names)


class PublishedZone(dg.ConfigurableResource):
    """Everything that anyone in the lab may see."""

    home: str
    reports_url: str

    def store(self) -> LocalStore:
        """Return the store of published trees; it refuses keys with identity."""
        zones = tuple(zone for zone in ZONES if zone not in IDENTIFIED_ZONES)
        return LocalStore(Path(self.home), zones=zones)

    def frozen(self, study: str) -> str | None:
        """Return who froze `study` and why; None when it is not frozen."""
        return read_decisions(Path(self.home), study).frozen

    def count_decisions(self, study: str) -> int:
        """Return how many decisions about `study` there are; the number only grows."""
        return len(read_decisions(Path(self.home), study).steps)

    def link(self, key: str) -> str:
        """Return the address at which `imaging-platform up` serves a published file."""
        return f"{self.reports_url}/{key}"
