"""The diffusion tensor by weighted least squares, and what is read from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK_VOXELS = 20_000
"""Voxels fitted at once; bounds memory to about 100 MB for 100 volumes."""

LEAST_SIGNAL = 1e-6
"""Signals are raised to this share of the volume's maximum before the logarithm."""


@dataclass(frozen=True, eq=False)
class TensorFit:
    """
    Tensor of each fitted voxel.

    Parameters
    ----------
    eigenvalues
        Shape (n, 3), descending, in 1 over the unit of b (mm2/s for s/mm2), > 0.
    principal
        Shape (n, 3): unit eigenvector of the greatest eigenvalue, in the frame of
        the gradient vectors; its sign carries no meaning.
    """

    eigenvalues: NDArray[np.float64]
    principal: NDArray[np.float64]

    @property
    def fractional_anisotropy(self) -> NDArray[np.float64]:
        """FA (Basser, Pierpaoli 1996, J Magn Reson B 111:209), shape (n,), 0 to 1."""
        values = self.eigenvalues
        spread = ((values - values.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        size = (values**2).sum(axis=1)
        return np.sqrt(
            1.5 * np.divide(spread, size, out=np.zeros_like(size), where=size > 0)
        )

    @property
    def mean_diffusivity(self) -> NDArray[np.float64]:
        """Mean of the eigenvalues, shape (n,), mm2/s."""
        return self.eigenvalues.mean(axis=1)


def fit_tensor(
    signal: NDArray[np.floating],
    b_values: NDArray[np.float64],
    vectors: NDArray[np.float64],
) -> TensorFit:
    """
    Fit ln S = ln S0 - b g'Dg by weighted least squares.

    Weights are the squared signals that an ordinary fit predicts (Salvador et al.
    2005, Hum Brain Mapp 24:144; Chung et al. 2006, NeuroImage 33:531).

    Parameters
    ----------
    signal
        Shape (n, volumes), not negative.
    b_values
        Shape (volumes,), s/mm2.
    vectors
        Shape (volumes, 3), unit length; any value where b is 0.

    Returns
    -------
    TensorFit
        Eigenvalues are raised to a small positive number where noise made them
        negative.
    """
    design = design_matrix(b_values, vectors)
    floor = max(float(signal.max(initial=0.0)) * LEAST_SIGNAL, 1e-12)
    least = 1e-6 / max(float(b_values.max()), 1.0)
    parts = [
        _fit_chunk(signal[first : first + CHUNK_VOXELS], design, floor, least)
        for first in range(0, len(signal), CHUNK_VOXELS)
    ]
    if not parts:
        return TensorFit(np.zeros((0, 3)), np.zeros((0, 3)))
    return TensorFit(
        np.concatenate([values for values, _ in parts]),
        np.concatenate([vectors for _, vectors in parts]),
    )


def design_matrix(
    b_values: NDArray[np.float64], vectors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """
    Return the matrix of the log-linear model, shape (volumes, 7).

    Columns belong to Dxx, Dyy, Dzz, Dxy, Dxz, Dyz and ln S0.
    """
    x, y, z = vectors.T
    squares = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)
    return np.column_stack([-b_values[:, None] * squares, np.ones(len(b_values))])


def _fit_chunk(
    signal: NDArray[np.floating],
    design: NDArray[np.float64],
    floor: float,
    least: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    logs = np.log(np.maximum(signal.astype(np.float64), floor))
    ordinary = logs @ np.linalg.pinv(design).T
    weights = np.exp(2 * (ordinary @ design.T))
    weights /= weights.max(axis=1, keepdims=True)
    # b is scaled to about 1, so that the 7 x 7 systems are well conditioned.
    scale = np.abs(design).max(axis=0)
    scaled = design / scale
    normal = np.einsum("nv,vi,vj->nij", weights, scaled, scaled, optimize=True)
    right = (weights * logs) @ scaled
    solved = np.linalg.solve(normal, right[..., None])[..., 0] / scale
    xx, yy, zz, xy, xz, yz, _ = solved.T
    tensors = np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], axis=1).reshape(-1, 3, 3)
    values, vectors = np.linalg.eigh(tensors)
    return np.maximum(values[:, ::-1], least), vectors[:, :, 2]
