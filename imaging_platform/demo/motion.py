"""How a head moves in a run: six parameters a volume, known to the last digit."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

HEAD_RADIUS_MM = 50.0
"""Radius at which a rotation counts as a way (Power et al. 2012)."""

STEP_MM = {"good": 0.018, "motion": 0.060, "low_snr": 0.031}
UNREST = 1.0
"""Standard deviation of the logarithm of a step's size: mostly still, at times not."""

SETTLING = 0.95
"""What is left a volume later of how far the head lies from its place."""

VOLUMES_A_JERK = {"good": 0, "motion": 14, "low_snr": 0}
"""One sudden nod in so many volumes; 0 for none."""


def draw_motion(
    n_volumes: int, quality: str, random: np.random.Generator
) -> NDArray[np.float64]:
    """
    Return a head's motion in a run, shape (n_volumes, 6).

    Parameters
    ----------
    n_volumes
        At least 1.
    quality
        ``good``, ``motion`` (restless, with sudden nods) or ``low_snr`` (calm).

    Returns
    -------
    numpy.ndarray
        Translations along x, y, z (RAS, mm) and rotations about x, y, z (rad),
        relative to the first volume, whose row is 0. A point p of the head at
        rest is found at R (p - c) + c + t, with R = Rx Ry Rz and c the centre of
        the acquired volume.
    """
    step = STEP_MM[quality]
    # The displacement of real heads is skewed to the right (Power et al. 2012).
    sizes = random.lognormal(-(UNREST**2) / 2, UNREST, (n_volumes, 1))
    steps = sizes * random.normal(0, step, (n_volumes, 6))
    walk = np.array(list(accumulate(steps, lambda was, more: SETTLING * was + more)))
    time = np.arange(n_volumes)
    phases = random.uniform(0, 2 * np.pi, 6)
    # Breathing nods the head a little with every volume, aliased by the TR.
    breathing = 1.2 * step * np.sin(2 * np.pi * 0.31 * time[:, None] + phases)
    motion = walk + breathing * np.array([0.3, 1.0, 0.8, 1.0, 0.3, 0.3])
    every = VOLUMES_A_JERK[quality]
    for onset in range(every // 2, n_volumes, every) if every else ():
        motion[onset:] += random.normal(0, 0.5, 6)
    motion[:, 3:] /= HEAD_RADIUS_MM
    return motion - motion[0]


def framewise_displacement_mm(motion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Power's framewise displacement in mm, shape (n_volumes,), first 0."""
    weights = np.array([1, 1, 1, HEAD_RADIUS_MM, HEAD_RADIUS_MM, HEAD_RADIUS_MM])
    steps = np.abs(np.diff(motion, axis=0)) * weights
    return np.concatenate([[0.0], steps.sum(axis=1)])


def rotation_matrix(angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Rx Ry Rz for angles about x, y and z in radians, shape (3, 3)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles_rad), np.sin(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def points_at_rest(
    points_ras: NDArray[np.float32],
    parameters: NDArray[np.float64],
    centre_ras: NDArray[np.float64],
) -> NDArray[np.float32]:
    """
    Return where in the head at rest the tissue at `points_ras` (3, ...) came from.

    The inverse of the motion that `draw_motion` describes, for one volume's six
    `parameters` about `centre_ras` (mm).
    """
    back = rotation_matrix(parameters[3:]).T
    offset = centre_ras - back @ (centre_ras + parameters[:3])
    moved = np.tensordot(back.astype(np.float32), points_ras, axes=1)
    return moved + offset.astype(np.float32).reshape(3, *([1] * (moved.ndim - 1)))
