"""Where the face of a head is, and whether it is still there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.images import Image
from imaging_platform.derivatives.template import reference_head
from imaging_platform.derivatives.volumes import Volume, distance_mm, resample
from imaging_platform.voxels.masks import Mask, otsu_threshold

GUARD_MM = 3.0
"""The brain mask is widened by this much before the face is cut."""

NO_FACE_PERCENT = 3.0
"""With less tissue than this in front of the head, there is no face any more: whole
heads have 25 % and more there."""


def find_face(
    image: Image,
    brain: Mask,
    to_template: NDArray[np.float64],
    guard_mm: float = GUARD_MM,
) -> Mask:
    """
    Return the voxels to remove: the template's face outside of the guarded brain.

    Parameters
    ----------
    image
        The scan; only its grid is used.
    brain
        Brain mask of its three dimensions; widened by `guard_mm` it is never removed.
    to_template
        Shape (4, 4), scanner mm to template mm.
    guard_mm
        At least one voxel is kept around the brain.
    """
    reference = reference_head()
    pull = np.linalg.inv(reference.affine) @ to_template @ image.affine
    # "nearest": the face goes on below and before the template's own box.
    face = resample(
        reference.face.astype(np.uint8), pull, brain.shape, order=0, mode="nearest"
    ).astype(bool)
    width_mm = max(guard_mm, float(image.voxel_mm.min()))
    return face & ~_widen(brain, image.voxel_mm, width_mm)


def _widen(mask: Mask, voxel_mm: NDArray[np.float64], width_mm: float) -> Mask:
    """Return the mask with all that is so near; only its neighbourhood is computed."""
    wide = np.zeros_like(mask)
    if mask.any():
        rim = np.ceil(width_mm / voxel_mm).astype(int) + 1
        box = tuple(
            slice(max(0, int(index.min()) - r), int(index.max()) + r + 1)
            for index, r in zip(np.nonzero(mask), rim, strict=True)
        )
        wide[box] = distance_mm(mask[box], voxel_mm) <= width_mm
    return wide


def find_tissue(volume: Volume) -> Mask:
    """Return what is brighter than air, three dimensions."""
    capped = np.minimum(volume, np.percentile(volume, 99))
    return capped > 0.4 * otsu_threshold(capped)


def find_profile(image: Image, brain: Mask) -> Mask:
    """
    Return the place of eyes, nose and mouth as the brain alone tells it.

    The box in front of the brain's foremost point less 15 mm, within 35 mm of its
    middle, and lower under its top than 0.62 of its length, along the scanner's axes
    (counted from the top, since a field of view may cut the brain's lower end).
    Whether a face is left there is told without the registration that cut it.

    Parameters
    ----------
    image
        The scan; only its grid is used.
    brain
        Mask of its three dimensions; an empty one has no profile.
    """
    if not brain.any():
        return np.zeros_like(brain)
    right, front, up = _places(image, brain.shape)
    back, foremost = float(front[brain].min()), float(front[brain].max())
    middle = float(np.median(right[brain]))
    return (
        (front > foremost - 15)
        & (up < float(up[brain].max()) - 0.62 * (foremost - back))
        & (np.abs(right - middle) < 35)
    )


def _places(image: Image, shape: tuple[int, ...]) -> list[NDArray[np.float32]]:
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    rows = image.affine[:3].astype(np.float32)
    return [(r[0] * x + r[1] * y + r[2] * z + r[3]).astype(np.float32) for r in rows]
