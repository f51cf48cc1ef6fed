"""A lab begins with a BIDS dataset: the import runs to the end like any session."""

from __future__ import annotations

import json
import shutil

import pytest

from imaging_platform.cli.studies import create_study
from imaging_platform.model import layout
from imaging_platform.model.layout import Home

from .conftest import run_command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(demo, tmp_path_factory) -> tuple[Home, dict[str, str]]:
    """A home into which one session of the demo's dataset was imported."""
    folder = tmp_path_factory.mktemp("lab")
    source = demo[0].root / layout.bids_dataset("demo")
    session = next(iter(sorted(source.glob("sub-*/ses-*"))))
    shutil.copytree(session, folder / "dataset" / session.relative_to(source))
    shutil.copy(source / "dataset_description.json", folder / "dataset")
    home = Home(folder / "home")
    create_study(home, "lab")
    ran = run_command(home, "import-bids", "lab", str(folder / "dataset"), "--json")
    assert ran.exit_code == 0, ran.stdout + ran.stderr
    return home, ran.json()["sessions"]


def test_an_imported_session_runs_to_its_report_and_is_then_up_to_date(lab):
    home, sessions = lab

    ran = run_command(home, "process", "--study", "lab", "--json")
    again = run_command(home, "process", "--study", "lab", "--json")
    status = run_command(home, "status", "--study", "lab", "--json").json()[0]

    assert ran.exit_code == 0, ran.stdout + ran.stderr
    assert again.json()["runs"] == 0
    assert status["n_sessions"] == len(sessions) == 1
    assert status["outstanding"] == []
    assert status["held"] == []
    (key,) = sessions
    assert (home.root / "reports/lab/sessions" / key / "report.html").is_file()
    validation = home.root / layout.dataset_index("lab") / "validation_bids.json"
    assert json.loads(validation.read_text())["errors"] == []
