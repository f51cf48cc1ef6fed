"""Rigid realignment of a series by Gauss-Newton, and framewise displacement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.volumes import (
    prepare_spline,
    resample,
    sample_spline,
    smooth,
)
from imaging_platform.voxels.masks import dilate, open_mask

HEAD_RADIUS_MM = 50.0
"""Sphere on which angles become arcs (Power et al. 2012, NeuroImage 59:2142)."""

MAX_ITERATIONS = 25
CONVERGED_MM = 1e-4
"""A step that moves the head less than this ends the search."""


@dataclass(frozen=True)
class _Pass:
    """
    One round over all volumes.

    Parameters
    ----------
    smoothing_voxels
        Gaussian standard deviation before estimation: more of it widens the range
        of capture, less of it keeps the fine detail that says most about motion.
    max_points
        Voxels that take part; noise of the estimate falls with their square root.
    """

    smoothing_voxels: float
    max_points: int


COARSE = _Pass(smoothing_voxels=1.0, max_points=12_000)
FINE = _Pass(smoothing_voxels=0.5, max_points=60_000)
"""All voxels of the head in a run of 3 mm: on planted motion the errors come near the
Cramer-Rao bound of the thermal noise."""


@dataclass(frozen=True, eq=False)
class _Reference:
    """The volume all others are moved to, with what Gauss-Newton needs of it, once."""

    points_mm: NDArray[np.float64]
    centre_mm: NDArray[np.float64]
    values: NDArray[np.float64]
    solver: NDArray[np.float64]


def estimate_motion(
    series: NDArray[np.float32], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """
    Return the rigid movement of the head in each volume against the middle one.

    Inverse compositional Gauss-Newton on smoothed volumes with a free gain
    (Baker and Matthews 2004, IJCV 56:221), in two passes: to the middle volume, each
    from its neighbour; then to the mean of the realigned volumes, whose noise is low.

    Parameters
    ----------
    series
        Shape (x, y, z, t), t >= 2, arbitrary units, finite.
    affine
        Shape (4, 4), voxel index to scanner millimetres.

    Returns
    -------
    numpy.ndarray
        Shape (t, 6): translation along right, anterior, superior in mm, rotation
        about the same axes in radians, about the middle of the image. All zero
        when the series holds no contrast.
    """
    count = series.shape[3]
    middle = count // 2
    motion = np.zeros((count, 6))
    reference = _prepare(series[..., middle], affine, COARSE)
    if reference is None:
        return motion
    to_voxel = np.linalg.inv(affine).astype(np.float64)
    for order in (range(middle + 1, count), range(middle - 1, -1, -1)):
        matrix = np.eye(4)
        for index in order:
            volume = _smooth(series[..., index], COARSE)
            matrix = _align(volume, to_voxel, reference, matrix)
            motion[index] = parameters_of(matrix)
    return _refine(series, affine, motion)


def realign(
    series: NDArray[np.float32],
    affine: NDArray[np.float64],
    motion: NDArray[np.float64],
) -> NDArray[np.float32]:
    """
    Return the series with each volume moved back onto the middle one (cubic splines).

    Parameters
    ----------
    series, affine
        As for `estimate_motion`.
    motion
        What it returned, shape (t, 6).

    Returns
    -------
    numpy.ndarray
        Shape of `series`. Outside the field of view the nearest voxel is taken.
        A volume that did not move is unchanged.
    """
    moved = np.empty_like(series)
    for index, row in enumerate(motion):
        moved[..., index] = _move_back(series[..., index], affine, row)
    return moved


def framewise_displacement(
    motion: NDArray[np.float64], radius_mm: float = HEAD_RADIUS_MM
) -> NDArray[np.float64]:
    """
    Return the head's path between neighbouring volumes (Power et al. 2012).

    Parameters
    ----------
    motion
        Shape (t, 6), mm and radians.
    radius_mm
        Radius of the sphere on which an angle becomes an arc.

    Returns
    -------
    numpy.ndarray
        Shape (t,), mm. The first value is NaN: it has no predecessor.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[0.0] * 6, [0.3, 0, 0, 0.01, 0, 0]])
    >>> round(float(framewise_displacement(rows)[1]), 3)
    0.8
    """
    steps = np.abs(np.diff(motion, axis=0))
    path = steps[:, :3].sum(axis=1) + radius_mm * steps[:, 3:].sum(axis=1)
    return np.concatenate([[np.nan], path])


def matrix_of(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rigid 4 x 4 matrix of (translation mm, rotation rad): R = Rz Ry Rx."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(row[3:]), np.sin(row[3:])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_y @ about_x
    matrix[:3, 3] = row[:3]
    return matrix


def parameters_of(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the six numbers that `matrix_of` turns back into a rigid matrix."""
    rotation = matrix[:3, :3]
    angles = [
        np.arctan2(rotation[2, 1], rotation[2, 2]),
        np.arcsin(np.clip(-rotation[2, 0], -1, 1)),
        np.arctan2(rotation[1, 0], rotation[0, 0]),
    ]
    return np.concatenate([matrix[:3, 3], angles])


def about(
    matrix: NDArray[np.float64], centre_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return `matrix` as a turn about a centre instead of the origin."""
    placed = matrix.copy()
    placed[:3, 3] += centre_mm - matrix[:3, :3] @ centre_mm
    return placed


def image_centre_mm(
    shape: tuple[int, ...], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the scanner position (mm) of the middle of an image of this shape."""
    middle = (np.asarray(shape[:3]) - 1) / 2
    return affine[:3, :3] @ middle + affine[:3, 3]


def _move_back(
    volume: NDArray[np.float32], affine: NDArray[np.float64], row: NDArray[np.float64]
) -> NDArray[np.float32]:
    if not np.any(row):
        return volume
    centre = image_centre_mm(volume.shape, affine)
    pull = np.linalg.inv(affine) @ about(matrix_of(row), centre) @ affine
    return resample(volume, pull, volume.shape, order=3, mode="nearest")


def _refine(
    series: NDArray[np.float32],
    affine: NDArray[np.float64],
    coarse: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the motion against the middle volume, by way of the mean volume."""
    total = np.zeros(series.shape[:3])
    for index, row in enumerate(coarse):
        total += _move_back(series[..., index], affine, row)
    mean = (total / len(coarse)).astype(np.float32)
    reference = _prepare(mean, affine, FINE)
    if reference is None:
        return coarse
    to_voxel = np.linalg.inv(affine).astype(np.float64)
    found = [
        _align(_smooth(series[..., index], FINE), to_voxel, reference, matrix_of(row))
        for index, row in enumerate(coarse)
    ]
    middle = len(coarse) // 2
    to_mean = np.linalg.inv(found[middle])
    motion = np.array([parameters_of(matrix @ to_mean) for matrix in found])
    motion[middle] = 0  # not the rounding error of a matrix times its inverse
    return motion


def _smooth(volume: NDArray[np.float32], chosen: _Pass) -> NDArray[np.float32]:
    # A series of two or three thick slices must not be smoothed across them.
    sigma = [chosen.smoothing_voxels if size >= 8 else 0.0 for size in volume.shape]
    return smooth(volume, np.array(sigma))


def _prepare(
    volume: NDArray[np.float32], affine: NDArray[np.float64], chosen: _Pass
) -> _Reference | None:
    places = _choose_points(_smooth(volume, COARSE), chosen.max_points)
    if places.shape[1] < 100:
        return None
    volume = _smooth(volume, chosen)
    gradient = _slopes(volume, places) @ np.linalg.inv(affine[:3, :3])
    points = affine[:3, :3] @ places + affine[:3, 3:]
    centre = image_centre_mm(volume.shape, affine)
    arms = points.T - centre
    values = volume[tuple(places)].astype(np.float64)
    jacobian = np.column_stack([gradient, np.cross(arms, gradient), values]).astype(
        np.float64
    )
    normal = np.einsum("ij,ik->jk", jacobian, jacobian)
    if np.linalg.matrix_rank(normal) < 7:
        return None
    solver = np.linalg.solve(normal, jacobian.T).astype(np.float64)
    return _Reference(arms, centre, values, solver)


def _slopes(
    volume: NDArray[np.float32], places: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the spline's derivative along each index, shape (n, 3)."""
    spline = prepare_spline(volume)
    slopes = np.empty((places.shape[1], 3))
    for axis, step in enumerate(0.05 * np.eye(3)[:, :, None]):
        ahead = sample_spline(spline, places + step)
        slopes[:, axis] = (ahead - sample_spline(spline, places - step)) / 0.1
    return slopes


def _choose_points(volume: NDArray[np.float32], most: int) -> NDArray[np.intp]:
    head = volume > 0.25 * np.percentile(volume, 98)
    head = dilate(open_mask(head), 2)
    for axis, size in enumerate(volume.shape):
        if size >= 8:
            edge = np.moveaxis(head, axis, 0)
            edge[0], edge[-1] = False, False
    chosen = np.array(np.nonzero(head))
    step = max(1, -(-chosen.shape[1] // most))
    # A step that shares no factor with the rows spreads over all columns.
    return chosen[:, :: step | 1]


def _align(
    volume: NDArray[np.float32],
    to_voxel: NDArray[np.float64],
    reference: _Reference,
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    spline = prepare_spline(volume)
    matrix = start
    for _ in range(MAX_ITERATIONS):
        placed = (
            matrix[:3, :3] @ reference.points_mm.T
            + (matrix[:3, 3] + reference.centre_mm)[:, None]
        )
        voxels = to_voxel[:3, :3] @ placed + to_voxel[:3, 3:]
        values = sample_spline(spline, voxels)
        gain = float(values @ reference.values) / max(float(values @ values), 1e-12)
        step = reference.solver @ (gain * values - reference.values)
        matrix = matrix @ np.linalg.inv(matrix_of(step[:6]))
        size_mm = np.abs(step[:3]).sum() + HEAD_RADIUS_MM * np.abs(step[3:6]).sum()
        if size_mm < CONVERGED_MM:
            break
    return matrix
