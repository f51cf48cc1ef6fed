from __future__ import annotations

from pathlib import Path

import pytest

from tests.intake.hostile import DROPS
from tests.intake.limited import Outcome, take_in_apart

MOST_S = 60
MOST_BYTES = 1 << 30


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What became of each drop, in one process that survived them all."""
    home = tmp_path_factory.mktemp("home")
    sites = [home / str(number) for number in range(len(DROPS))]
    for site, drop in zip(sites, DROPS.values(), strict=True):
        drop.send(site / "inbox", "drop")
    return dict(zip(DROPS, take_in_apart(*sites), strict=True))


@pytest.mark.parametrize("name", DROPS)
def test_a_hostile_drop_gets_its_verdict(name: str, outcomes: dict[str, Outcome]):
    drop, outcome = DROPS[name], outcomes[name]

    assert outcome.problem == ""
    assert (outcome.verdicts, outcome.reasons) == (drop.verdicts, drop.reasons)
    assert outcome.n_files == sum(drop.verdicts.values())
    assert outcome.wall_s < MOST_S
    assert outcome.peak_bytes < MOST_BYTES
