"""Where notebooks and what is left of them stand, and whose they are."""

from __future__ import annotations

from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey


def test_pages_of_a_session_and_of_its_subject_are_found_and_no_others(tmp_path):
    reports = tmp_path / "reports" / "demo"
    for page in (
        "notebooks/drift/sub-01_ses-1",
        "notebooks/drift/sub-01_ses-2",
        "notebooks/cohort/sub-01",
        "notebooks/cohort/sub-011",
        "notebooks/cohort/study",
        "partial/session_report/sub-01_ses-1",
        "sessions/sub-01_ses-1",
    ):
        (reports / page).mkdir(parents=True)

    found = layout.session_pages(tmp_path, "demo", SessionKey("01", "1"))

    assert found == [
        "reports/demo/notebooks/cohort/sub-01",
        "reports/demo/notebooks/drift/sub-01_ses-1",
        "reports/demo/partial/session_report/sub-01_ses-1",
    ]


def test_a_notebook_is_found_by_its_place_and_stands_where_it_is_found():
    for partition in ("sub-01_ses-1", "sub-01", ""):
        key = layout.tree_key("demo", "drift_notebook", partition)

        assert layout.find_tree(f"{key}/report.html") == (
            "demo",
            "drift_notebook",
            partition,
        )


def test_a_page_of_a_session_is_guarded_by_its_deidentification():
    session = layout.notebook("demo", "drift_notebook", "sub-01_ses-1")
    partial = layout.partial_report("demo", "drift_notebook", "sub-01_ses-1")

    assert layout.guarding(session) == "dicom/demo/sub-01_ses-1"
    assert layout.guarding(partial) == "dicom/demo/sub-01_ses-1"
    assert layout.guarding(layout.notebook("demo", "drift_notebook")) == ""
