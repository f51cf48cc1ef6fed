"""Arrays as images of ANTs, which counts left, posterior, superior."""

from __future__ import annotations

from typing import Any

import numpy as np

from imaging_platform.derivatives.volumes import Affine, Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Millimetres of NIfTI to those of ITK, and back."""


def to_ants(data: Volume, affine: Affine) -> Any:  # ANTsImage
    """Return an ANTs image of an upright grid; ITK counts left, posterior, superior."""
    import ants

    # Flipping the first two axes keeps the direction matrix the identity.
    flipped = np.ascontiguousarray(data[::-1, ::-1], dtype=np.float32)
    last = affine[:3, :3] @ [data.shape[0] - 1, data.shape[1] - 1, 0] + affine[:3, 3]
    return ants.from_numpy(
        flipped,
        origin=tuple((LPS[:3, :3] @ last).tolist()),
        spacing=tuple(np.diag(affine)[:3].tolist()),
    )


def from_ants(image: Any) -> Volume:  # ANTsImage
    """Return the array of `to_ants` again, in its own order of axes."""
    return np.ascontiguousarray(image.numpy()[::-1, ::-1], dtype=np.float32)
