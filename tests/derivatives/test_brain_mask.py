import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from imaging_platform.derivatives.ants_images import from_ants, to_ants
from imaging_platform.derivatives.brain_mask import (
    TRANSFORM_KEY,
    refine_rim,
    why_unusable,
    write_brain_mask,
)
from imaging_platform.derivatives.defaced_t1w import write_defaced_t1w
from imaging_platform.derivatives.faces import find_face
from imaging_platform.derivatives.head_registration import (
    RegisteredHead,
    resample_upright,
)
from imaging_platform.derivatives.images import Image, read_image, write_image
from imaging_platform.derivatives.motion import BIDSIGNORE, write_motion
from imaging_platform.derivatives.template import reference_head
from imaging_platform.derivatives.temporal_snr import write_temporal_snr
from imaging_platform.derivatives.volumes import resample
from imaging_platform.model.errors import BadInput
from imaging_platform.tools.isolated import call_isolated
from imaging_platform.tools.validator import validate_dataset
from imaging_platform.voxels.masks import dilate, erode
from tests.derivatives.conftest import files_of, write_bold

OBLIQUE = np.array(
    [
        [0.0, -0.35, 2.7, -88.0],
        [-2.4, 0.2, 0.3, 120.0],
        [0.2, 2.35, 0.35, -108.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""A sagittal oblique grid of about 2.4 x 2.4 x 2.7 mm."""

SHAPE = (96, 88, 66)


def person_to_template() -> np.ndarray:
    """A smaller head, turned and moved: scanner mm to template mm."""
    angle = 0.12
    matrix = np.diag([1.08, 1.05, 1.1, 1.0])
    matrix[1:3, 1:3] @= np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    matrix[:3, 3] = [3.0, -12.0, 6.0]
    return matrix


def write_t1w(session: Path, name: str = "T1w") -> np.ndarray:
    """Write a head made of the reference with bias and noise; return its brain."""
    reference, random = reference_head(), np.random.default_rng(11)
    pull = np.linalg.inv(reference.affine) @ person_to_template() @ OBLIQUE
    head = resample(reference.head, pull, SHAPE, order=1)
    brain = resample(reference.brain.astype(np.float32), pull, SHAPE, order=1) > 0.5
    x, y, z = (np.linspace(-1, 1, n) for n in SHAPE)
    bias = 1 + 0.15 * x[:, None, None] - 0.1 * y[None, :, None] * z[None, None, :]
    noisy = np.hypot(
        head * bias + random.normal(0, 4, SHAPE), random.normal(0, 4, SHAPE)
    )
    path = session / "anat" / f"sub-01_ses-a_{name}.nii.gz"
    write_image(path, (4 * noisy).astype(np.int16), OBLIQUE)
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(
        json.dumps({"RepetitionTime": 2.3, "Manufacturer": "Siemens"})
    )
    return brain


def dice(one: np.ndarray, two: np.ndarray) -> float:
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """A session with one T1w, its brain mask and its defaced scan."""
    root = tmp_path_factory.mktemp("masked")
    session = root / "raw" / "sub-01" / "ses-a"
    brain = write_t1w(session)
    folders = {}
    for name in ("brain_mask", "defaced_t1w", "tissues"):
        folders[name] = root / name / "sub-01" / "ses-a"
        folders[name].mkdir(parents=True)
    labels = {"subject": "01", "session": "a", "bids_session": session}
    report = call_isolated(
        "imaging_platform.derivatives.brain_mask:write_brain_mask",
        {**labels, "target": folders["brain_mask"]},
    )
    defaced = call_isolated(
        "imaging_platform.derivatives.defaced_t1w:write_defaced_t1w",
        {
            **labels,
            "brain_mask_session": folders["brain_mask"],
            "target": folders["defaced_t1w"],
        },
    )
    call_isolated(
        "imaging_platform.derivatives.tissues:write_tissues",
        {
            **labels,
            "brain_mask_session": folders["brain_mask"],
            "target": folders["tissues"],
        },
    )
    return session, brain, folders, report, defaced


@pytest.mark.slow
def test_the_brain_of_an_oblique_head_is_found(masked):
    _, brain, folders, report, _ = masked

    mask = read_image(
        folders["brain_mask"] / "anat/sub-01_ses-a_desc-brain_mask.nii.gz"
    )

    assert dice(mask.data > 0, brain) >= 0.97
    assert np.allclose(mask.affine, OBLIQUE, atol=1e-4)
    assert report["scans"][0]["is_plausible"]


@pytest.mark.slow
def test_the_way_to_the_template_is_kept(masked):
    *_, folders, _, _ = masked

    sidecar = json.loads(
        (folders["brain_mask"] / "anat/sub-01_ses-a_desc-brain_mask.json").read_text()
    )

    points = np.array([[0, 0, 0], [40, -20, 30], [-30, 10, -10]])
    found, true = np.array(sidecar[TRANSFORM_KEY]), person_to_template()
    gap = points @ (found - true)[:3, :3].T + (found - true)[:3, 3]
    assert np.linalg.norm(gap, axis=1).max() < 6


@pytest.mark.slow
def test_defacing_removes_the_face_and_no_brain(masked):
    session, brain, folders, _, defaced = masked

    image = read_image(
        folders["defaced_t1w"] / "anat/sub-01_ses-a_desc-defaced_T1w.nii.gz"
    )
    original = read_image(session / "anat/sub-01_ses-a_T1w.nii.gz")

    inside = erode(brain, 1)
    assert np.array_equal(image.data[inside], original.data[inside])
    entry = defaced["scans"][0]
    assert entry["brain_voxels_removed"] == 0
    assert 3 < entry["removed_percent"] < 30
    pull = np.linalg.inv(reference_head().affine) @ person_to_template() @ OBLIQUE
    face = resample(
        reference_head().face.astype(np.uint8), pull, SHAPE, order=0, mode="nearest"
    ).astype(bool)
    deep = erode(face & ~dilate(brain, 4), 3)
    assert not image.data[deep].any()


@pytest.mark.slow
def test_the_anatomical_datasets_satisfy_the_official_validator(masked):
    *_, folders, _, _ = masked
    for name, folder in folders.items():
        root = folder.parents[1]
        describe(root, name)

        assert validate_dataset(root).errors == ()


@pytest.mark.slow
def test_the_same_head_gives_the_same_mask_bytes(masked, tmp_path):
    session, _, folders, _, _ = masked
    call_isolated(
        "imaging_platform.derivatives.brain_mask:write_brain_mask",
        {"bids_session": session, "target": tmp_path, "subject": "01", "session": "a"},
    )

    assert files_of(tmp_path) == files_of(folders["brain_mask"])


def test_functional_datasets_satisfy_the_official_validator(
    tmp_path, empty_session, moving_series, bold_affine
):
    write_bold(empty_session, moving_series[..., :6], bold_affine)
    sources = {"motion": empty_session}
    for name, write in (("motion", write_motion), ("temporal_snr", write_temporal_snr)):
        folder = tmp_path / name / "sub-01" / "ses-a"
        folder.mkdir(parents=True)
        write(str(sources[name]), str(folder), "01", "a")
        sources["temporal_snr"] = folder
        describe(tmp_path / name, name)
        (tmp_path / name / ".bidsignore").write_text("\n".join(BIDSIGNORE) + "\n")

        assert validate_dataset(tmp_path / name).errors == ()


def describe(root: Path, name: str) -> None:
    (root / "README.md").write_text("A derivative that a test has made. " * 8)
    (root / "dataset_description.json").write_text(
        json.dumps(
            {
                "Name": name,
                "BIDSVersion": "1.10.0",
                "DatasetType": "derivative",
                "GeneratedBy": [{"Name": "imaging_platform"}],
            }
        )
    )


def test_a_session_without_t1w_gives_empty_trees(empty_session, target):
    arguments = (str(empty_session), str(target), "01", "a")

    assert write_brain_mask(*arguments)["note"] == "no T1w"
    assert not files_of(target)


def test_a_t1w_without_mask_is_not_defaced(empty_session, target, tmp_path):
    write_t1w(empty_session)

    report = write_defaced_t1w(
        str(empty_session), str(tmp_path / "none"), str(target), "01", "a"
    )

    assert report["skipped"][0]["reason"] == "it has no brain mask"
    assert not files_of(target)


def test_a_mask_without_its_transform_is_refused(empty_session, target, tmp_path):
    brain = write_t1w(empty_session)
    masks = tmp_path / "masks"
    path = masks / "anat" / "sub-01_ses-a_desc-brain_mask.nii.gz"
    write_image(path, brain.astype(np.uint8), OBLIQUE)

    with pytest.raises(BadInput) as caught:
        write_defaced_t1w(str(empty_session), str(masks), str(target), "01", "a")

    assert "brain mask of this session again" in caught.value.fix


def test_a_slab_is_skipped_with_its_reason():
    slab = Image(np.ones((100, 100, 12), dtype=np.float32), np.diag([2.0, 2, 2, 1]))

    assert why_unusable(slab) == "the slices do not cover the brain"


def test_the_guard_keeps_the_brain_even_where_the_affine_is_wrong():
    brain = np.zeros((40, 40, 40), dtype=bool)
    brain[10:30, 10:30, 10:30] = True
    image = Image(np.ones(brain.shape, dtype=np.float32), np.diag([4.0, 4, 4, 1]))
    wrong = np.eye(4)
    wrong[:3, 3] = [0, 150, -120]

    face = find_face(image, brain, wrong)

    assert face.any()
    assert not (face & brain).any()


def test_skull_and_fat_at_the_rim_are_no_brain():
    brain = np.zeros((40, 40, 40), dtype=np.float32)
    brain[5:35, 5:35, 5:35] = 1
    head = np.full(brain.shape, 0.5, dtype=np.float32)
    head[:, :, 33:], head[:, :, :7] = 0.05, 1.0

    refined = refine_rim(RegisteredHead(head, brain, np.eye(4), np.eye(4))) > 0.5

    assert not refined[:, :, 33:].any()
    assert not refined[:, :, :7].any()
    assert refined[8:32, 8:32, 8:32].all()


def test_an_upright_grid_keeps_every_point_in_its_place():
    data = np.zeros((30, 40, 20), dtype=np.float32)
    data[18:23, 28:33, 9:13] = 100
    affine = OBLIQUE.copy()
    affine[:3, :3] *= 1.1

    upright, new = resample_upright(Image(data, affine), 2.0)

    index = np.array(np.nonzero(data > 50)).mean(axis=1)
    found = (np.indices(upright.shape) * upright).reshape(3, -1).sum(1) / upright.sum()
    gap = (affine[:3, :3] @ index + affine[:3, 3]) - (new[:3, :3] @ found + new[:3, 3])
    assert np.abs(gap).max() < 0.6


def test_an_array_comes_backfrom_ants_as_it_went():
    data = np.random.default_rng(1).random((5, 6, 7)).astype(np.float32)

    assert np.array_equal(from_ants(to_ants(data, np.diag([2.0, 2, 2, 1]))), data)


def test_an_image_is_written_without_time_and_name(tmp_path):
    path = tmp_path / "a.nii.gz"
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)

    write_image(path, data, OBLIQUE)

    assert path.read_bytes()[3:8] == b"\0\0\0\0\0"
    assert np.array_equal(np.asarray(nib.load(path).dataobj), data)
