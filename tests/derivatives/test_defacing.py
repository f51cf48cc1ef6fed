import json
from pathlib import Path

import numpy as np
import pytest

from imaging_platform.derivatives.defaced_t1w import write_defaced_t1w
from imaging_platform.derivatives.faces import find_profile
from imaging_platform.derivatives.images import Image, read_image, write_image
from imaging_platform.derivatives.realignment import about, matrix_of
from imaging_platform.derivatives.template import grid_affine, reference_head
from tests.derivatives.conftest import files_of

MOVED = about(matrix_of(np.array([4, -3, 5, 0.04, 0.03, -0.05])), np.zeros(3))
"""Where the head lies in the second scan, from where it lay in the first."""

STEM = "sub-01_ses-a"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A session of the reference head: T1w with mask, T2w and PET of a moved head."""
    root = tmp_path_factory.mktemp("faces")
    raw, masks = root / "raw" / "sub-01" / "ses-a", root / "masks"
    reference, random = reference_head(), np.random.default_rng(9)
    noise = np.abs(random.normal(0, 2, reference.head.shape))
    head = (reference.head + noise).astype(np.float32)
    tissue = reference.head > 20
    bright = np.where(tissue, 300 - reference.head, 0) + noise
    uptake = np.where(reference.brain, 200, np.where(tissue, 80, 0)) + noise
    frames = np.stack([0.5 * uptake, uptake], axis=3)
    save(raw / "anat" / f"{STEM}_T1w.nii.gz", head, grid_affine())
    save(raw / "anat" / f"{STEM}_T2w.nii.gz", bright, MOVED @ grid_affine())
    save(raw / "pet" / f"{STEM}_pet.nii.gz", frames, MOVED @ grid_affine())
    mask = masks / "anat" / f"{STEM}_desc-brain_mask.nii.gz"
    write_image(mask, reference.brain.astype(np.uint8), grid_affine())
    sidecar = {"AffineToMNI152NLin2009aSym": np.eye(4).tolist()}
    (masks / "anat" / f"{STEM}_desc-brain_mask.json").write_text(json.dumps(sidecar))
    return raw, masks


@pytest.fixture(scope="module")
def defaced(session, tmp_path_factory):
    target = tmp_path_factory.mktemp("defaced")
    raw, masks = session
    report = write_defaced_t1w(str(raw), str(masks), str(target), "01", "a")
    return target, {Path(e["image"]).name: e for e in report["scans"]}, report


def save(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    write_image(path, data.astype(np.float32), affine, repetition_time_s=1.0)


def face_and_brain() -> tuple[np.ndarray, np.ndarray]:
    reference = reference_head()
    return reference.face & (reference.head > 20), reference.brain


@pytest.mark.parametrize("suffix", ["T1w", "T2w", "pet"])
def test_each_scan_of_the_head_loses_its_face_and_keeps_its_brain(
    session, defaced, suffix
):
    target, entries, _ = defaced
    entry = entries[f"{STEM}_desc-defaced_{suffix}.nii.gz"]
    before = read_image(session[0] / entry["image"].replace("_desc-defaced", ""))
    after = read_image(target / entry["image"])

    face, brain = face_and_brain()
    lost = after.data == 0
    lost = lost if lost.ndim == 3 else lost.all(axis=3)
    assert np.array_equal(after.data[brain], before.data[brain])
    assert lost[face].mean() > 0.85
    assert entry["brain_voxels_removed"] == 0
    assert entry["face_left_percent"] < 15
    assert entry["removed_percent"] > 5


def test_the_way_to_a_moved_scan_is_reported(defaced):
    _, entries, _ = defaced

    moved = entries[f"{STEM}_desc-defaced_T2w.nii.gz"]["moved_to_t1w_mm"]

    assert 6 < moved < 14


def test_a_defaced_scan_is_recognized_and_left_as_it_is(session, defaced, tmp_path):
    target, _, _ = defaced
    again = tmp_path / "raw" / "sub-01" / "ses-a"
    for path in target.rglob("*_desc-defaced_*"):
        copy = again / path.parent.name / path.name.replace("_desc-defaced", "")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "twice").mkdir()

    report = write_defaced_t1w(
        str(again), str(session[1]), str(tmp_path / "twice"), "01", "a"
    )

    assert all(entry["was_defaced"] for entry in report["scans"])
    images = {n: b for n, b in files_of(target).items() if n.endswith(".gz")}
    twice = files_of(tmp_path / "twice")
    assert {name: twice[name] for name in images} == images


def test_a_scan_of_something_else_is_not_defaced_and_says_why(session, tmp_path):
    raw = tmp_path / "raw" / "sub-01" / "ses-a"
    source = session[0] / "anat" / f"{STEM}_T1w.nii.gz"
    (raw / "anat").mkdir(parents=True)
    (raw / "anat" / source.name).write_bytes(source.read_bytes())
    noise = np.random.default_rng(1).normal(100, 10, (60, 60, 40))
    save(raw / "anat" / f"{STEM}_T2w.nii.gz", noise, np.diag([3.0, 3, 3, 1]))
    (tmp_path / "out").mkdir()

    report = write_defaced_t1w(
        str(raw), str(session[1]), str(tmp_path / "out"), "01", "a"
    )

    reason = "it could not be aligned to the T1w"
    assert list(report["skipped"]) == [{"scan": f"{STEM}_T2w", "reason": reason}]
    assert len(report["scans"]) == 1


def test_without_a_t1w_nothing_tells_where_the_face_is(empty_session, target):
    save(
        empty_session / "anat" / f"{STEM}_FLAIR.nii.gz",
        np.ones((20, 20, 20)),
        np.diag([4.0, 4, 4, 1]),
    )

    report = write_defaced_t1w(str(empty_session), str(target), str(target), "01", "a")

    assert "no T1w with a brain mask" in report["skipped"][0]["reason"]
    assert not files_of(target)


def test_a_head_seen_whole_has_a_profile_and_an_empty_brain_has_none():
    reference = reference_head()
    image = Image(reference.head, grid_affine())

    assert find_profile(image, reference.brain).any()
    assert not find_profile(image, np.zeros_like(reference.brain)).any()
