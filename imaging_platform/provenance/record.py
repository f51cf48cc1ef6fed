"""The record that stands in every published tree as ``.record.json``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imaging_platform.files.digests import (
    OUTPUTS_NAME,
    RECORD_NAME,
    digest_files,
    digest_listing,
)
from imaging_platform.files.writing import write_json
from imaging_platform.model.errors import BadInput
from imaging_platform.model.layout import ZONES
from imaging_platform.provenance.software import read_software

EXISTING_DATASET = "existing_dataset"
"""Input of a session that was imported; its value is the content that came in."""

ATTACHMENTS = "attachments"
"""Input of a session to which people brought files."""

APPS = "apps"
"""In the report of a tree: version of each BIDS App whose results it was made from."""


@dataclass(frozen=True)
class Record:
    """
    Where a tree comes from; holds no time and no host, so equal runs are equal.

    Parameters
    ----------
    asset
        Name of the asset without the study.
    partition
        Session key or drop; empty for a tree of the whole study.
    code_version
        Version of the code and of the settings that it depends on.
    inputs
        Data version of each input by asset name.
    tools, tool_digests
        Version, and SHA-256 of the program, of each outside tool by its name.
    parameters
        The settings that it depends on, without identity.
    report
        The stage's report as plain values, without identity.
    data_version
        Content digest of the tree; empty until it is published.
    software
        What made it (`imaging_platform.provenance.software`); empty until then.
    """

    asset: str
    partition: str
    code_version: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    tool_digests: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)  # a section's own shape
    report: Mapping[str, Any] = field(default_factory=dict)  # a stage's own shape
    data_version: str = ""
    software: Mapping[str, Any] = field(default_factory=dict)  # `Software` as JSON

    @property
    def is_imported(self) -> bool:
        """Whether the tree was imported from an existing dataset, not made here."""
        return EXISTING_DATASET in self.inputs

    def app_version(self, asset: str) -> str:
        """Return the version of a BIDS App it was made from; empty for other assets."""
        return self.report.get(APPS, {}).get(asset, "")


def seal_record(tree: Path, record: Record) -> Record:
    """
    Return the record of a complete tree, with what came out and what made it.

    The content digest of each file is written beside, as ``.outputs.json``.
    """
    outputs = digest_files(tree)
    write_json(tree / OUTPUTS_NAME, outputs)
    return dataclasses.replace(
        record,
        data_version=digest_listing(outputs),
        software=dataclasses.asdict(read_software()),
    )


def told_apps(versions: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what a report says of the apps before a tree; nothing without one."""
    return {APPS: dict(versions)} if versions else {}


def write_record(tree: Path, record: Record) -> None:
    """Write `record` into the tree that it describes."""
    write_json(tree / RECORD_NAME, dataclasses.asdict(record))


def read_record(tree: Path) -> Record | None:
    """
    Return the record of a published tree, or None when nothing is published.

    Raises
    ------
    BadInput
        It is damaged, or of a later version.
    """
    try:
        return Record(**json.loads((tree / RECORD_NAME).read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError):
        raise _explain_damage(tree, RECORD_NAME) from None


def read_outputs(tree: Path) -> dict[str, str]:
    """
    Return the content digest of each file of a published tree by its path.

    Empty for a tree that an earlier version published.

    Raises
    ------
    BadInput
        The list is damaged.
    """
    try:
        return json.loads((tree / OUTPUTS_NAME).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError:
        raise _explain_damage(tree, OUTPUTS_NAME) from None


def _explain_damage(tree: Path, name: str) -> BadInput:
    """Return what to tell of a tree that nobody can say what it is."""
    # From the zone on: the folders above the home are nobody's business.
    above = [place for place, part in enumerate(tree.parts) if part in ZONES]
    inside = tree.parts[above[-1] if above else -1 :]
    return BadInput(
        f"{name} of {'/'.join(inside)} is damaged, or of a later version.",
        fix="Put it back from a backup. Or move this folder away, call the same again, "
        "and make the result anew: imaging-platform reprocess --select ASSET:SESSION",
    )
