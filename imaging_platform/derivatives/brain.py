"""The brain of a T1w as its mask dataset holds it: mask and way to the template."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.brain_mask import TRANSFORM_KEY
from imaging_platform.derivatives.images import Image, read_image
from imaging_platform.derivatives.scans import Scan, derived_path
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey


@dataclass(frozen=True, eq=False)
class Brain:
    """
    Where the brain of a scan is.

    Parameters
    ----------
    mask
        Shape of the scan.
    to_template
        Shape (4, 4), scanner mm to template mm.
    """

    mask: NDArray[np.bool_]
    to_template: NDArray[np.float64]


def mask_path(masks: Path, key: SessionKey, scan: Scan) -> Path:
    """Return where `write_brain_mask` puts the mask of a scan."""
    return derived_path(masks, key, scan, "brain", "mask", ".nii.gz")


def read_brain(masks: Path, key: SessionKey, scan: Scan, image: Image) -> Brain | None:
    """
    Return the brain of a T1w; None when it has no mask.

    Parameters
    ----------
    masks
        What `write_brain_mask` wrote for the session.
    key, scan
        Session and scan of the mask.
    image
        The scan itself.

    Raises
    ------
    BadInput
        The mask cannot be read, does not fit the scan, or has no transform.
    """
    path = mask_path(masks, key, scan)
    if not path.is_file():
        return None
    mask = read_image(path).data > 0
    if mask.shape != image.data.shape:
        raise BadInput(
            f"The brain mask of {scan.name} has another shape than the scan.",
            fix="Make the brain mask of this session again.",
        )
    return Brain(mask, _read_transform(path))


def _read_transform(path: Path) -> NDArray[np.float64]:
    sidecar = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
    try:
        value = json.loads(sidecar.read_text(encoding="utf-8"))[TRANSFORM_KEY]
        matrix = np.asarray(value, dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_transform(path) from error
    if matrix.shape != (4, 4):
        raise _no_transform(path)
    return matrix


def _no_transform(path: Path) -> BadInput:
    return BadInput(
        f"The sidecar of {path.name} holds no {TRANSFORM_KEY} of 4 x 4 numbers.",
        fix="Make the brain mask of this session again.",
    )
