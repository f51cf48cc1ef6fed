"""Noise of a diffusion-weighted series, estimated from the series itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from imaging_platform.qc.ranks import percentile
from imaging_platform.voxels.masks import Mask

_slide: Any = np.lib.stride_tricks.sliding_window_view  # its types know one axis

COILS = 4
"""Receive channels that PIESNO assumes, as MRIQC sets it."""

QUANTILE = 0.6721952960782169
"""The quantile of least variance for 4 channels (Koay et al. 2009, table 1)."""

_ALPHA = 0.01
_GUESSES = 100
_SAMPLE = 2_000_000
"""Values that give the greatest guess; the rounds after it forget it."""

_MOST_ROUNDS = 100
_TOLERANCE = 1e-5
_MOST_PATCHES = 500
"""Patches whose median is taken, spread evenly over the brain."""


def piesno_sigma(series: NDArray[Any]) -> float:
    """
    Return the standard deviation of the noise by PIESNO, the median over slices.

    Koay, Ozarslan, Pierpaoli 2009, J Magn Reson 199:94: in the air of a slice the sum
    of squares over volumes follows a gamma distribution; the sigma under which most
    voxels do is refined from the quantile of these voxels.

    Parameters
    ----------
    series
        Magnitudes as acquired, with air that was not set to 0, (x, y, z, t).

    Returns
    -------
    float
        In the unit of the series, rounded to 4 decimals; 0 for a series of zeros.
    """
    spread = float(np.sqrt(2 * special.gammainccinv(COILS, 1 - QUANTILE)))
    flat = np.ravel(series)
    sample = flat[:: max(1, flat.size // _SAMPLE)]
    most = percentile(sample, 100 * QUANTILE) / spread
    slices = [_slice_sigma(series[:, :, k], most) for k in range(series.shape[2])]
    return round(float(np.median(slices)), 4)


def pca_sigma(series: NDArray[Any], brain: Mask) -> float:
    """
    Return the standard deviation of the noise by principal components.

    Veraart et al. 2016, NeuroImage 142:394, with the expectation of Cordero-Grande et
    al. 2019 (MRtrix ``dwidenoise``, which MRIQC runs): the smallest eigenvalues of a
    patch follow the distribution of Marchenko and Pastur. The median over patches
    side by side, of cubes with more voxels than the series has volumes.

    Parameters
    ----------
    series
        (x, y, z, t).
    brain
        (x, y, z); a patch counts when its middle lies inside.

    Returns
    -------
    float
        In the unit of the series, rounded to 4 decimals; NaN without a patch.
    """
    count = series.shape[3]
    reach = 1
    while (2 * reach + 1) ** 3 <= count:
        reach += 1
    edge = 2 * reach + 1
    middles = np.argwhere(_sample(brain, reach, edge)) * edge + reach
    if not len(middles):
        return float("nan")
    middles = middles[:: -(-len(middles) // _MOST_PATCHES)]
    windows = _slide(series, (edge,) * 3, (0, 1, 2))
    patches = windows[tuple((middles - reach).T)].reshape(len(middles), count, -1)
    return round(float(np.sqrt(np.median(_patch_variances(patches)))), 4)


def _sample(brain: Mask, reach: int, edge: int) -> Mask:
    """Return which whole patches, side by side, have their middle in the brain."""
    ends = [reach + size // edge * edge for size in brain.shape]
    return brain[tuple(slice(reach, end, edge) for end in ends)]


def _patch_variances(patches: NDArray[Any]) -> NDArray[np.float64]:
    """Return the noise variance of each patch, (patches, volumes, voxels)."""
    matrices = patches.astype(np.float64)
    small, large = matrices.shape[1:]
    values = np.linalg.eigvalsh(matrices @ matrices.transpose(0, 2, 1)) / large
    values = np.maximum(values, 0)
    kept = np.arange(1, small + 1)
    mean = np.cumsum(values, axis=1) / kept
    ratio = kept / (large - (small - kept))
    by_range = (values - values[:, :1]) / (4 * np.sqrt(ratio))
    is_noise = by_range < mean
    last = small - 1 - np.argmax(is_noise[:, ::-1], axis=1)
    found = mean[np.arange(len(mean)), last]
    return np.where(is_noise.any(axis=1), found, 0.0)


def _slice_sigma(part: NDArray[Any], most: float) -> float:
    """Return sigma of one slice, (x, y, t); `most` is the greatest guess."""
    count = part.shape[2]
    voxels = part.reshape(-1, count).astype(np.float32)
    power = np.einsum("ij,ij->i", voxels, voxels) / (2 * count)
    if not power.any():
        return 0.0
    order = np.argsort(power)
    voxels, power = voxels[order], power[order]
    low, high = (
        float(special.gammainccinv(COILS * count, 1 - share)) / count
        for share in (_ALPHA / 2, 1 - _ALPHA / 2)
    )
    guesses = np.arange(1, _GUESSES + 1) * most / _GUESSES
    first = np.searchsorted(power, low * guesses**2, side="left")
    last = np.searchsorted(power, high * guesses**2, side="right")
    best = int(np.argmax(last - first))
    sigma = float(guesses[best]) if last[best] > first[best] else most
    return _refine(voxels, power, sigma, (low, high))


def _refine(
    voxels: NDArray[np.float32],
    power: NDArray[np.float32],
    sigma: float,
    bounds: tuple[float, float],
) -> float:
    """Return sigma after rounds of choosing air by it and estimating it from air."""
    spread = float(np.sqrt(2 * special.gammainccinv(COILS, 1 - QUANTILE)))
    chosen = (-1, -1)
    for _ in range(_MOST_ROUNDS):
        first = int(np.searchsorted(power, bounds[0] * sigma**2, side="left"))
        last = int(np.searchsorted(power, bounds[1] * sigma**2, side="right"))
        if last <= first or (first, last) == chosen:
            break
        chosen = (first, last)
        before = sigma
        sigma = percentile(voxels[first:last], 100 * QUANTILE) / spread
        if abs(sigma - before) < _TOLERANCE:
            break
    return sigma
