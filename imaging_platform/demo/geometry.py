"""Where the voxels of an acquisition are: DICOM's patient coordinates and RAS."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """
    A stack of parallel slices in patient coordinates (LPS, PS3.3 C.7.6.2.1.1).

    Parameters
    ----------
    shape
        Columns, rows and slices; arrays of this grid have this shape.
    spacing_mm
        Distance of neighbouring columns, rows and slices, in mm.
    centre_mm
        Centre of the stack, LPS, in mm.
    row_cosine, column_cosine
        Unit vectors along a row (growing column index) and along a column.
        Slices are stacked along their cross product.
    """

    shape: tuple[int, int, int]
    spacing_mm: Vector
    centre_mm: Vector
    row_cosine: Vector = (1.0, 0.0, 0.0)
    column_cosine: Vector = (0.0, 1.0, 0.0)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector from one slice to the next, LPS."""
        normal = np.cross(self.row_cosine, self.column_cosine)
        return np.asarray(normal, np.float64)

    @property
    def steps_mm(self) -> NDArray[np.float64]:
        """Steps of one voxel along columns, rows, slices as matrix columns, LPS mm."""
        axes = np.stack([self.row_cosine, self.column_cosine, self.normal], axis=1)
        return axes * np.asarray(self.spacing_mm)

    def position_mm(self, index: int) -> NDArray[np.float64]:
        """Return the centre of the first voxel of slice `index` (from 0), LPS mm."""
        half = (np.asarray(self.shape) - 1) / 2
        first = np.asarray(self.centre_mm) - self.steps_mm @ half
        return first + index * self.steps_mm[:, 2]

    def affine_ras(self) -> NDArray[np.float64]:
        """Return the 4 x 4 affine from array index to RAS mm."""
        affine = np.eye(4)
        affine[:3, :3] = self.steps_mm
        affine[:3, 3] = self.position_mm(0)
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine

    def points_ras(self) -> NDArray[np.float32]:
        """Return RAS mm of every voxel centre, shape (3, columns, rows, slices)."""
        affine = self.affine_ras()
        index = np.indices(self.shape, dtype=np.float32)
        points = np.tensordot(affine[:3, :3].astype(np.float32), index, axes=1)
        return points + affine[:3, 3].astype(np.float32)[:, None, None, None]


def tilted_axial(
    shape: tuple[int, int, int], spacing_mm: Vector, *, tilt_deg: float = 0.0
) -> Grid:
    """Return axial slices about the isocentre, tilted about the left-right axis."""
    angle = radians(tilt_deg)
    return Grid(
        shape,
        spacing_mm,
        (0.0, 0.0, 0.0),
        (1.0, 0.0, 0.0),
        (0.0, cos(angle), -sin(angle)),
    )


def sagittal(
    shape: tuple[int, int, int], spacing_mm: Vector, centre_mm: Vector
) -> Grid:
    """Return sagittal slices: columns run to the back, rows run to the feet."""
    return Grid(shape, spacing_mm, centre_mm, (0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


def coronal(shape: tuple[int, int, int], spacing_mm: Vector, centre_mm: Vector) -> Grid:
    """Return coronal slices: columns run to the left, rows run to the feet."""
    return Grid(shape, spacing_mm, centre_mm, (1.0, 0.0, 0.0), (0.0, 0.0, -1.0))


def axis_vectors(
    grid: Grid,
) -> tuple[tuple[NDArray[np.float64], ...], tuple[int, ...]]:
    """
    Return RAS coordinates along x, y and z of an untilted grid, and its axis order.

    Returns
    -------
    vectors
        Three arrays in mm: the coordinates that the voxels take along x, y and z.
    order
        Array axis order: a volume indexed (x, y, z) and transposed by `order` is
        indexed as the grid.

    Raises
    ------
    ValueError
        The grid is tilted.
    """
    affine = grid.affine_ras()
    order = tuple(int(np.argmax(np.abs(affine[:3, axis]))) for axis in range(3))
    if (
        sorted(order) != [0, 1, 2]
        or np.count_nonzero(np.abs(affine[:3, :3]) > 1e-9) != 3
    ):
        raise ValueError("only an untilted grid has axis vectors")
    vectors: list[NDArray[np.float64]] = [np.empty(0)] * 3
    for axis, world in enumerate(order):
        steps = np.arange(grid.shape[axis])
        vectors[world] = affine[world, 3] + affine[world, axis] * steps
    return tuple(vectors), order
