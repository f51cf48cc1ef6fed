"""A network is found where one was planted, and nowhere else."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from imaging_platform.reporting.network import PCC_MNI_MM, find_seed, map_seed
from imaging_platform.reporting.session_fields import shares_of_shell
from imaging_platform.reporting.session_inputs import SessionInputs
from tests.reporting.published_session import ellipsoid

SHAPE = (24, 28, 18)
MASK = ellipsoid((0.45, 0.45, 0.45), shape=SHAPE)


def box(*corner: int) -> np.ndarray:
    found = np.zeros(SHAPE, dtype=bool)
    x, y, z = corner
    found[x : x + 4, y : y + 4, z : z + 4] = True
    return found


SEED, PARTNER, OTHER = box(10, 6, 9), box(10, 18, 9), box(4, 12, 8)


def write_run(path, volumes=120):
    random = np.random.default_rng(4)
    course, other = random.normal(0, 8, volumes), random.normal(0, 8, volumes)
    common = random.normal(0, 8, volumes)
    series = MASK[..., None] * (800 + common) + random.normal(0, 5, (*SHAPE, volumes))
    series[SEED | PARTNER] += course
    series[OTHER] += other
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    nib.save(nib.Nifti1Image(series.astype(np.float32), affine), path)
    return path


def test_the_planted_partner_of_a_seed_correlates_and_another_place_does_not(tmp_path):
    found = map_seed(write_run(tmp_path / "bold.nii.gz"), MASK, SEED)

    assert found[PARTNER & MASK].mean() > 0.8
    assert abs(found[OTHER & MASK].mean()) < 0.3
    assert (found[~MASK] == 0).all()


def test_a_run_too_short_or_a_seed_outside_has_no_network(tmp_path):
    short = write_run(tmp_path / "short.nii.gz", volumes=10)

    assert map_seed(short, MASK, SEED) is None
    assert map_seed(write_run(tmp_path / "long.nii.gz"), MASK, ~MASK) is None


def test_the_seed_lies_at_its_place_in_the_template(tmp_path):
    run = tmp_path / "bold.nii.gz"
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = (-36, -80, 0)
    nib.save(nib.Nifti1Image(np.zeros((*SHAPE, 2), np.float32), affine), run)
    way = np.eye(4)
    way[:3, 3] = (0, 0, 5)
    sidecar = tmp_path / "brain_mask/anat/sub-01_ses-1_desc-brain_mask.json"
    sidecar.parent.mkdir(parents=True)
    sidecar.write_text(json.dumps({"AffineToMNI152NLin2009aSym": way.tolist()}))

    seed = find_seed(SessionInputs(tmp_path), run)

    centre = (np.argwhere(seed) @ affine[:3, :3] + affine[:3, 3]).mean(axis=0)
    assert way[:3, 3] + centre == pytest.approx(PCC_MNI_MM, abs=1)


def test_a_slice_that_lost_its_signal_stands_out_and_no_other():
    data = np.full((10, 10, 6, 8), 100, dtype=np.float32)
    b_values = np.array([0, 1000, 1000, 1005, 0, 1000, 1000, 1000], dtype=float)
    data[..., b_values > 0] = 40
    data[:, :, 2, 3] = 10

    share = shares_of_shell(data, np.ones((10, 10, 6), dtype=bool), b_values)

    assert share[2, 3] == pytest.approx(0.25)
    share[2, 3] = 1
    assert share == pytest.approx(1)
