import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.derivatives.images import read_image
from imaging_platform.derivatives.motion import write_motion
from imaging_platform.derivatives.realignment import (
    estimate_motion,
    framewise_displacement,
    matrix_of,
    parameters_of,
    realign,
)
from imaging_platform.derivatives.temporal_snr import temporal_snr, write_temporal_snr
from imaging_platform.model.errors import BadInput, MissingInput
from tests.derivatives.conftest import files_of, move_head, write_bold

small = st.floats(-0.5, 0.5, allow_nan=False)


@given(st.lists(small, min_size=6, max_size=6))
def test_six_numbers_survive_the_way_through_a_matrix(numbers):
    row = np.array(numbers)

    assert np.allclose(parameters_of(matrix_of(row)), row, atol=1e-9)


@given(st.lists(small, min_size=6, max_size=6))
def test_framewise_displacement_does_not_depend_on_the_reference_volume(numbers):
    motion = np.random.default_rng(1).normal(0, 0.3, (12, 6))

    moved = framewise_displacement(motion + np.array(numbers))

    assert np.allclose(moved[1:], framewise_displacement(motion)[1:])


@pytest.fixture(scope="module")
def found_motion(moving_series, bold_affine):
    """What is estimated of the planted motion."""
    return estimate_motion(moving_series, bold_affine)


def test_planted_motion_is_found(found_motion, planted_motion):
    found = framewise_displacement(found_motion)[1:]
    planted = framewise_displacement(planted_motion)[1:]

    assert abs(found.mean() - planted.mean()) <= 0.01
    assert np.corrcoef(found, planted)[0, 1] >= 0.99


def test_the_motion_of_a_calm_head_is_not_lost_in_the_noise(bold_affine):
    random = np.random.default_rng(11)
    motion = np.cumsum(random.normal(0, [0.02] * 3 + [0.0004] * 3, (30, 6)), axis=0)
    calm = move_head(motion, bold_affine, noise=8)

    found = framewise_displacement(estimate_motion(calm, bold_affine))[1:]

    planted = framewise_displacement(motion)[1:]
    assert abs(found.mean() - planted.mean()) <= 0.002
    assert np.corrcoef(found, planted)[0, 1] >= 0.91


def test_the_middle_volume_is_the_reference_to_the_last_digit(
    moving_series, bold_affine
):
    found = estimate_motion(moving_series[..., :9], bold_affine)

    assert not found[4].any()
    assert found[:4].any(axis=1).all()


def test_each_axis_has_its_own_sign(found_motion, planted_motion):
    found = found_motion

    assert np.abs(found[:, :3] - planted_motion[:, :3]).max() < 0.08
    assert np.abs(found[:, 3:] - planted_motion[:, 3:]).max() < 0.002


def test_realigning_takes_most_of_the_motion_out(
    moving_series, bold_affine, planted_motion
):
    still = realign(moving_series, bold_affine, planted_motion)
    core = (slice(8, -8), slice(8, -8), slice(6, -6))

    assert still[core].std(axis=3).mean() < 0.5 * moving_series[core].std(axis=3).mean()


def test_a_series_without_contrast_has_no_motion(bold_affine):
    flat = np.full((10, 10, 10, 6), 100, dtype=np.float32)

    assert not estimate_motion(flat, bold_affine).any()


def test_a_run_gives_a_table_and_a_series_on_the_same_grid(
    empty_session, target, moving_series, bold_affine
):
    write_bold(empty_session, moving_series, bold_affine)

    report = write_motion(str(empty_session), str(target), "01", "a")

    table = target / "func/sub-01_ses-a_task-rest_desc-motion_timeseries.tsv"
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    assert rows[0][-1] == "framewise_displacement"
    assert rows[1][-1] == "n/a"
    assert len(rows) == moving_series.shape[3] + 1
    series = read_image(
        target / "func/sub-01_ses-a_task-rest_desc-realigned_bold.nii.gz"
    )
    assert series.data.shape == moving_series.shape
    assert np.allclose(series.affine, bold_affine)
    assert series.repetition_time_s == 2.0
    middle = moving_series.shape[3] // 2
    core = (slice(8, -8), slice(8, -8), slice(6, -6))
    original = moving_series[..., middle].astype(np.int16)[core]
    assert np.abs(series.data[..., middle][core] - original).max() < 1
    assert json.loads(json.dumps(report))["scans"][0]["volumes"] == 24


def test_the_same_run_gives_the_same_bytes(
    empty_session, tmp_path, moving_series, bold_affine
):
    write_bold(empty_session, moving_series[..., :8], bold_affine)
    trees = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        write_motion(str(empty_session), str(folder), "01", "a")
        trees.append(files_of(folder))

    assert trees[0] == trees[1]


def test_a_single_volume_is_listed_with_its_reason(
    empty_session, target, moving_series, bold_affine
):
    write_bold(empty_session, moving_series[..., :1], bold_affine)

    report = write_motion(str(empty_session), str(target), "01", "a")

    assert report["skipped"] == (
        {"scan": "sub-01_ses-a_task-rest_bold", "reason": "a single volume"},
    )
    assert not files_of(target)


def test_a_session_without_bold_gives_an_empty_tree(empty_session, target):
    report = write_motion(str(empty_session), str(target), "01", "a")

    assert report == {"scans": (), "skipped": (), "note": "no BOLD"}
    assert not files_of(target)


def test_each_run_and_echo_keeps_its_own_name(
    empty_session, target, moving_series, bold_affine
):
    for name in ("task-rest_run-1", "task-rest_run-2_echo-1"):
        write_bold(empty_session, moving_series[..., :5], bold_affine, name)

    report = write_motion(str(empty_session), str(target), "01", "a")

    assert len(report["scans"]) == 2
    assert (
        target / "func/sub-01_ses-a_task-rest_run-2_echo-1_desc-realigned_bold.nii.gz"
    ).is_file()


def test_a_phase_series_is_not_realigned(
    empty_session, target, moving_series, bold_affine
):
    write_bold(
        empty_session, moving_series[..., :5], bold_affine, "task-rest_part-phase"
    )

    assert write_motion(str(empty_session), str(target), "01", "a")["note"] == "no BOLD"


def test_a_missing_session_says_what_to_do(tmp_path, target):
    with pytest.raises(MissingInput) as caught:
        write_motion(str(tmp_path / "absent"), str(target), "01", "a")

    assert "BIDS" in caught.value.fix


def test_a_truncated_image_is_refused(
    empty_session, target, moving_series, bold_affine
):
    path = write_bold(empty_session, moving_series[..., :6], bold_affine)
    path.write_bytes(path.read_bytes()[:2000])

    with pytest.raises(BadInput) as caught:
        write_motion(str(empty_session), str(target), "01", "a")

    assert "exclude" in caught.value.fix


def test_temporal_snr_of_known_noise_is_found():
    random = np.random.default_rng(3)
    bold = random.normal(500, 10, (6, 6, 6, 400)).astype(np.float32)

    assert abs(np.median(temporal_snr(bold)) / 50 - 1) < 0.02


def test_a_voxel_that_never_changes_has_no_temporal_snr():
    bold = np.full((2, 2, 2, 5), 7, dtype=np.float32)

    assert not temporal_snr(bold).any()


def test_temporal_snr_is_written_for_each_realigned_run(
    empty_session, target, tmp_path, moving_series, bold_affine
):
    write_bold(empty_session, moving_series[..., :10], bold_affine)
    motion = tmp_path / "motion"
    motion.mkdir()
    write_motion(str(empty_session), str(motion), "01", "a")

    report = write_temporal_snr(str(motion), str(target), "01", "a")

    assert report["scans"][0]["median_temporal_snr"] > 20
    assert {
        "func/sub-01_ses-a_task-rest_desc-tsnr_sbref.nii.gz",
        "func/sub-01_ses-a_task-rest_desc-mean_sbref.nii.gz",
        "func/sub-01_ses-a_task-rest_desc-head_mask.nii.gz",
    } <= files_of(target).keys()
