"""Diffusion-weighted volumes: a tensor a tissue, fibres where anatomy has them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from imaging_platform.demo.anatomy import Person, receive_field
from imaging_platform.demo.geometry import Grid
from imaging_platform.demo.images import (
    Pixels,
    Tissue,
    Volume,
    add_noise,
    as_pixels,
    brain_mask,
    distorted_points,
    echo_planar,
)

B_VALUE = 1000.0
"""s/mm^2 of the weighted volumes."""

AXIAL_MM2_S, RADIAL_MM2_S = 1.6e-3, 0.35e-3
"""Diffusivity along and across a fibre of white matter: FA 0.75 in pure voxels."""

ISOTROPIC_MM2_S = {
    "grey": 0.85e-3,
    "fluid": 3.0e-3,
    "outside": 0.6e-3,
    "marker": 0.1e-3,
}

SIGNAL_TO_NOISE = {"good": 35.0, "motion": 30.0, "low_snr": 14.0}


def gradient_table(
    n_directions: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Return b-values (s/mm^2) and directions (RAS) of a run with two unweighted volumes.

    Directions lie on a spiral over the half sphere, which spreads any number of
    them evenly; the unweighted volumes come first and in the middle.

    Returns
    -------
    bvalues
        Shape (n_directions + 2,).
    directions
        Unit rows, 0 where the b-value is 0, shape (n_directions + 2, 3).
    """
    index = np.arange(n_directions)
    z = 1 - (index + 0.5) / n_directions
    angle = np.pi * (3 - np.sqrt(5)) * index
    radius = np.sqrt(1 - z * z)
    spiral = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
    middle = n_directions // 2
    zero = np.zeros((1, 3))
    directions = np.concatenate([zero, spiral[:middle], zero, spiral[middle:]])
    return B_VALUE * np.any(directions != 0, axis=1), directions


def fibre_directions(tissue: Tissue, points_ras: NDArray[np.float32]) -> Volume:
    """
    Return the fibre direction at each point, unit vectors in RAS, shape (3, ...).

    Left to right in the corpus callosum, upright in the corona radiata, front to
    back in the long association bundles, blended by distance from the midline.
    """
    x, z = (tissue.at(tissue.maps[axis], points_ras) for axis in "xz")
    depth = np.abs(x)
    across = np.exp(-((depth / 13.0) ** 2)) * np.exp(-(((z - 14.0) / 22.0) ** 2))
    along = 1 / (1 + np.exp(-(depth - 33.0) / 3.0))
    upright = 0.15 + np.exp(-(((depth - 22.0) / 9.0) ** 2))
    direction = np.stack([across, along, upright * (1 - along) * (1 - across)])
    # Fibres lean with the brain's curve, a little and smoothly.
    direction[1] += 0.15 * np.sin(z / 17.0)
    return direction / np.linalg.norm(direction, axis=0)


def diffusion_volumes(
    tissue: Tissue,
    person: Person,
    grid: Grid,
    *,
    bvalues: NDArray[np.float64],
    directions: NDArray[np.float64],
    quality: str,
    readout_s: float,
    random: np.random.Generator,
) -> Iterator[Pixels]:
    """Yield one spin-echo EPI volume for each b-value, each of the grid's shape."""
    points = distorted_points(tissue, grid, readout_s=readout_s, polarity=1)
    weights = {
        "grey": 0.80,
        "white": 0.62,
        "fluid": 1.15,
        "outside": 0.10,
        "marker": 0.3,
    }
    field = receive_field(person, points) * np.float32(1000.0)
    parts = {
        name: weight * tissue.at(tissue.maps[name], points) * field
        for name, weight in weights.items()
    }
    fibres = fibre_directions(tissue, points)
    base = tissue.at(echo_planar(tissue, spin_echo=True), points)
    level = float(np.median((base * field / 1000.0)[brain_mask(tissue, points)]))
    sigma = level / SIGNAL_TO_NOISE[quality]
    for bvalue, direction in zip(bvalues, directions, strict=True):
        along = np.tensordot(direction.astype(np.float32), fibres, axes=1) ** 2
        white = RADIAL_MM2_S + (AXIAL_MM2_S - RADIAL_MM2_S) * along
        signal = parts["white"] * np.exp(-np.float32(bvalue) * white)
        for name, diffusivity in ISOTROPIC_MM2_S.items():
            signal = signal + parts[name] * np.float32(np.exp(-bvalue * diffusivity))
        yield as_pixels(add_noise(signal, sigma, random))
