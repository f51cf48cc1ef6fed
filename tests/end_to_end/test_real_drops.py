"""Real sessions of several vendors, each into a fresh study with default settings."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from imaging_platform.model import layout
from imaging_platform.model.layout import Home
from imaging_platform.tools.validator import validate_dataset

from .conftest import run_command

pytestmark = pytest.mark.slow

DROPS = {
    "dcm_qa_me": 1,
    "dcm_qa_nih": 2,
    "dcm_qa_philips_dwi": 1,
    "dcm_qa_xa30": 1,
}
"""Sessions in each drop."""


@pytest.fixture(scope="module")
def home(tmp_path_factory, shared_data) -> Home:
    """A home in which each real drop was processed as a study of its own."""
    home = Home(tmp_path_factory.mktemp("real") / "home")
    for study in DROPS:
        run_command(home, "study", "new", study)
        source = shared_data / "dicom" / study
        run_command(home, "ingest", str(source), "--study", study)
    ran = run_command(home, "process", "--json")
    assert ran.exit_code == 0, ran.stdout
    return home


@pytest.mark.parametrize("study", DROPS)
def test_each_session_ends_in_a_report(home, study):
    pages = list((home.root / f"reports/{study}/sessions").glob("*/report.html"))

    assert len(pages) == DROPS[study]
    assert (home.root / layout.study_report(study) / "report.html").is_file()


@pytest.mark.parametrize("study", DROPS)
def test_the_official_validator_finds_no_error(home, study):
    datasets = [home.root / layout.bids_dataset(study)]
    datasets += [
        home.root / layout.derivative_dataset(study, p) for p in layout.PIPELINES
    ]

    errors = {path: validate_dataset(path).errors for path in datasets}

    assert errors == dict.fromkeys(datasets, ())


@pytest.mark.parametrize("study", DROPS)
def test_every_file_of_the_drop_is_accounted_for(home, study, shared_data):
    source = shared_data / "dicom" / study
    arrived = sum(path.is_file() for path in source.rglob("*"))
    zone = home.zone("identified", study)
    lines = [
        json.loads(line)
        for receipt in zone.glob("drops/*/receipt.jsonl")
        for line in receipt.read_text().splitlines()
    ]

    assert len(lines) == arrived
    assert all(line["reason"] for line in lines if line["verdict"] != "accepted")


@pytest.mark.parametrize("study", DROPS)
def test_every_accepted_instance_is_in_a_series_or_was_left_out_for_a_reason(
    home, study
):
    zone = home.zone("identified", study)
    raw = [json.loads(p.read_text()) for p in zone.glob("sessions/*/.record.json")]
    clean = [
        json.loads(p.read_text())
        for p in home.zone("dicom", study).glob("sub-*/.record.json")
    ]
    series = pd.read_parquet(home.root / layout.catalog(study) / "series.parquet")

    gathered = sum(record["report"]["n_instances"] for record in raw)
    kept_back = sum(
        row["n_files"] for record in clean for row in record["report"]["quarantined"]
    )

    assert series.n_instances.sum() + kept_back == gathered
    assert all(series.why)
