from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bids import BIDSLayout
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.model.errors import MissingInput
from imaging_platform.reporting import study_comparison as comparison
from imaging_platform.reporting import study_sections as sections
from imaging_platform.reporting import study_variants as acquisition
from imaging_platform.reporting.notebook import ExecutedNotebook, execute_notebook
from imaging_platform.reporting.study_charts import make_axis, read_limits
from imaging_platform.reporting.study_inputs import StudyTables, read_study, robust_z
from tests.reporting.conftest import TEMPLATES
from tests.reporting.published_session import write_image
from tests.reporting.published_study import DEVIATING, MOVED, write_catalog

Report = tuple[ExecutedNotebook, Path]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyTables:
    monkeypatch.chdir(tmp_path)
    return read_study(write_catalog(tmp_path, sessions=12))


def test_the_study_report_stands_alone(study_report: Report):
    _, target = study_report
    page = (target / "report.html").read_text()

    assert not re.search(r"""(?:src|href|url\()[\s="'(]*https?://""", page)
    assert "<script" not in page


def test_each_session_is_linked_by_a_relative_address(study_report: Report):
    _, target = study_report
    page = (target / "report.html").read_text()

    assert f'href="../sessions/{MOVED}/report.html"' in page
    assert not re.search(r'href="/', page)


def test_the_study_report_counts_verdicts(study_report: Report):
    executed, _ = study_report

    assert executed.results["n_sessions"] == 12
    assert executed.results["n_fail"] == 1
    assert executed.results["n_pass"] == 11
    assert executed.results["n_missing_scans"] == 1


def test_the_session_that_moved_is_an_outlier_with_sign_and_name(tables):
    heat = comparison.show_heat_map(tables).markup
    strips = comparison.show_distributions(tables).markup

    first_row = heat.split("<tbody>")[1].split("</tr>")[0]
    assert "003/1" in first_row
    assert "▲" in first_row
    assert "▼" in first_row
    assert f"{MOVED}: 1.2 mm" in strips


def test_numbers_of_apps_are_strips_of_their_own_and_are_not_judged(tmp_path):
    path = write_catalog(tmp_path, sessions=6) / "sessions.parquet"
    table = pq.read_table(path)
    values = pa.array([0.4, None, 0.42, 0.41, 0.43, 0.39], pa.float64())
    pq.write_table(table.append_column("mriqc.T1w_cjv", values), path)

    tables = read_study(tmp_path)
    shown = comparison.show_distributions(tables).markup

    (measure,) = tables.app_measures
    assert len(measure.values) == 5
    assert "mriqc" not in {each.scan for each in tables.measures}
    assert "T1w CJV</b><br>mriqc" in shown.split("Measured by BIDS Apps")[1]


def test_a_value_that_could_not_be_measured_leaves_a_gap(tables):
    measure = next(m for m in tables.measures if m.metric == "aor")

    assert MOVED not in measure.values
    assert len(measure.values) == 11


def test_a_missing_scan_is_said_in_a_word(tables):
    shown = sections.show_completeness(tables).markup

    assert shown.count("missing") == 1


def test_failed_sessions_are_listed_with_escaped_reasons(tables):
    shown = sections.show_exclusions(tables).markup

    assert MOVED in shown
    assert "FD &lt;b&gt;above&lt;/b&gt; 0.5 mm" in shown


@pytest.mark.parametrize("sessions", [1, 3])
def test_a_study_of_few_sessions_is_shown_without_comparison(
    tmp_path, monkeypatch, sessions
):
    monkeypatch.chdir(tmp_path)
    tables = read_study(write_catalog(tmp_path, sessions=sessions))

    assert "needs 4 sessions" in comparison.show_heat_map(tables).markup
    assert "<svg" in comparison.show_distributions(tables).markup
    assert "<svg" in comparison.show_movement(tables).markup


def test_two_hundred_sessions_stay_a_small_page(tmp_path):
    catalog = write_catalog(tmp_path, sessions=200)

    executed = execute_notebook(
        TEMPLATES / "study_report.ipynb",
        tmp_path / "out",
        inputs={"catalog": catalog},
        parameters={"study": "demo"},
    )

    assert executed.page_bytes < 500_000


def test_an_empty_catalog_names_what_is_missing(tmp_path):
    with pytest.raises(MissingInput, match="no table of sessions") as caught:
        read_study(tmp_path)

    assert "Materialize catalog" in caught.value.fix


def test_a_dataset_without_index_is_told_in_a_sentence(tmp_path):
    assert "no pybids index yet" in sections.show_dataset(tmp_path).markup


def test_a_dataset_is_counted_by_its_index_and_shows_what_the_validator_said(tmp_path):
    dataset, inputs = tmp_path / "bids", tmp_path / "inputs"
    write_image(
        dataset / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_T1w.nii.gz",
        np.zeros((2, 2, 2), dtype=np.uint8),
    )
    description = {"Name": "Demo", "BIDSVersion": "1.10.0"}
    (dataset / "dataset_description.json").write_text(json.dumps(description))
    index = inputs / "bids_dataset"
    index.mkdir(parents=True)
    BIDSLayout(dataset, validate=False, database_path=index / "layout.db")
    found = {"files": 2, "errors": [["X", "/a", "b"]], "warnings": ["NO_README"]}
    (index / "validation_bids.json").write_text(json.dumps(found))

    shown = sections.show_dataset(inputs).markup

    assert "<td>anat</td>" in shown
    assert "1 error" in shown
    assert "NO_README" in shown


def test_an_index_of_a_dataset_that_moved_is_told_in_a_sentence(tmp_path):
    dataset = tmp_path / "bids"
    dataset.mkdir()
    description = {"Name": "Demo", "BIDSVersion": "1.10.0"}
    (dataset / "dataset_description.json").write_text(json.dumps(description))
    BIDSLayout(dataset, validate=False, database_path=tmp_path / "layout.db")
    dataset.rename(tmp_path / "elsewhere")

    assert "not where it was indexed" in sections.show_dataset(tmp_path).markup


values = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3)),
    min_size=4,
    max_size=30,
)


@given(values, st.floats(0.1, 100), st.floats(-1e3, 1e3))
def test_a_robust_z_does_not_depend_on_unit_or_origin(numbers, scale, shift):
    named = {str(n): value for n, value in enumerate(numbers)}
    moved = {key: value * scale + shift for key, value in named.items()}

    before, after = robust_z(named), robust_z(moved)

    spread = max(numbers) - min(numbers)
    for key, z in before.items():
        if spread > 1e-2:
            assert after[key] == pytest.approx(z, rel=1e-3, abs=1e-3)


def test_values_that_are_all_equal_have_no_outlier():
    assert set(robust_z(dict.fromkeys("abcde", 2.0)).values()) == {0.0}


def test_one_value_among_equal_ones_is_an_outlier():
    assert robust_z({**dict.fromkeys("abcdefgh", 2.0), "far": 9.0})["far"] > 3.5


@given(st.lists(st.floats(-1e9, 1e9, allow_nan=False), max_size=20))
def test_an_axis_holds_every_value_and_a_few_ticks(numbers):
    axis = make_axis(numbers, 10, 330)

    assert all(10 <= axis.place(value) <= 330 for value in numbers)
    assert all(axis.low <= value <= axis.high for value in numbers)
    assert 1 <= len(axis.ticks) <= 9


def test_limits_are_read_from_the_words_of_a_threshold():
    assert read_limits("look above 0.3, fail above 5e-1") == [0.3, 0.5]
    assert read_limits("") == []


def test_a_scan_that_was_acquired_otherwise_is_named_with_both_values(tables):
    shown = acquisition.show_acquisition(tables).markup

    first_row = shown.split("<tbody>")[1].split("</tr>")[0]
    assert f'href="../sessions/{DEVIATING}/report.html"' in first_row
    assert "task-rest bold" in first_row
    assert first_row.index("0.035 s") < first_row.index("0.03 s")
    assert "majority" in first_row


def test_the_study_report_counts_variants_and_sessions_that_deviate(
    study_report: Report,
):
    executed, target = study_report

    assert executed.results["n_variants"] == 3
    assert executed.results["n_deviating_sessions"] == 2
    assert "How scans were acquired" in (target / "report.html").read_text()


def test_a_kind_that_is_always_acquired_alike_is_folded_away(tables):
    shown = acquisition.show_acquisition(tables).markup

    open_part, folded = shown.split("<details", 1)
    assert "T1w" not in open_part
    assert "T1w" in folded
    assert "11 sessions" in open_part


def test_without_deviations_the_report_says_so(tables):
    none = replace(tables, deviations=())

    assert (
        "Every scan is as the protocol says"
        in acquisition.show_acquisition(none).markup
    )


def test_a_catalog_of_before_has_no_acquisition(tables):
    old = replace(tables, variants=(), deviations=())

    assert "Nothing is known" in acquisition.show_acquisition(old).markup
