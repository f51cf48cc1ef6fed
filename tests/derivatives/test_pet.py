import json
import shutil

import numpy as np
import pytest

from imaging_platform.derivatives.images import read_image, write_image
from imaging_platform.derivatives.motion import BIDSIGNORE
from imaging_platform.derivatives.pet import write_pet
from imaging_platform.derivatives.template import grid_affine, reference_head
from imaging_platform.derivatives.uptake import Dose, find_dose, frame_times
from imaging_platform.model.layout import PARTICIPANT
from imaging_platform.tools.validator import validate_dataset
from tests.derivatives.conftest import files_of
from tests.derivatives.test_brain_mask import describe
from tests.derivatives.test_confounds import write_tissues_of_reference

STEM = "sub-01_ses-a"
SIDECAR = {
    "Units": "Bq/mL",
    "TracerRadionuclide": "F18",
    "InjectedRadioactivity": 200,
    "InjectedRadioactivityUnits": "MBq",
    "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 0,
    "InjectionStart": 0,
    "FrameTimesStart": [0, 1800, 2400],
    "FrameDuration": [1800, 600, 600],
}
GREY, WHITE, FLUID = 12_000.0, 6000.0, 1000.0
"""Activity of the last two frames, Bq/mL."""


@pytest.fixture(scope="module")
def known_activity(tmp_path_factory):
    """A session with PET of known activity, its masks and its tissues."""
    root = tmp_path_factory.mktemp("pet")
    session, masks = root / "sub-01" / "ses-a", root / "masks"
    tissues = write_tissues_of_reference(root / "tissues")
    maps = [
        read_image(tissues / "anat" / f"{STEM}_label-{name}_probseg.nii.gz").data
        for name in ("GM", "WM", "CSF")
    ]
    late = GREY * maps[0] + WHITE * maps[1] + FLUID * maps[2]
    frames = np.stack([0.5 * late, late, late], axis=3).astype(np.float32)
    write_image(session / f"pet/{STEM}_pet.nii.gz", frames, grid_affine())
    write_sidecar(session, SIDECAR)
    (session / PARTICIPANT).write_text('{"weight": "80.0"}')
    mask = masks / "anat" / f"{STEM}_desc-brain_mask.nii.gz"
    write_image(mask, reference_head().brain.astype(np.uint8), grid_affine())
    transform = {"AffineToMNI152NLin2009aSym": np.eye(4).tolist()}
    (masks / "anat" / f"{STEM}_desc-brain_mask.json").write_text(json.dumps(transform))
    return session, masks, tissues


@pytest.fixture
def trees(tmp_path, known_activity):
    """A session of its own of known activity, and the masks and tissues of all."""
    session = tmp_path / "raw" / "sub-01" / "ses-a"
    shutil.copytree(known_activity[0], session)
    return session, *known_activity[1:]


@pytest.fixture(scope="module")
def uptake(known_activity, tmp_path_factory):
    """The report on the known activity, and the folder of the session's uptake."""
    target = tmp_path_factory.mktemp("uptake") / "pet" / "sub-01" / "ses-a"
    target.mkdir(parents=True)
    return run(known_activity, target), target


def write_sidecar(session, sidecar) -> None:
    (session / f"pet/{STEM}_pet.json").write_text(json.dumps(sidecar))


def run(trees, target):
    return write_pet(*map(str, trees), str(target), "01", "a")


def test_known_activity_gives_its_suv_and_suvr(uptake):
    report, target = uptake

    (entry,) = report["scans"]
    suv_of_grey = GREY * 80_000 / 200e6
    suv = read_image(target / entry["suv"]).data
    assert entry["gm_suv"] == pytest.approx(suv_of_grey, rel=0.02)
    assert entry["cerebellum_suv"] == pytest.approx(suv_of_grey, rel=0.02)
    assert entry["gm_suvr"] == pytest.approx(1, rel=0.02)
    assert entry["wm_suvr"] == pytest.approx(0.5, rel=0.04)
    assert suv.max() == pytest.approx(suv_of_grey, rel=1e-4)
    assert not report["skipped"]


def test_the_time_course_of_each_tissue_is_written(uptake):
    report, target = uptake

    lines = (target / report["scans"][0]["time_courses"]).read_text().splitlines()
    rows = [dict(zip(lines[0].split("\t"), r.split("\t"), strict=True)) for r in lines]
    first, last = rows[1], rows[-1]
    assert len(lines) == 4
    assert (first["frame_start"], first["frame_duration"]) == ("0", "1800")
    assert float(last["GM"]) == pytest.approx(GREY, rel=0.02)
    assert float(first["GM"]) == pytest.approx(GREY / 2, rel=0.02)
    assert float(last["WM"]) == pytest.approx(WHITE, rel=0.04)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("Units", "Bq/mL"),
        ("InjectedRadioactivity", "InjectedRadioactivity"),
        ("InjectionStart", "InjectionStart"),
    ],
)
def test_what_a_dose_needs_and_has_not_is_said(key, reason):
    sidecar = {name: value for name, value in SIDECAR.items() if name != key}

    found = find_dose(sidecar, 80.0)

    assert isinstance(found, str)
    assert reason in found
    assert "study.yaml" in found


def test_without_a_weight_there_is_suvr_but_no_suv(trees, target):
    (trees[0] / PARTICIPANT).unlink()

    report = run(trees, target)

    assert "weight is unknown" in report["skipped"][0]["reason"]
    assert report["scans"][0]["suv"] == ""
    assert report["scans"][0]["gm_suvr"] == pytest.approx(1, rel=0.02)


def test_frames_that_do_not_fit_are_said(trees, target):
    write_sidecar(trees[0], {**SIDECAR, "FrameDuration": [600, 600]})

    report = run(trees, target)

    assert "FrameDuration" in report["skipped"][0]["reason"]
    assert not files_of(target)


def test_a_session_without_segmented_t1w_has_no_uptake(trees, target, tmp_path):
    (tmp_path / "none").mkdir()

    report = run((trees[0], trees[1], tmp_path / "none"), target)

    assert "no segmented T1w" in report["skipped"][0]["reason"]


def test_the_dose_decays_until_the_time_to_which_the_image_is_corrected():
    sidecar = {**SIDECAR, "ImageDecayCorrectionTime": 6586.2}

    dose = find_dose(sidecar, 70.0)

    assert isinstance(dose, Dose)
    assert dose.becquerel == pytest.approx(100e6)
    assert dose.suv_factor == pytest.approx(70_000 / 100e6)


def test_an_image_corrected_to_the_injection_takes_the_whole_dose_of_dicom():
    sidecar = {
        "Units": "Bq/mL",
        "DecayCorrection": "ADMIN",
        "RadionuclideTotalDose": 3e8,
    }

    dose = find_dose(sidecar, 70.0)

    assert isinstance(dose, Dose)
    assert dose.becquerel == 3e8


def test_one_frame_needs_only_its_length():
    found = frame_times({"FrameDuration": [600]}, 1)

    assert found is not None
    assert found[0].tolist() == [0]
    assert frame_times({}, 1) is None


def test_uptake_satisfies_the_official_validator(uptake):
    dataset = uptake[1].parents[1]
    describe(dataset, "pet")
    (dataset / ".bidsignore").write_text("\n".join(BIDSIGNORE) + "\n")

    assert validate_dataset(dataset).errors == ()
