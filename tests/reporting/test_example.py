"""The example of an analysis finds the network that is planted in its cohort."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from imaging_platform.bids.layout_index import DATABASE, build_index
from imaging_platform.reporting.front_matter import read_front_matter
from imaging_platform.reporting.notebook import execute_notebook

EXAMPLE = (
    Path(__file__).parents[2] / "notebooks" / "examples" / "seed_correlation.ipynb"
)
NEEDS = ("bids_session", "brain_mask", "motion", "temporal_snr")
NETWORK_MM = ((0, -52, 26), (0, 52, 2), (-46, -66, 30), (48, -62, 30))
AFFINE = np.array([[5, 0, 0, -75], [0, 5, 0, -110], [0, 0, 5, -60], [0, 0, 0, 1.0]])
SHAPE = (31, 40, 28)


def test_the_example_is_a_notebook_of_a_study():
    front = read_front_matter(EXAMPLE, NEEDS, ("bids_dataset",))

    assert front.level == "study"
    assert front.limits == {"mean_r_partners": "> 0.05"}


@pytest.mark.slow
def test_the_planted_network_is_found_over_the_cohort(tmp_path):
    for subject in ("01", "02", "03"):
        write_subject(tmp_path, subject)
    about = {"Name": "Cohort", "BIDSVersion": "1.10.0"}
    (tmp_path / "bids_session/dataset_description.json").write_text(json.dumps(about))
    build_index(tmp_path / "bids_session", tmp_path / "index" / DATABASE)
    inputs = {name: entries(tmp_path / name) for name in NEEDS}

    executed = execute_notebook(
        EXAMPLE,
        tmp_path / "out",
        inputs={**inputs, "bids_dataset": tmp_path / "index"},
        parameters={},
    )

    assert executed.results["n_runs"] == executed.results["n_subjects"] == 3
    assert executed.results["mean_r_partners"] > 0.25
    assert (tmp_path / "out/outputs/seed_correlation.npz").is_file()


def entries(folder: Path) -> dict[str, Path]:
    """Return a dataset as the asset gives it: its own files and each session."""
    found = [p for p in folder.iterdir() if p.is_file()]
    found += sorted(folder.glob("sub-*/ses-*"))
    return {path.relative_to(folder).as_posix(): path for path in found}


def write_subject(root: Path, subject: str) -> None:
    place = f"sub-{subject}/ses-1"
    stem = f"sub-{subject}_ses-1"
    random = np.random.default_rng(int(subject))
    voxels = np.indices(SHAPE).reshape(3, -1).T @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    brain = (np.abs(voxels / (68, 90, 60)) ** 2).sum(axis=1) < 1
    course, common = random.normal(0, 12, 60), random.normal(0, 8, 60)
    series = brain[:, None] * (800 + common) + random.normal(0, 4, (len(voxels), 60))
    for centre in NETWORK_MM:
        series[np.linalg.norm(voxels - centre, axis=1) < 12] += course
    run = series.reshape(*SHAPE, 60).astype(np.float32)
    for tree, name, data in (
        ("bids_session", f"func/{stem}_task-rest_bold", run),
        ("motion", f"func/{stem}_task-rest_desc-realigned_bold", run),
        ("temporal_snr", f"func/{stem}_task-rest_desc-mean_sbref", run.mean(axis=3)),
    ):
        path = root / tree / place / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, AFFINE), path)
    sidecar = root / "brain_mask" / place / f"anat/{stem}_desc-brain_mask.json"
    sidecar.parent.mkdir(parents=True)
    way = {"AffineToMNI152NLin2009aSym": np.eye(4).tolist()}
    sidecar.write_text(json.dumps(way))
