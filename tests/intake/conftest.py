from __future__ import annotations

from pathlib import Path

import pytest

from imaging_platform.dicom.structure import StructureLimits
from imaging_platform.intake.examination import Examined
from tests.intake.drops import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty inbox and an empty identified zone."""
    return Site(tmp_path / "inbox", tmp_path / "zone")


@pytest.fixture
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and unpack in the test's own process: for hundreds of drops, or kills."""
    from imaging_platform.files.unpacking import unpack_archive
    from imaging_platform.intake import claims, examination

    def examine_here(paths: list[Path], limits: StructureLimits) -> list[Examined]:
        return [examination._examine(path, limits) for path in paths]

    monkeypatch.setattr(examination, "_examine_apart", examine_here)
    monkeypatch.setattr(claims, "unpack_apart", unpack_archive)
