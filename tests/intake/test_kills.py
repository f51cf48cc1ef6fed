"""Killed at any moment, the intake loses nothing and counts nothing twice."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from imaging_platform.files.digests import digest_bytes
from imaging_platform.intake.zone import drop_folders
from tests.intake.drops import Site
from tests.intake.kills import FILES_A_DROP, files_of

N_KILLS = 50


@pytest.mark.slow
def test_killed_at_fifty_random_moments_every_file_is_there_exactly_once(
    tmp_path: Path,
):
    done = subprocess.run(
        [sys.executable, "-m", "tests.intake.kills", str(tmp_path), str(N_KILLS)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > N_KILLS // 2, "most were to be killed before their end"
    site = Site(tmp_path / "inbox", tmp_path / "zone")
    sent = [data for number in range(N_KILLS + 1) for data in files_of(number).values()]
    wanted = Counter(digest_bytes(data) for data in sent)
    accepted = Counter(
        line.sha256
        for drop in drop_folders(site.zone)
        for line in site.receipt(drop.drop_id)
        if line.verdict == "accepted"
    )
    assert set(wanted.values()) == {1}
    assert accepted == wanted
    assert Counter(row.sha256 for row in site.rows()) == wanted
    assert site.stored() == set(sent)
    assert list(site.inbox.iterdir()) == []
    assert list((site.zone / "incoming").iterdir()) == []
    for drop in drop_folders(site.zone):
        assert len(site.receipt(drop.drop_id)) == FILES_A_DROP
