"""One output of dcm2niix, as the tests of the demo study look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray


@dataclass(frozen=True)
class Converted:
    """An image and its sidecar."""

    path: Path
    sidecar: Mapping[str, object]

    @property
    def image(self) -> Nifti1Image:
        return Nifti1Image.from_filename(self.path)

    @property
    def data(self) -> NDArray[np.float32]:
        return np.asarray(self.image.dataobj, np.float32)

    @property
    def affine(self) -> NDArray[np.float64]:
        return np.asarray(self.image.affine, np.float64)

    def table(self, suffix: str) -> NDArray[np.float64]:
        return np.loadtxt(self.path.with_suffix(suffix), ndmin=2)

    def points(self) -> NDArray[np.float32]:
        """RAS mm of each voxel, shape (3, x, y, z)."""
        index = np.indices(self.image.shape[:3], dtype=np.float32)
        affine = self.affine.astype(np.float32)
        return np.tensordot(affine[:3, :3], index, 1) + affine[:3, 3, None, None, None]


def series(outputs: list[Converted], number: int) -> list[Converted]:
    """Return the outputs of one series."""
    return [output for output in outputs if output.sidecar["SeriesNumber"] == number]
