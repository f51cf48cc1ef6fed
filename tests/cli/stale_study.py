"""A study whose only session has a brain mask of other code and nothing else."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from imaging_platform.cli.studies import create_study
from imaging_platform.model.layout import Home
from imaging_platform.settings import enter_home

KEY = "sub-01_ses-1"


def enter_stale_study(folder: Path, patched: pytest.MonkeyPatch) -> Home:
    """Make the study below a folder, and its home the one that commands find."""
    home = Home(folder / "home")
    create_study(home, "demo")
    patched.setenv("IMAGING_HOME", str(home.root))
    patched.setenv("DAGSTER_HOME", str(home.dagster))
    enter_home(home)
    with dg.DagsterInstance.get() as instance:
        _tell(instance, "drop_index", "drop-0000000000000000", sessions={KEY: "d"})
        _tell(instance, "brain_mask", KEY, inputs={})
    return home


def _tell(
    instance: dg.DagsterInstance, asset: str, partition: str, **told: object
) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=["demo", asset],
            partition=partition,
            metadata={name: dg.MetadataValue.json(v) for name, v in told.items()},
            tags={"dagster/code_version": "0", "dagster/data_version": "v"},
        )
    )
