"""A head scan of a session with its masks and tissues, ready to be measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from imaging_platform.qc.air import distance_to_head, mask_artifacts, mask_rotation
from imaging_platform.qc.anatomy import Head, harmonize
from imaging_platform.qc.scans import (
    Volumes,
    find_derived,
    find_labelled,
    read_volumes,
    scan_suffix,
    voxel_edges_mm,
)
from imaging_platform.qc.tissue_shares import TISSUES
from imaging_platform.qc.tissues import (
    ORDERS,
    T1W_ORDER,
    mask_hat,
    mask_whole_head,
    segment_tissues,
)
from imaging_platform.voxels.masks import Mask

Maps = dict[str, NDArray[np.float32]]
"""A map of each tissue."""

_ndimage: Any = scipy.ndimage  # its inferred return types are unions with scalars


def read_upright(path: Path) -> Volumes:
    """
    Read an image with its axes turned to right, anterior and superior.

    Raises
    ------
    BadInput
        The file is damaged or no image.
    """
    return to_upright(read_volumes(path))


def resample_mask(mask: Volumes, image: Volumes) -> Mask:
    """Return a mask on the grid of another image of the session, nearest neighbours."""
    matrix = np.linalg.inv(mask.affine) @ image.affine
    return np.asarray(
        _ndimage.affine_transform(
            (mask.data > 0).astype(np.uint8),
            matrix[:3, :3],
            offset=matrix[:3, 3],
            output_shape=image.data.shape[:3],
            order=0,
        ),
        dtype=bool,
    )


def to_upright(image: Volumes) -> Volumes:
    """Return an image whose axes run closest to right, anterior and superior."""
    axes = nib.orientations.io_orientation(image.affine)
    turned = nib.orientations.apply_orientation(image.data, axes)
    back = nib.orientations.inv_ornt_aff(axes, image.data.shape[:3])
    return Volumes(np.ascontiguousarray(turned), image.affine @ back)


def build_head(
    scan: Path, image: Volumes, brain: Mask, tissues: Path | None
) -> Head | None:
    """
    Return a head scan with its masks and tissues.

    Parameters
    ----------
    scan
        The raw scan, by whose name derivatives are found.
    image
        The scan, upright, three dimensions.
    brain
        Mask on the same grid.
    tissues
        What the derivative of this name wrote for the session. Without its maps the
        tissues are found here by intensity.

    Returns
    -------
    Head or None
        None when a tissue has no voxels.
    """
    edges_mm = voxel_edges_mm(image)
    found = _read_tissues(tissues, scan, image.data.shape)
    if found is None:
        order = ORDERS.get(scan_suffix(scan), T1W_ORDER)
        own = segment_tissues(image.data, brain, np.array(edges_mm), order)
        masks = (own.csf, own.gm, own.wm)
        maps: Maps = {
            name: mask.astype(np.float32)
            for name, mask in zip(TISSUES, masks, strict=True)
        }
        found = maps, own.bias
    probabilities, bias = found
    if any(not np.any(each > 0.5) for each in probabilities.values()):
        return None
    even = np.divide(image.data, bias, out=image.data.copy(), where=bias > 1e-3)
    corrected = harmonize(np.maximum(even, 0), probabilities["wm"])
    head = mask_whole_head(corrected) | brain
    hat = mask_hat(head, brain, image.affine)
    artifacts = mask_artifacts(image.data, hat, distance_to_head(head, hat))
    return Head(
        raw=image.data,
        corrected=corrected,
        probabilities=probabilities,
        brain=brain,
        head=head,
        air=hat & ~artifacts,
        artifacts=artifacts,
        voxel_mm=edges_mm,
        rotation=mask_rotation(image.data),
        bias=bias,
    )


def _read_tissues(
    tissues: Path | None, scan: Path, shape: tuple[int, ...]
) -> tuple[Maps, NDArray[np.float32]] | None:
    """Return the maps and the bias field of the derivative; None without them."""
    paths = [find_labelled(tissues, scan, name.upper()) for name in TISSUES]
    field = find_derived(tissues, scan, "biasfield", scan_suffix(scan))
    if field is None or any(path is None for path in paths):
        return None
    images = [read_upright(path) for path in (field, *paths) if path]
    if any(each.data.shape != shape for each in images):
        return None
    bias, *maps = (each.data for each in images)
    return dict(zip(TISSUES, maps, strict=True)), bias
