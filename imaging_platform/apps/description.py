"""The top of an app's derivative dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imaging_platform.apps.outputs import DESCRIPTION, OTHER
from imaging_platform.apps.settings import App
from imaging_platform.files.writing import write_json, write_text

_TAKEN_OVER = ("HowToAcknowledge", "License", "ReferencesAndLinks", "EthicsApprovals")
"""What an app may say of its dataset; its own folders and links mean nothing here."""


def write_description(
    root: Path,
    app: App,
    described: Mapping[str, object],
    *,
    name: str,
    bids_version: str,
    raw: str,
) -> None:
    """
    Write description, README and ``.bidsignore``; the same each time.

    Parameters
    ----------
    root
        Folder of the dataset.
    app
        What made it.
    described
        What the app itself says of its dataset; empty when nothing.
    name
        Name of the dataset when the app gives none.
    bids_version
        Such as ``1.11.1``.
    raw
        Where the BIDS dataset stands, relative to `root`.
    """
    write_json(
        root / DESCRIPTION,
        {
            **{key: described[key] for key in _TAKEN_OVER if key in described},
            "Name": name,
            "BIDSVersion": bids_version,
            "DatasetType": "derivative",
            "GeneratedBy": _generated_by(app, described),
            "SourceDatasets": [{"URL": raw}],
            "DatasetLinks": {"raw": raw},
        },
    )
    write_text(root / "README.md", f"# {name}\n\nMade by {app.name} {app.version}.\n")
    # A slash behind it would leave the folder itself without a name.
    ignored = (OTHER, *app.bidsignore)
    write_text(root / ".bidsignore", "".join(f"{line}\n" for line in ignored))


def _generated_by(app: App, described: Mapping[str, object]) -> list[object]:
    """Return what made the dataset (BIDS, derived dataset description)."""
    own: dict[str, object] = {"Name": app.name, "Version": app.version}
    if app.image:
        own["Container"] = {"Type": app.runner, "Tag": app.image.rpartition("/")[2]}
    said = described.get("GeneratedBy")
    others = said if isinstance(said, list) else []
    return [own, *(one for one in others if _names(one) != app.name)]


def _names(one: object) -> object:
    return one.get("Name") if isinstance(one, Mapping) else None
