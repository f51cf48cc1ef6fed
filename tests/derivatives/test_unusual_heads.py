"""The anatomical chain on grids and heads that break simpler tools."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from imaging_platform.derivatives.images import read_image, write_image
from imaging_platform.derivatives.template import reference_head
from imaging_platform.derivatives.volumes import resample
from imaging_platform.tools.isolated import call_isolated
from tests.derivatives.test_brain_mask import dice

STEM = "sub-01_ses-a"
PERSON = np.array(
    [
        [1.05, 0.0, 0.0, 2.0],
        [0.0, 1.04, -0.10, -8.0],
        [0.0, 0.11, 1.06, 4.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""A head that is smaller than the template's, nodding and moved: mm to mm."""


@dataclass(frozen=True)
class Grid:
    """
    A grid by its steps along the voxel axes (mm), its shape and its middle (mm).

    `face_left_percent` is the limit of that check: a field of view that ends above
    the nose shows little but the brow, which stays.
    """

    steps: tuple[tuple[float, float, float], ...]
    shape: tuple[int, int, int]
    middle: tuple[float, float, float] = (0.0, -5.0, -5.0)
    face_left_percent: float = 40.0

    @property
    def affine(self) -> np.ndarray:
        affine = np.eye(4)
        affine[:3, :3] = np.array(self.steps).T
        centre = affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        affine[:3, 3] = np.array(self.middle) - centre
        return affine


RIGHT, FRONT, UP = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def along(direction: tuple[float, ...], mm: float) -> tuple[float, float, float]:
    x, y, z = (mm * part for part in direction)
    return x, y, z


GRIDS = {
    "thick axial slices": Grid(
        (along(RIGHT, -0.9), along(FRONT, 0.9), along(UP, 5.0)), (240, 270, 38)
    ),
    "oblique": Grid(
        ((1.38, 0.2, 0.1), (-0.2, 1.3, 0.45), (-0.1, -0.5, 1.3)), (140, 170, 170)
    ),
    "sagittal": Grid(
        (along(FRONT, -1.2), along(UP, -1.2), along(RIGHT, 1.5)), (200, 200, 120)
    ),
    "0.7 mm": Grid(
        (along(RIGHT, 0.7), along(FRONT, 0.7), along(UP, 0.7)), (250, 310, 270)
    ),
    "no neck": Grid(
        (along(RIGHT, 1.4), along(FRONT, 1.4), along(UP, 1.4)),
        (130, 165, 105),
        (0.0, -5.0, 18.0),
        face_left_percent=100.0,
    ),
    "long neck": Grid(
        (along(RIGHT, 1.4), along(FRONT, 1.4), along(UP, 1.4)),
        (135, 170, 215),
        (0.0, -5.0, -60.0),
    ),
}


def draw(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy head on a grid and its true brain; the neck goes on below."""
    reference, random = reference_head(), np.random.default_rng(4)
    pull = np.linalg.inv(reference.affine) @ PERSON @ grid.affine
    head = resample(reference.head, pull, grid.shape, order=1, mode="nearest")
    brain = resample(reference.brain.astype(np.float32), pull, grid.shape, order=1)
    noise = random.normal(0, 4, (2, *grid.shape)).astype(np.float32)
    return np.hypot(head + noise[0], noise[1]), brain > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", list(GRIDS))
def test_brain_tissues_and_face_are_found_on_every_grid(name, tmp_path):
    grid = GRIDS[name]
    head, brain = draw(grid)
    session = tmp_path / "raw" / "sub-01" / "ses-a"
    image = session / "anat" / f"{STEM}_T1w.nii.gz"
    write_image(image, (4 * head).astype(np.int16), grid.affine)
    reports = {}
    for made in ("brain_mask", "tissues", "defaced_t1w"):
        (tmp_path / made).mkdir()
        arguments = {"bids_session": session, "subject": "01", "session": "a"}
        if made != "brain_mask":
            arguments["brain_mask_session"] = tmp_path / "brain_mask"
        reports[made] = call_isolated(
            f"imaging_platform.derivatives.{made}:write_{made}",
            {**arguments, "target": tmp_path / made},
        )["scans"][0]

    mask = read_image(tmp_path / "brain_mask" / reports["brain_mask"]["mask"]).data > 0
    before, after = (
        read_image(path).data
        for path in (image, tmp_path / "defaced_t1w" / reports["defaced_t1w"]["image"])
    )
    tissues = reports["tissues"]
    assert dice(mask, brain) >= 0.97
    assert tissues["icv_ml"] == pytest.approx(
        reports["brain_mask"]["volume_ml"], rel=0.01
    )
    assert 0.3 < tissues["gm_ml"] / tissues["icv_ml"] < 0.65
    assert 0.2 < tissues["wm_ml"] / tissues["icv_ml"] < 0.55
    assert np.array_equal(after[brain & mask], before[brain & mask])
    assert (after != before)[brain].mean() < 1e-3
    assert reports["defaced_t1w"]["brain_voxels_removed"] == 0
    assert reports["defaced_t1w"]["face_left_percent"] < grid.face_left_percent
