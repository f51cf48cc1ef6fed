from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from imaging_platform.reporting import session_function as function
from imaging_platform.reporting import session_pictures as pictures
from imaging_platform.reporting import session_sections as sections
from imaging_platform.reporting.notebook import ExecutedNotebook
from imaging_platform.reporting.page import LIMIT_BYTES
from imaging_platform.reporting.session_inputs import SessionInputs
from tests.reporting.conftest import TEMPLATES, execute_session
from tests.reporting.published_session import SCAN, write_image, write_session

Report = tuple[ExecutedNotebook, Path]

LOADED = re.compile(r"""(?:src|href|url\(|@import)[\s="'(]*https?://""", re.IGNORECASE)


@pytest.fixture
def inputs(
    session_trees: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SessionInputs:
    """A copy of the trees that a test may change; results go to its own folder."""
    shutil.copytree(next(iter(session_trees.values())).parent, tmp_path / "inputs")
    monkeypatch.chdir(tmp_path)
    return SessionInputs(tmp_path / "inputs")


@pytest.mark.parametrize("name", ["session_report.ipynb", "study_report.ipynb"])
def test_a_template_holds_no_output(name):
    text = (TEMPLATES / name).read_text()

    assert '"outputs": []' in text
    assert '"output_type"' not in text
    assert '"execution_count": null' in text
    assert not re.search(r'"execution_count": \d', text)


def test_the_session_report_is_the_same_twice(session_report, session_trees, tmp_path):
    _, target = session_report

    execute_session(session_trees, tmp_path)

    for name in ("report.ipynb", "report.html", "results.json"):
        assert (tmp_path / name).read_bytes() == (target / name).read_bytes()


def test_the_session_report_stands_alone(session_report: Report):
    executed, target = session_report
    page = (target / "report.html").read_text()

    assert not LOADED.search(page)
    assert page.count("<script") == 1
    assert "default-src 'none'" in page
    assert "script-src 'sha256-" in page
    assert executed.page_bytes < LIMIT_BYTES


def test_the_session_report_names_no_place(session_report: Report, session_trees):
    _, target = session_report
    text = (target / "report.html").read_text() + (target / "report.ipynb").read_text()

    for place in (tempfile.gettempdir(), str(Path.home()), str(TEMPLATES.parent)):
        assert place + "/" not in text
    assert str(session_trees["motion"]) not in text


def test_the_session_report_says_verdict_and_reason(session_report: Report):
    executed, target = session_report
    page = (target / "report.html").read_text()

    assert executed.results["verdict"] == "look"
    assert executed.results["n_series_not_converted"] == 3
    assert 'class="verdict look"' in page
    assert "task-rest_bold: FD above 0.3 mm" in page
    assert page.count("<figure class=") == 7


def test_text_of_a_series_cannot_become_markup(session_report: Report):
    _, target = session_report
    page = (target / "report.html").read_text()

    assert "alert(1)" in page
    assert "<script>alert" not in page


def test_an_empty_session_is_told_in_sentences(tmp_path):
    executed = execute_session({}, tmp_path)

    page = (tmp_path / "report.html").read_text()
    for said in (
        "has not been judged",
        "was not converted here",
        "has no T1w image",
        "has no BOLD run",
        "has no diffusion run",
        "No quality metric",
        "not published",
    ):
        assert said in page
    assert executed.results == {"verdict": "none", "n_series_incomplete": 0}


def test_a_head_is_not_shown_without_mask_and_defacing(inputs):
    shutil.rmtree(inputs.root / "brain_mask")
    shutil.rmtree(inputs.root / "defaced_t1w")

    shown = pictures.show_anatomy(inputs).markup

    assert "<img" not in shown
    assert "could show the face" in shown


def test_a_mask_on_another_grid_is_said_and_not_drawn(inputs):
    path = inputs.root / f"brain_mask/anat/{SCAN}_desc-brain_mask.nii.gz"
    write_image(path, np.ones((8, 8, 8), dtype=np.uint8))

    shown = pictures.show_anatomy(inputs).markup

    assert "another grid" in shown
    assert shown.count("<img") == 3


def test_a_run_without_motion_shows_its_maps_and_says_so(inputs):
    shutil.rmtree(inputs.root / "motion")

    shown = function.show_bold(inputs).markup

    assert shown.count("<img") == 1
    assert "has not been estimated" in shown


def test_a_run_of_two_volumes_is_drawn(inputs):
    path = inputs.root / f"motion/func/{SCAN}_task-rest_desc-motion_timeseries.tsv"
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    bold = np.ones((24, 28, 16, 2), dtype=np.float32)
    write_image(inputs.root / f"bids_session/func/{SCAN}_task-rest_bold.nii.gz", bold)

    shown = function.show_bold(inputs).markup

    assert shown.count("<img") == 2


@pytest.mark.slow
def test_eight_runs_of_noise_stay_below_the_limit_of_a_page(tmp_path):
    trees = write_session(tmp_path / "published", volumes=200)
    for tree in ("bids_session", "motion", "temporal_snr"):
        for path in list((trees[tree] / "func").iterdir()):
            for run in range(1, 9):
                name = path.name.replace("task-rest", f"task-rest_run-{run}")
                shutil.copy(path, path.with_name(name))
            path.unlink()

    executed = execute_session(trees, tmp_path / "out")

    assert executed.page_bytes < LIMIT_BYTES


def test_the_worst_metric_stands_first(inputs):
    shown = sections.show_metrics(inputs).markup

    assert shown.index("FD mean") < shown.index("CJV")
    assert "1 more metrics without a threshold" in shown


def test_every_series_has_its_outcome_in_words(inputs):
    shown = sections.show_series(inputs).markup

    for outcome in ("excluded", "converted", "unknown"):
        assert outcome in shown


def test_the_report_names_the_slices_that_did_not_arrive(session_report: Report):
    _, target = session_report
    page = (target / "report.html").read_text()
    results = json.loads((target / "results.json").read_text())

    assert "11 of 12 images of an acquisition came." in page
    assert "slice at -12.5 mm of volume 3" in page
    assert "Send the missing images again" in page
    assert results["n_series_incomplete"] == 1


def test_files_of_a_series_are_counted_by_what_became_of_them(inputs):
    shown = sections.show_series(inputs).markup

    assert re.search(r"converted</span> 11<br>.*incomplete</span> 2\b", shown)
    assert "1.2.840" not in shown


def test_the_page_says_what_was_kept_back_and_how_to_release_it(session_report: Report):
    _, target = session_report
    page = (target / "report.html").read_text()

    for said in (
        "guard: no identifier found",
        "Of 406 files 400 were written",
        "5 stay in the identified zone, 1 came twice",
        "text is burned into the pixels",
        "0007-5e6f7a8b",
        f"imaging-platform release demo {SCAN} --series SERIES",
        "In 10 files rectangles of pixels were blackened",
        "10 files were let through by a person",
        "113100",
    ):
        assert said in page


def test_a_session_that_is_not_proved_is_shown_as_such(inputs):
    record = inputs.root / "anonymized_dicom" / ".record.json"
    record.write_text(record.read_text().replace('"proved": true', '"proved": false'))

    shown = sections.show_deidentification(inputs).markup

    assert "not proved" in shown
    assert "none was found" not in shown


def test_nothing_can_be_released_so_no_command_is_shown(inputs):
    record = inputs.root / "anonymized_dicom" / ".record.json"
    text = record.read_text()
    record.write_text(
        text.replace('"can_be_released": true', '"can_be_released": false')
    )

    shown = sections.show_deidentification(inputs).markup

    assert "Kept back" in shown
    assert "imaging-platform release" not in shown


def test_what_the_scanner_evened_out_is_shown_first(inputs: SessionInputs):
    anatomy = inputs.root / "bids_session" / "anat"
    (plain,) = anatomy.glob("*_T1w.nii.gz")
    for twin in ("rec-nonorm", "rec-norm"):
        shutil.copy(plain, anatomy / f"{SCAN}_{twin}_T1w.nii.gz")
    plain.unlink()

    shown = [path.name for path in inputs.find_t1w()]

    assert shown == [f"{SCAN}_rec-norm_T1w.nii.gz", f"{SCAN}_rec-nonorm_T1w.nii.gz"]
