"""Two doors to the home: one with identity for four users, one without for all."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from imaging_platform.deid.labels import Labels, LabelSettings
from imaging_platform.model.layout import IDENTIFIED_ZONES, ZONES, Home
from imaging_platform.resources.keys import read_secret
from imaging_platform.resources.mapping import read_labels
from imaging_platform.storage.local import LocalStore


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

    def secret(self, study: str) -> bytes:
        """Return the key of `study`; see `read_secret`."""
        return read_secret(Home(Path(self.home)), study)

    def labels(self, study: str, settings: LabelSettings) -> Labels:
        """Return what decides the labels of `study`; see `read_labels`."""
        return read_labels(Home(Path(self.home)), study, settings)


class PublishedZone(dg.ConfigurableResource):
    """Everything that anyone in the lab may see."""

    home: str
    reports_url: str

    def store(self) -> LocalStore:
        """Return the store of published trees; it refuses keys with identity."""
        zones = tuple(zone for zone in ZONES if zone not in IDENTIFIED_ZONES)
        return LocalStore(Path(self.home), zones=zones)

    def link(self, key: str) -> str:
        """Return the address at which `imaging-platform up` serves a published file."""
        return f"{self.reports_url}/{key}"
