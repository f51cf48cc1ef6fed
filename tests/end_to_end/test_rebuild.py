"""Dagster's database is gone: the trees say all, and nothing has to run again."""

from __future__ import annotations

import shutil

import pytest

from imaging_platform.model.layout import Home

from .conftest import run_command

pytestmark = pytest.mark.slow


def test_after_the_loss_of_the_database_nothing_has_to_run(demo, tmp_path):
    home = Home(tmp_path / "home")
    shutil.copytree(demo[0].root, home.root, symlinks=True)
    shutil.rmtree(home.dagster)

    rebuilt = run_command(home, "rebuild-index", "--json")
    ran = run_command(home, "process", "--json")
    again = run_command(home, "rebuild-index", "--json")

    assert (rebuilt.exit_code, ran.exit_code) == (0, 0), rebuilt.stderr + ran.stderr
    assert rebuilt.json()[0]["n_sessions"] == 5
    assert ran.json()["runs"] == 0
    assert again.json()[0]["told"] == {}
