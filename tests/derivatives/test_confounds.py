import json
from pathlib import Path

import numpy as np
import pytest

from imaging_platform.derivatives.alignment import align_rigid
from imaging_platform.derivatives.confounds import read_motion, write_confounds
from imaging_platform.derivatives.images import Image, write_image
from imaging_platform.derivatives.motion import BIDSIGNORE, write_motion
from imaging_platform.derivatives.nuisance import (
    cosine_drift,
    count_non_steady,
    dvars,
    expand,
    find_components,
    mean_course,
)
from imaging_platform.derivatives.realignment import about, matrix_of
from imaging_platform.derivatives.segmentation import LABELS, template_prior
from imaging_platform.derivatives.template import grid_affine, reference_head
from imaging_platform.model.errors import BadInput
from imaging_platform.tools.validator import validate_dataset
from tests.derivatives.conftest import files_of, write_bold
from tests.derivatives.test_brain_mask import describe

ALL = np.ones((6, 6, 4), dtype=bool)


def noise(count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (6, 6, 4, count))


def write_tissues_of_reference(folder: Path) -> Path:
    """Write what `write_tissues` would write of the reference head."""
    reference = reference_head()
    belief = template_prior(Image(reference.head, grid_affine()), np.eye(4))
    belief = (belief == belief.max(axis=0)) & reference.brain
    stem = folder / "anat" / "sub-01_ses-a"
    signal = np.where(reference.brain, reference.head, 0)
    write_image(Path(f"{stem}_desc-preproc_T1w.nii.gz"), signal, grid_affine())
    for label, tissue in zip(LABELS, belief.astype(np.float32), strict=True):
        path = Path(f"{stem}_label-{label}_probseg.nii.gz")
        write_image(path, tissue, grid_affine())
    return folder


@pytest.fixture(scope="module")
def confounded(tmp_path_factory, moving_series, bold_affine):
    """Trees of a moving run: raw session, motion, confounds; and the report."""
    root = tmp_path_factory.mktemp("confounded")
    session = root / "raw" / "sub-01" / "ses-a"
    write_bold(session, moving_series, bold_affine)
    tissues = write_tissues_of_reference(root / "tissues" / "sub-01" / "ses-a")
    folders = {}
    for name in ("motion", "confounds"):
        folders[name] = root / name / "sub-01" / "ses-a"
        folders[name].mkdir(parents=True)
    write_motion(str(session), str(folders["motion"]), "01", "a")
    arguments = (str(folders["motion"]), str(tissues), str(folders["confounds"]))
    report = write_confounds(*arguments, "01", "a")
    return folders, report, arguments


def test_dvars_of_white_noise_is_its_spread_by_the_root_of_two():
    series = (500 + 5 * noise(400)).astype(np.float32)

    plain, standard = dvars(series, ALL)

    assert np.isnan(plain[0])
    assert np.nanmean(plain) == pytest.approx(10 * np.sqrt(2), rel=0.02)
    assert np.nanmean(standard) == pytest.approx(1, rel=0.03)


def test_a_jump_of_the_signal_stands_out_in_dvars():
    series = (500 + noise(60)).astype(np.float32)
    series[..., 30:] += 20

    assert np.nanargmax(dvars(series, ALL)[0]) == 30


def test_a_planted_course_is_the_first_component():
    course = np.sin(np.linspace(0, 30, 80))
    weights = np.random.default_rng(1).uniform(2, 4, (6, 6, 4, 1))
    series = (500 + weights * course + noise(80)).astype(np.float32)

    found = find_components(series, ALL, np.zeros((80, 0)))

    assert abs(np.corrcoef(found.courses[:, 0], course)[0, 1]) > 0.99
    assert found.courses.shape == (80, 5)
    assert np.all(np.diff(found.singular_values) <= 0)
    assert np.allclose(found.courses.T @ found.courses, np.eye(5), atol=1e-9)


def test_drift_does_not_come_back_as_a_component():
    drift = cosine_drift(100, 2.0)
    series = (500 + 30 * drift[:, 0] + noise(100)).astype(np.float32)

    found = find_components(series, ALL, drift)

    assert abs(found.courses.T @ drift).max() < 1e-6


def test_an_empty_mask_has_no_components_and_no_signal():
    series = noise(20).astype(np.float32)

    assert find_components(series, ~ALL, np.zeros((20, 0))).courses.shape == (20, 0)
    assert np.isnan(mean_course(series, ~ALL)).all()


def test_cosines_are_orthonormal_and_slower_than_128_s():
    drift = cosine_drift(200, 2.0)

    assert drift.shape == (200, 6)
    assert np.allclose(drift.T @ drift, np.eye(6), atol=1e-12)
    assert cosine_drift(200, 0.0).shape == (200, 0)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_leading_bright_volumes_are_counted(count):
    course = 100 + np.random.default_rng(2).normal(0, 0.3, 50)
    course[:count] += np.array([40, 20, 10])[:count]

    assert count_non_steady(course) == count


def test_an_expanded_course_has_changes_and_squares():
    found = expand(np.array([1.0, 3.0, 2.0]))

    assert found["_derivative1"][1:].tolist() == [2, -1]
    assert found["_derivative1_power2"][1:].tolist() == [4, 1]
    assert found["_power2"].tolist() == [1, 9, 4]


def test_a_head_of_another_contrast_is_aligned_within_a_voxel():
    reference = reference_head()
    fixed = Image(reference.head, grid_affine())
    planted = about(matrix_of(np.array([6, -5, 4, 0.06, -0.05, 0.08])), np.zeros(3))
    other = 260 - np.where(reference.brain, reference.head, 250)
    moving = Image(other.astype(np.float32), planted @ grid_affine())

    found = align_rigid(fixed, moving, reference.brain)

    points = np.array([[0, 0, 0, 1], [60, 0, 0, 1], [0, -70, 0, 1], [0, 0, 60, 1]]).T
    gap = (found.matrix @ points - planted @ points)[:3]
    assert np.linalg.norm(gap, axis=0).max() < 1.5
    assert found.moved_mm > 8


def test_the_table_has_a_row_a_volume_and_every_column_is_described(confounded):
    folders, report, _ = confounded
    path = folders["confounds"] / report["scans"][0]["timeseries"]

    lines = path.read_text().splitlines()
    described = json.loads(path.with_suffix(".json").read_text())

    names = lines[0].split("\t")
    assert len(lines) == 25
    assert all(len(line.split("\t")) == len(names) for line in lines)
    assert set(names) == set(described) - {"Sources"}
    assert {"csf", "white_matter", "w_comp_cor_04", "trans_x_derivative1"} <= set(names)


def test_framewise_displacement_is_the_one_of_the_motion(confounded):
    folders, report, _ = confounded
    table = np.genfromtxt(
        folders["confounds"] / report["scans"][0]["timeseries"],
        names=True,
        delimiter="\t",
        missing_values="n/a",
    )
    motion = read_motion(
        folders["motion"] / "func/sub-01_ses-a_task-rest_desc-motion_timeseries.tsv"
    )

    assert np.allclose(
        table["framewise_displacement"][1:], motion["framewise_displacement"][1:]
    )


def test_nilearn_reads_the_confounds(confounded, tmp_path):
    fmriprep = pytest.importorskip("nilearn.interfaces.fmriprep")
    folders, _, _ = confounded
    for path in (folders["confounds"] / "func").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    image = tmp_path / "sub-01_ses-a_task-rest_desc-preproc_bold.nii.gz"
    image.write_bytes(b"")

    found, _ = fmriprep.load_confounds(
        str(image),
        strategy=("motion", "high_pass", "wm_csf", "global_signal", "compcor"),
        motion="full",
        compcor="anat_separated",
        n_compcor=5,
    )

    assert {"trans_x", "csf", "global_signal", "c_comp_cor_00"} <= set(found.columns)


def test_the_same_run_gives_the_same_confounds(confounded, tmp_path):
    folders, _, arguments = confounded

    write_confounds(arguments[0], arguments[1], str(tmp_path), "01", "a")

    assert files_of(tmp_path) == files_of(folders["confounds"])


def test_confounds_satisfy_the_official_validator(confounded):
    folders, _, _ = confounded
    root = folders["confounds"].parents[1]
    describe(root, "confounds")
    (root / ".bidsignore").write_text("\n".join(BIDSIGNORE) + "\n")

    assert validate_dataset(root).errors == ()


def test_a_run_without_t1w_has_all_but_the_signals_of_tissues(
    confounded, target, tmp_path
):
    folders, _, _ = confounded
    (tmp_path / "empty").mkdir()

    report = write_confounds(
        str(folders["motion"]), str(tmp_path / "empty"), str(target), "01", "a"
    )

    names = (target / report["scans"][0]["timeseries"]).read_text().split("\n")[0]
    assert "global_signal" in names
    assert "csf" not in names
    assert "no segmented T1w" in report["skipped"][0]["reason"]


def test_a_table_that_is_no_motion_is_refused(tmp_path):
    path = tmp_path / "a_timeseries.tsv"
    path.write_text("x\ty\n1\t2\n")

    with pytest.raises(BadInput) as caught:
        read_motion(path)

    assert "motion of this session again" in caught.value.fix
