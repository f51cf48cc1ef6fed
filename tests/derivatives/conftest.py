"""Small sessions with known truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imaging_platform.derivatives.images import write_image
from imaging_platform.derivatives.realignment import (
    about,
    image_centre_mm,
    matrix_of,
)
from imaging_platform.derivatives.template import reference_head
from imaging_platform.derivatives.volumes import resample, smooth

BOLD_SHAPE = (40, 44, 22)
VOLUMES = 24


@pytest.fixture(scope="session")
def bold_affine():
    """Voxels of 5 x 5 x 6 mm, radiological order."""
    affine = np.diag([-5.0, 5.0, 6.0, 1.0])
    affine[:3, 3] = [97, -120, -60]
    return affine


@pytest.fixture(scope="session")
def planted_motion():
    """A random walk of the head, and one jump; zero at the middle volume."""
    random = np.random.default_rng(7)
    motion = np.cumsum(random.normal(0, [0.1] * 3 + [0.002] * 3, (VOLUMES, 6)), axis=0)
    motion[18:] += [0.5, 1.0, -0.7, 0.01, -0.01, 0.02]
    return motion - motion[VOLUMES // 2]


@pytest.fixture(scope="session")
def moving_series(bold_affine, planted_motion):
    """The reference head as a series that moves as planted, with little noise."""
    return move_head(planted_motion, bold_affine, noise=3)


def move_head(motion, bold_affine, noise: float):
    """Return the reference head (about 700 in the brain) in a run that moves so."""
    reference = reference_head()
    head = smooth(reference.head * 4, 1.5)
    random = np.random.default_rng(8)
    centre = image_centre_mm(BOLD_SHAPE, bold_affine)
    series = np.empty((*BOLD_SHAPE, len(motion)), dtype=np.float32)
    for index, row in enumerate(motion):
        placed = np.linalg.inv(about(matrix_of(row), centre)) @ bold_affine
        pull = np.linalg.inv(reference.affine) @ placed
        series[..., index] = resample(head, pull, BOLD_SHAPE, order=1)
    return series + random.normal(0, noise, series.shape).astype(np.float32)


@pytest.fixture
def empty_session(tmp_path: Path) -> Path:
    session = tmp_path / "raw" / "sub-01" / "ses-a"
    session.mkdir(parents=True)
    return session


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "derivatives" / "sub-01" / "ses-a"
    folder.mkdir(parents=True)
    return folder


def write_bold(session: Path, series, affine, name: str = "task-rest") -> Path:
    path = session / "func" / f"sub-01_ses-a_{name}_bold.nii.gz"
    write_image(path, series.astype(np.int16), affine, repetition_time_s=2.0)
    sidecar = {"TaskName": "rest", "RepetitionTime": 2.0}
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(
        json.dumps(sidecar)
    )
    return path


def files_of(root: Path) -> dict[str, bytes]:
    """Name and content of every file below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
