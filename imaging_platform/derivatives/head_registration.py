"""Registration of a head to the reference head with ANTs, at 2 mm."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imaging_platform.derivatives.ants_images import LPS, from_ants, to_ants
from imaging_platform.derivatives.images import Image
from imaging_platform.derivatives.template import ReferenceHead, reference_head
from imaging_platform.derivatives.volumes import (
    Affine,
    Volume,
    centre_of,
    crop_to,
    resample,
    smooth,
)
from imaging_platform.model.errors import BadInput
from imaging_platform.voxels.masks import dilate, open_mask, otsu_threshold

WORK_MM = 2.0
"""Registration and bias correction run on voxels of this size."""

WARP_MM = 4.0
"""SyN runs on voxels of this size: finer ones cost 5 times more and fit the skull."""

HEAD_HEIGHT_MM = 190.0
"""From the vertex down; what lies below (neck, shoulders) only misleads."""


@dataclass(frozen=True, eq=False)
class RegisteredHead:
    """
    A head in the reference's frame.

    Parameters
    ----------
    head
        Bias-corrected, truncated, 0 to 1; on the upright 2 mm grid.
    brain
        Reference brain warped onto the same grid, 0 to 1.
    affine
        Shape (4, 4), index of that grid to scanner millimetres.
    to_template
        Shape (4, 4), scanner millimetres to template millimetres (affine part).
    """

    head: Volume
    brain: Volume
    affine: Affine
    to_template: Affine


def register_head(image: Image) -> RegisteredHead:
    """
    Register a T1-weighted head of any orientation and voxel size to the reference.

    Bias field by N4 (Tustison et al. 2010, IEEE TMI 29:1310), affine by mutual
    information, then SyN (Avants et al. 2008, Med Image Anal 12:26). Bit-identical
    when the process has a fixed ANTs seed and one ITK thread, which
    `imaging_platform.tools.isolated` sets.

    Parameters
    ----------
    image
        Three dimensions, head upright in scanner coordinates, arbitrary units.

    Raises
    ------
    BadInput
        No head stands out from the background.
    """
    upright, affine = resample_upright(image, WORK_MM)
    upright, affine = _crop_below(upright, affine)
    head = _correct_bias(_truncate(upright), affine)
    with tempfile.TemporaryDirectory(prefix="head-") as folder:
        return _register(head, affine, reference_head(), Path(folder))


def resample_upright(image: Image, voxel_mm: float) -> tuple[Volume, Affine]:
    """
    Return the image on a grid along the scanner's axes (right, anterior, superior).

    Parameters
    ----------
    image
        Three dimensions, any orientation, oblique or sheared.
    voxel_mm
        Edge of the new cubic voxels.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Data that covers the whole image, linear interpolation after smoothing
        against aliasing; and the affine (4, 4) of the new grid.
    """
    shape = np.asarray(image.data.shape)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    placed = image.affine[:3, :3] @ corners + image.affine[:3, 3:]
    low, high = placed.min(axis=1), placed.max(axis=1)
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = low
    size = tuple(int(n) + 1 for n in np.ceil((high - low) / voxel_mm))
    # Half the ratio of the edges: what cubic voxels of that size would average.
    ratio = voxel_mm / image.voxel_mm
    sigma = np.where(ratio > 1.2, 0.35 * ratio, 0.0)
    pull = (np.linalg.inv(image.affine) @ affine).astype(np.float64)
    data = resample(smooth(image.data, sigma), pull, size, order=1)
    return data, affine


def _crop_below(data: Volume, affine: Affine) -> tuple[Volume, Affine]:
    threshold = otsu_threshold(np.minimum(data, np.percentile(data, 99)))
    bright = open_mask(data > threshold)
    filled = np.nonzero(bright.sum(axis=(0, 1)) > 20)[0]
    if not filled.size:
        raise BadInput(
            "No head stands out from the background of the image.",
            fix="Look at the scan; exclude it in the rules if it is empty.",
        )
    first = max(0, int(filled[-1] - HEAD_HEIGHT_MM / affine[2, 2]))
    moved = affine.copy()
    moved[2, 3] += first * affine[2, 2]
    return data[:, :, first:], moved


def _truncate(data: Volume) -> Volume:
    positive = data[data > 0]
    low, high = np.percentile(positive, [0.1, 99.5])
    return np.clip((data - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def _correct_bias(head: Volume, affine: Affine) -> Volume:
    import ants

    inside = dilate(head > 0.5 * otsu_threshold(head))
    image = ants.n4_bias_field_correction(
        to_ants(head + 0.01, affine),
        mask=to_ants(inside.astype(np.float32), affine),
        shrink_factor=4,
        convergence={"iters": [20, 20, 10], "tol": 1e-6},
        spline_param=150.0,
    )
    return _truncate(from_ants(image) - 0.01)


def _register(
    head: Volume,
    affine: Affine,
    reference: ReferenceHead,
    folder: Path,
) -> RegisteredHead:
    import ants

    fixed = to_ants(reference.head, reference.affine)
    moving = to_ants(head, affine)
    start = _write_start(head, affine, reference, folder)
    affine_fit = ants.registration(
        fixed,
        moving,
        "Affine",
        initial_transform=str(start),
        outprefix=str(folder / "affine"),
        aff_metric="mattes",
        aff_sampling=32,
        aff_random_sampling_rate=0.2,
        aff_iterations=(100, 30),
        aff_shrink_factors=(4, 2),
        aff_smoothing_sigmas=(3, 1),
    )["fwdtransforms"][-1]
    fit = _deform(head, affine, reference, affine_fit, folder)
    warped = ants.apply_transforms(
        moving,
        to_ants(reference.brain.astype(np.float32), reference.affine),
        fit,
        interpolator="linear",
        whichtoinvert=[True, False],
    )
    return RegisteredHead(head, from_ants(warped), affine, _read_affine(affine_fit))


def _deform(
    head: Volume,
    affine: Affine,
    reference: ReferenceHead,
    affine_fit: str,
    folder: Path,
) -> list[str]:
    """Return the files that take the reference onto the head: affine, inverse warp."""
    import ants

    moving, moving_affine = resample_upright(Image(head, affine), WARP_MM)
    fixed, fixed_affine = resample_upright(
        Image(reference.head, reference.affine), WARP_MM
    )
    brain, _ = resample_upright(
        Image(reference.brain.astype(np.float32), reference.affine), WARP_MM
    )
    near = dilate(brain > 0.5, 2)
    box, box_affine = crop_to(near, fixed_affine)
    fit = ants.registration(
        to_ants(fixed[box], box_affine),
        to_ants(moving, moving_affine),
        "SyNOnly",
        initial_transform=affine_fit,
        outprefix=str(folder / "syn"),
        mask=to_ants(near[box].astype(np.float32), box_affine),
        syn_metric="mattes",
        syn_sampling=32,
        reg_iterations=(24,),
        flow_sigma=3,
        total_sigma=0,
    )
    return fit["invtransforms"]


def _write_start(
    head: Volume,
    affine: Affine,
    reference: ReferenceHead,
    folder: Path,
) -> Path:
    """Write the translation that lays one head's upper part onto the other's."""
    import ants

    shift = _middle_of_head(head, affine) - _middle_of_head(
        reference.head, reference.affine
    )
    transform = ants.create_ants_transform(
        transform_type="AffineTransform",
        dimension=3,
        matrix=np.eye(3),
        offset=tuple(LPS[:3, :3] @ shift),
        center=(0.0, 0.0, 0.0),
    )
    path = folder / "start.mat"
    ants.write_transform(transform, str(path))
    return path


def _middle_of_head(head: Volume, affine: Affine) -> Affine:
    """Return the middle (mm) of the uppermost 120 mm of the head."""
    inside = open_mask(head > 0.6 * otsu_threshold(head))
    rows = np.nonzero(inside.sum(axis=(0, 1)) > 20)[0]
    if not rows.size:
        rows = np.array([head.shape[2] - 1])
        inside = np.ones_like(inside)
    first = max(0, int(rows[-1] - 120 / affine[2, 2]))
    upper = inside[:, :, first : rows[-1] + 1]
    index = centre_of(upper) + np.array([0, 0, first])
    return affine[:3, :3] @ index + affine[:3, 3]


def _read_affine(path: str) -> Affine:
    """Return scanner mm to template mm; ANTs stores template to scanner, in LPS."""
    import ants

    transform = ants.read_transform(path)
    parameters = np.asarray(transform.parameters, dtype=np.float64)
    centre = np.asarray(transform.fixed_parameters, dtype=np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = parameters[:9].reshape(3, 3)
    matrix[:3, 3] = parameters[9:] + centre - matrix[:3, :3] @ centre
    return np.linalg.inv(LPS @ matrix @ LPS).astype(np.float64)
