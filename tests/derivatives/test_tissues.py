import json
from pathlib import Path

import numpy as np
import pytest

from imaging_platform.derivatives.bias_field import estimate_bias
from imaging_platform.derivatives.brain import Brain
from imaging_platform.derivatives.images import Image, read_image, write_image
from imaging_platform.derivatives.segmentation import (
    LABELS,
    measure_overlap,
    segment,
    template_prior,
)
from imaging_platform.derivatives.template import (
    brain_signal,
    grid_affine,
    reference_head,
    tissue_maps,
)
from imaging_platform.derivatives.tissues import segment_brain, write_tissues
from imaging_platform.tools.isolated import call_isolated
from tests.derivatives.conftest import files_of

SIGNAL = np.array([600.0, 850.0, 250.0], dtype=np.float32)
"""Of grey matter, white matter and fluid."""


@pytest.fixture(scope="module")
def head():
    """The reference's brain with signal of known tissue, and that tissue."""
    reference = reference_head()
    image = Image(reference.head, grid_affine())
    truth = template_prior(image, np.eye(4)).argmax(axis=0)
    random = np.random.default_rng(5)
    data = np.where(reference.brain, SIGNAL[truth], 0) + random.normal(
        0, 40, truth.shape
    )
    return Image(data.astype(np.float32), grid_affine()), reference.brain, truth


def write_head(root: Path, image: Image, brain: np.ndarray) -> tuple[Path, Path]:
    """Write a session with one T1w, and its brain mask with its transform."""
    session, masks = root / "raw" / "sub-01" / "ses-a", root / "masks"
    write_image(session / "anat/sub-01_ses-a_T1w.nii.gz", image.data, image.affine)
    path = masks / "anat" / "sub-01_ses-a_desc-brain_mask.nii.gz"
    write_image(path, brain.astype(np.uint8), image.affine)
    sidecar = {"AffineToMNI152NLin2009aSym": np.eye(4).tolist()}
    (masks / "anat/sub-01_ses-a_desc-brain_mask.json").write_text(json.dumps(sidecar))
    return session, masks


def test_tissues_of_known_signal_are_found(head):
    image, brain, truth = head

    belief = segment_brain(image, Brain(brain, np.eye(4)))

    found = belief.argmax(axis=0)
    for tissue in range(3):
        one, two = (found == tissue) & brain, (truth == tissue) & brain
        assert 2 * (one & two).sum() / (one.sum() + two.sum()) > 0.97
        assert abs(belief[tissue].sum() / two.sum() - 1) < 0.03


def test_probabilities_sum_to_one_in_the_brain_and_to_nothing_outside(head):
    image, brain, _ = head

    total = segment_brain(image, Brain(brain, np.eye(4))).sum(axis=0)

    assert np.allclose(total[brain], 1, atol=1e-4)
    assert not total[~brain].any()


def test_fine_voxels_get_the_volumes_of_coarse_ones(head):
    image, brain, _ = head
    affine = image.affine.copy()
    affine[:3, :3] *= 0.35
    to_template = image.affine @ np.linalg.inv(affine)
    small = Image(image.data, affine)

    belief = segment_brain(small, Brain(brain, to_template))

    assert np.allclose(belief.sum(axis=0)[brain], 1, atol=1e-4)


def test_the_template_covers_itself_and_less_of_itself_when_moved():
    grey, white = tissue_maps()
    inside = (brain_signal().data > 1).astype(np.float32)
    maps = [grey.data / 255, white.data / 255]
    belief = np.stack([*maps, np.maximum(inside - maps[0] - maps[1], 0)])
    moved = np.eye(4)
    moved[0, 3] = 3.0

    same = measure_overlap(belief, grey, np.eye(4))
    away = measure_overlap(belief, grey, moved)

    assert same == pytest.approx([1, 1, 1], abs=1e-4)
    assert all(0.1 < value < 0.8 for value in away)


def test_one_noisy_voxel_follows_its_neighbours():
    random = np.random.default_rng(2)
    layers = np.repeat([250.0, 600.0, 850.0], 5)
    data = (layers + random.normal(0, 60, (12, 12, 15))).astype(np.float32)
    data[4, 4, 12] = 718
    brain = np.ones(data.shape, dtype=bool)
    prior = np.full((3, *data.shape), 1 / 3, dtype=np.float32)

    belief = segment(data, brain, np.ones(3), prior)

    assert belief.argmax(axis=0)[4, 4, 12] == LABELS.index("WM")


def test_an_empty_brain_has_no_tissue():
    nothing = np.zeros((4, 4, 4), dtype=bool)
    prior = np.full((3, 4, 4, 4), 1 / 3, dtype=np.float32)

    belief = segment(np.ones((4, 4, 4), dtype=np.float32), nothing, np.ones(3), prior)

    assert not belief.any()


@pytest.mark.slow
def test_a_planted_bias_field_is_found(head):
    image, brain, _ = head
    x, y, z = (np.linspace(-1, 1, n) for n in image.data.shape)
    field = np.exp(
        0.2 * x[:, None, None] - 0.25 * y[None, :, None] + 0.15 * z[None, None, :] ** 2
    ).astype(np.float32)

    found = estimate_bias(Image(image.data * field, image.affine), brain)

    ratio = (found / field)[brain]
    assert ratio.std() / ratio.mean() < 0.03
    assert found[brain].mean() == pytest.approx(1, abs=0.01)


@pytest.mark.slow
def test_files_agree_with_the_report_and_are_the_same_twice(head, tmp_path):
    image, brain, _ = head
    session, masks = write_head(tmp_path, image, brain)
    reports = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        arguments = {"bids_session": session, "brain_mask_session": masks}
        labels = {"target": tmp_path / name, "subject": "01", "session": "a"}
        reports.append(
            call_isolated(
                "imaging_platform.derivatives.tissues:write_tissues",
                {**arguments, **labels},
            )
        )

    (entry,) = reports[0]["scans"]
    stem = tmp_path / "one/anat/sub-01_ses-a"
    table = Path(f"{stem}_desc-volumes_dseg.tsv").read_text().splitlines()
    labels = read_image(Path(f"{stem}_dseg.nii.gz")).data
    signal = read_image(Path(f"{stem}_desc-preproc_T1w.nii.gz")).data
    assert table[-1].split("\t")[2] == "ICV"
    assert float(table[-1].split("\t")[3]) == pytest.approx(entry["icv_ml"], abs=0.01)
    assert entry["icv_ml"] == pytest.approx(brain.sum() * 0.008, abs=0.1)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    sidecar = json.loads(Path(f"{stem}_desc-volumes_dseg.json").read_text())
    assert sorted(sidecar["TemplateOverlap"]) == sorted(LABELS)
    assert all(0.1 < value < 1 for value in sidecar["TemplateOverlap"].values())
    assert not signal[~brain].any()
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_a_t1w_without_mask_is_skipped(head, tmp_path, target):
    image, brain, _ = head
    session, _ = write_head(tmp_path, image, brain)

    report = write_tissues(str(session), str(tmp_path / "none"), str(target), "01", "a")

    assert report["skipped"][0]["reason"] == "it has no brain mask"
    assert not files_of(target)
