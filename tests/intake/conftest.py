from __future__ import annotations

from pathlib import Path

import pytest

from tests.intake.drops import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty inbox and an empty identified zone."""
    return Site(tmp_path / "inbox", tmp_path / "zone")
