"""What BIDS Apps measured stands in the row of its session."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from imaging_platform.catalog.app_metrics import AppResult, gather_columns
from imaging_platform.catalog.collecting import collect_app_results
from imaging_platform.catalog.tables import write_tables
from imaging_platform.provenance.record import Record, write_record

SESSIONS = ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1")


def result(label: str, /, **metrics: float) -> AppResult:
    """Return the result of an app; `__` in a name is the blank after its file."""
    named = {
        name.replace("__", " ").replace("sub_01_ses_2", "sub-01_ses-2"): value
        for name, value in metrics.items()
    }
    return AppResult(
        "mriqc", "24.0.2", label, Record("mriqc", "", "1", report={"metrics": named})
    )


def values(*results: AppResult) -> dict[str, dict[str, float]]:
    return {c.name: c.values for c in gather_columns(results, SESSIONS)}


def test_a_number_of_a_session_is_in_its_row_only():
    found = values(
        result("sub-01_ses-1", T1w__cjv=0.4), result("sub-02_ses-1", T1w__cjv=0.5)
    )

    assert found == {"mriqc.T1w_cjv": {"sub-01_ses-1": 0.4, "sub-02_ses-1": 0.5}}


def test_a_number_of_a_subject_is_in_the_row_of_each_of_its_sessions():
    found = values(result("sub-01", volumes__hippocampus=3.5))

    assert found == {
        "mriqc.volumes_hippocampus": {"sub-01_ses-1": 3.5, "sub-01_ses-2": 3.5}
    }


def test_a_number_of_the_study_is_in_the_row_that_its_file_names():
    found = values(result("", sub_01_ses_2_T1w__cjv=0.4, all__sessions=3))

    assert found == {"mriqc.T1w_cjv": {"sub-01_ses-2": 0.4}}


def test_the_table_of_sessions_has_the_columns_and_a_dictionary_of_them(tmp_path):
    records = {
        ("bids_session", key): Record("bids_session", key, "1", report={"series": []})
        for key in SESSIONS
    }
    columns = gather_columns([result("sub-01_ses-1", T1w__cjv=0.4)], SESSIONS)

    write_tables(records, tmp_path, ratings={}, apps=columns)

    table = pq.read_table(tmp_path / "sessions.parquet")
    assert table.column("mriqc.T1w_cjv").to_pylist() == [0.4, None, None]
    assert json.loads((tmp_path / "sessions.json").read_text()) == {
        "mriqc.T1w_cjv": {
            "Description": "cjv of T1w, as mriqc 24.0.2 has it.",
            "App": "mriqc",
            "AppVersion": "24.0.2",
            "File": "T1w",
            "Metric": "cjv",
        }
    }


def test_without_an_app_there_is_no_dictionary(tmp_path):
    write_tables({}, tmp_path, ratings={})

    assert not (tmp_path / "sessions.json").exists()


def test_results_of_an_app_are_found_at_each_level_in_its_current_version(tmp_path):
    derivatives = tmp_path / "derivatives" / "demo"
    places = ("seen-2/sub-01/ses-1", "seen-2/sub-02", "whole-1", "seen-1/sub-01/ses-1")
    for place in places:
        (derivatives / place).mkdir(parents=True, exist_ok=True)
        write_record(derivatives / place, Record(place, "", "1"))

    found = collect_app_results(Path(tmp_path), "demo", {"seen": "2", "whole": "1"})

    assert [(each.app, each.label) for each in found] == [
        ("seen", "sub-02"),
        ("seen", "sub-01_ses-1"),
        ("whole", ""),
    ]
