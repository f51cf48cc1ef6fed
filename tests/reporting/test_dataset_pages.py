"""Any BIDS dataset has its pages, with sessions or without, whole or broken."""

from __future__ import annotations

import json
import shutil

import pytest

from imaging_platform.model.errors import MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.reporting.dataset_pages import find_sessions, write_pages
from tests.reporting.published_session import write_session


@pytest.fixture
def dataset(tmp_path):
    """Two subjects without sessions, of which one has derivatives."""
    trees = write_session(tmp_path / "published")
    top = tmp_path / "dataset"
    for subject in ("sub-01", "sub-02"):
        shutil.copytree(trees["bids_session"], top / subject)
    about = {"Name": "A dataset", "BIDSVersion": "1.10.0"}
    (top / "dataset_description.json").write_text(json.dumps(about))
    # Known by its files: another program gives other names.
    other = top / "derivatives" / "other-program-1.0"
    shutil.copytree(trees["brain_mask"], other / "sub-01")
    for name in ("motion", "temporal_snr"):
        shutil.copytree(trees[name], top / "derivatives" / name / "sub-01")
    quality = top / "derivatives" / "quality" / "sub-01_ses-none"
    shutil.copytree(trees["session_quality"], quality)
    return top


def test_a_subject_without_sessions_is_one_visit(dataset):
    (dataset / "sub-03" / "ses-b").mkdir(parents=True)

    found = find_sessions(dataset)

    assert found[SessionKey("01", "none")] == dataset / "sub-01"
    assert found[SessionKey("03", "b")] == dataset / "sub-03" / "ses-b"


@pytest.mark.parametrize("missing", ["sub-*", "dataset_description.json"])
def test_a_folder_that_is_no_dataset_is_refused(dataset, missing):
    for path in dataset.glob(missing):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    with pytest.raises(MissingInput, match="no BIDS dataset") as caught:
        find_sessions(dataset)

    assert "top folder" in caught.value.fix


@pytest.mark.slow
def test_each_session_has_a_page_and_a_broken_one_is_named(dataset, tmp_path):
    for scan in (dataset / "sub-02" / "dwi").iterdir():
        scan.write_bytes(b"\x1f\x8b broken")
    (dataset / "derivatives/diffusion_maps/sub-02/dwi").mkdir(parents=True)
    broken = dataset / "derivatives/diffusion_maps/sub-02/dwi/sub-02_FA.nii.gz"
    broken.write_bytes(b"\x1f\x8b broken")

    pages = write_pages(dataset, tmp_path / "out")

    assert list(pages.sessions) == ["sub-01_ses-none"]
    assert list(pages.failed) == ["sub-02_ses-none"]
    page = (tmp_path / "out" / pages.sessions["sub-01_ses-none"]).read_text()
    assert "<h1>Session 01</h1>" in page
    assert 'class="viewer"' in page
    study = (tmp_path / "out" / pages.study).read_text()
    assert "<h1>A dataset</h1>" in study
    assert "../sessions/sub-01_ses-none/report.html" in study
    assert "FD mean" in study
