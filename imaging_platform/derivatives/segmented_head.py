"""The tissues of a session's T1w, brought onto the grid of its other scans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imaging_platform.derivatives.alignment import Alignment
from imaging_platform.derivatives.images import Image, read_image
from imaging_platform.derivatives.scans import find_scans
from imaging_platform.derivatives.segmentation import LABELS
from imaging_platform.derivatives.volumes import Volume, crop_to, resample, smooth
from imaging_platform.voxels.masks import Mask

SURE = 0.95
"""Probability above which a voxel's signal is that of one tissue."""

FEWEST = 20
"""Voxels that a tissue's signals come from, if it has them at all."""


@dataclass(frozen=True, eq=False)
class SegmentedHead:
    """
    A segmented T1w, cut to its brain.

    Parameters
    ----------
    name
        File name of the corrected T1w.
    brain
        Its signal, 0 outside of the brain.
    mask
        Shape of `brain`.
    tissues
        Probability of each of `LABELS`, shape of `brain`.
    """

    name: str
    brain: Image
    mask: Mask
    tissues: tuple[Volume, ...]


def read_head(tissues: Path) -> SegmentedHead | None:
    """
    Return the first T1w that `write_tissues` segmented; None when there is none.

    Parameters
    ----------
    tissues
        What it wrote for the session.
    """
    found = find_scans(tissues, "anat", "T1w")
    corrected = [scan for scan in found if scan.label("desc") == "preproc"]
    if not corrected:
        return None
    path = corrected[0].path
    stem = path.name.removesuffix("_desc-preproc_T1w.nii.gz")
    maps = [
        read_image(path.with_name(f"{stem}_label-{label}_probseg.nii.gz")).data
        for label in LABELS
    ]
    image, mask = read_image(path), np.sum(maps, axis=0) > 0.5
    box, affine = crop_to(mask, image.affine)
    cut = tuple(tissue[box] for tissue in maps)
    return SegmentedHead(path.name, Image(image.data[box], affine), mask[box], cut)


def place_map(
    data: Volume, head: SegmentedHead, other: Image, found: Alignment
) -> Volume:
    """
    Return a map of the T1w on the grid of another scan, averaged over its voxels.

    Parameters
    ----------
    data
        Shape of the head.
    other
        Three dimensions; only its grid is used.
    found
        Way from the T1w to that scan.
    """
    pull = np.linalg.inv(head.brain.affine) @ np.linalg.inv(found.matrix) @ other.affine
    sigma = 0.3 * float(other.voxel_mm.mean()) / head.brain.voxel_mm
    return resample(smooth(data, sigma), pull, other.data.shape, order=1)


def find_surest(tissue: Volume) -> Mask:
    """Return the voxels above `SURE`; on coarse grids the `FEWEST` surest."""
    enough = np.partition(tissue, -FEWEST, axis=None)[-FEWEST]
    return tissue > max(min(SURE, float(enough) - 1e-6), 0.5)
