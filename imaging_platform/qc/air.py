"""
The air around a head: where it is, what artefact lies in it, how its noise looks.

Mortamet et al. 2009, Magn Reson Med 62:365, as the code of MRIQC 24.0 does it. The
"hat" is the air above the plane through the nasion and the base of the occiput.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from scipy import optimize, special

from imaging_platform.qc.summary import mad
from imaging_platform.voxels.masks import Mask, open_mask

_ndimage: Any = scipy.ndimage  # its inferred return types are unions with scalars

COIL_ELEMENTS = 32
"""Degrees of freedom from which the fit of the chi-squared distribution starts."""

BANDWIDTH = 4.0
"""Of the density of noise, in percent of the 99th percentile of the hat."""

_LEAST_VOXELS, _MOST_VOXELS = 1_000, 300_000
_SEED = 1191935
"""That of MRIQC, so that both draw the same voxels of a large hat."""

_EDGES_BEYOND = 60.0
_BIN = 0.05
_PENALTY = 100 * float(np.log(np.finfo(float).max))
"""Cost of a value that a distribution cannot have, as scipy's ``fit`` counts it."""


def qi_1(air: NDArray[Any], artifacts: NDArray[Any]) -> float:
    """
    Return the share of the hat that holds artefact; 0 is best.

    Parameters
    ----------
    air
        Hat without artefacts where above 0.
    artifacts
        Artefact in the hat where above 0 (`mask_artifacts`), of the same shape.

    Returns
    -------
    float
        0 to 1; -1 without air (an image whose background was set to 0).
    """
    clean, marked = int(np.count_nonzero(air)), int(np.count_nonzero(artifacts))
    return marked / (clean + marked) if clean else -1.0


def qi_2(data: NDArray[Any], hat: NDArray[Any]) -> float:
    """
    Return how badly a chi-squared distribution fits the noise of the hat; 0 is best.

    The hat's values are scaled to a 99th percentile of 100; a large hat is sampled
    by MRIQC's seed. The result is the mean |density - fitted density| above the
    upper half-maximum of the density (Gaussian kernel, `BANDWIDTH`); the fit is that
    of scipy's ``chi2.fit`` from `COIL_ELEMENTS` degrees of freedom.

    Parameters
    ----------
    data
        The image as acquired, not corrected for bias.
    hat
        The hat with its artefacts where above 0, of the same shape.

    Returns
    -------
    float
        At least 0; 0 also for less than 1000 voxels above 0.
    """
    values = np.nan_to_num(data[hat > 0].astype(np.float64), posinf=0.0)
    values[values < 0] = 0
    if np.count_nonzero(values) < _LEAST_VOXELS:
        return 0.0
    values *= 100 / np.percentile(values, 99)
    if values.size >= _MOST_VOXELS:
        # The legacy generator, without touching the global one.
        values = np.random.RandomState(_SEED).choice(values, size=_MOST_VOXELS)
    places, counts = _bin_values(values)
    grid = np.linspace(0.0, 110, 1000)
    density = _estimate_density(grid, places, counts)
    above = int(np.argmax(density[::-1] > density.max() * 0.5))
    fitted = _chi2_density(grid, *_fit_chi2(places, counts))
    return float(np.abs(density[-above:] - fitted[-above:]).mean())


def mask_artifacts(
    data: NDArray[Any], hat: Mask, distance: NDArray[Any], z_limit: float = 10.0
) -> Mask:
    """
    Return the voxels of the hat that are far brighter than noise.

    Above `z_limit` MADs of the hat's positive values and not within the tenth of the
    hat next to the head; opened over faces.

    Parameters
    ----------
    data
        The image as acquired.
    hat
        Air above the face, of the same shape.
    distance
        Distance to the head over its maximum in the hat, 0 to 1, 0 outside the hat.
    """
    found = np.zeros(data.shape, dtype=bool)
    values = data[hat]
    positive = values[values > 0]
    if positive.size < 10:
        return found
    found[hat] = values > z_limit * mad(positive)
    found[distance < 0.10] = False
    return open_mask(found)


def distance_to_head(head: Mask, hat: Mask) -> NDArray[np.float64]:
    """Return the distance of each hat voxel to the head over the greatest of them."""
    distance = np.asarray(_ndimage.distance_transform_edt(~head))
    distance[~hat] = 0
    return distance / max(float(distance.max()), 1e-12)


def mask_rotation(data: NDArray[Any]) -> Mask:
    """
    Return the empty corners that a rotation of the image left.

    Voxels of at most 0, opened over faces and edges, the two largest parts; none for
    less than 500 voxels.
    """
    empty = np.asarray(data <= 0)
    if np.count_nonzero(empty) < 500:
        return np.zeros(data.shape, dtype=bool)
    padded = np.pad(empty, 1, constant_values=True)
    structure = _ndimage.generate_binary_structure(3, 2)
    opened = np.asarray(_ndimage.binary_opening(padded, structure))
    labels, count = _ndimage.label(opened)
    if count > 2:
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        sizes[0] = 0
        kept = sorted(range(count + 1), key=lambda label: (sizes[label], label))[-2:]
        opened &= np.isin(labels, kept)
    found = opened[1:-1, 1:-1, 1:-1]
    return found if np.count_nonzero(found) >= 500 else np.zeros(data.shape, dtype=bool)


def _bin_values(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values as (mean, count) of narrow bins; the least value has its own."""
    least = values.min()
    steps = np.ceil((values - least) / _BIN).astype(np.intp)
    steps = np.minimum(
        steps, int(200 / _BIN) + np.sqrt(np.maximum(steps, 0)).astype(int)
    )
    counts = np.bincount(steps).astype(np.float64)
    sums = np.bincount(steps, weights=values)
    used = counts > 0
    return sums[used] / counts[used], counts[used]


def _estimate_density(
    grid: NDArray[np.float64], places: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the density of values at a grid by a Gaussian kernel of `BANDWIDTH`."""
    near = places < grid[-1] + 12 * BANDWIDTH
    apart = (grid[:, None] - places[near]) / BANDWIDTH
    weight = np.exp(-0.5 * apart**2) @ counts[near]
    return weight / (counts.sum() * BANDWIDTH * np.sqrt(2 * np.pi))


def _fit_chi2(
    places: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return degrees of freedom, location and scale of greatest likelihood."""
    total = counts.sum()
    mean = float(places @ counts / total)
    spread = float(np.sqrt(counts @ (places - mean) ** 2 / total))
    low, high = float(places[0]), float(places[-1])
    location, scale = mean - spread / np.sqrt(2), spread / np.sqrt(2)
    if not location < low:
        location, scale = low - 0.1 * (high - low), 1.0

    def cost(parameters: NDArray[np.float64]) -> float:
        freedom, where, size = parameters
        if freedom <= 0 or size <= 0:
            return float("inf")
        inside = places > where
        x = (places[inside] - where) / size
        half = freedom / 2
        logs = (half - 1) * np.log(x) - x / 2
        kept = counts[inside]
        amount = float(kept.sum())
        norm = special.gammaln(half) + np.log(2) * half
        likely = float(kept @ logs) - amount * float(norm)
        return -likely + (total - amount) * _PENALTY + total * float(np.log(size))

    start = np.array([float(COIL_ELEMENTS), location, scale])
    found = optimize.fmin(cost, start, disp=False)
    freedom, location, scale = (float(each) for each in np.asarray(found))
    return freedom, location, scale


def _chi2_density(
    grid: NDArray[np.float64], freedom: float, location: float, scale: float
) -> NDArray[np.float64]:
    density = np.zeros(grid.shape)
    inside = grid > location
    x = (grid[inside] - location) / scale
    half = freedom / 2
    logs = (half - 1) * np.log(x) - x / 2 - special.gammaln(half) - np.log(2) * half
    density[inside] = np.exp(logs) / scale
    return density
