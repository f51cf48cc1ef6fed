"""A resting run: static signal, planted networks, drift, motion, noise."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from imaging_platform.demo.anatomy import Person, receive_field
from imaging_platform.demo.geometry import Grid
from imaging_platform.demo.images import (
    MAP_SPACING_MM,
    Pixels,
    Tissue,
    Volume,
    add_noise,
    as_pixels,
    brain_mask,
    distorted_points,
    echo_planar,
)
from imaging_platform.demo.motion import points_at_rest

SIGNAL_TO_NOISE = {"good": 90.0, "motion": 80.0, "low_snr": 28.0}
"""Median brain signal over the noise of one channel, before drift."""

DRIFT_FRACTION = 0.010
"""The signal's linear rise from the first to the last volume."""

NETWORK_FRACTION = 0.02
"""Amplitude of a network's slow fluctuation, as a fraction of the signal."""

GHOST_FRACTION = 0.012
"""Half-field (N/2) ghost along phase encoding, as a fraction of the signal."""

NETWORKS_MNI_MM = {
    "default_mode": ((0, -52, 26), (0, 52, 2), (-46, -66, 30), (48, -62, 30)),
    "motor": ((-40, -22, 54), (40, -22, 54), (0, -8, 60)),
}
"""Seeds of the planted networks (Raichle 2011), brain template coordinates in mm."""

NETWORK_WIDTH_MM = 8.0


def expected_tsnr(quality: str, n_volumes: int) -> float:
    """
    Return the median temporal SNR of the brain, free of motion, without detrending.

    The planted noise and drift alone decide it: 1 / sqrt(1 / SNR^2 + d^2), where d
    is the standard deviation of the drift (fraction of the signal). Realigning a
    run smooths the noise and raises the measured value; motion lowers it.
    """
    drift = np.std(_drift(n_volumes), ddof=1)
    return 1 / sqrt(1 / SIGNAL_TO_NOISE[quality] ** 2 + float(drift) ** 2)


def bold_volumes(
    tissue: Tissue,
    person: Person,
    grid: Grid,
    *,
    motion: NDArray[np.float64],
    quality: str,
    tr_s: float,
    readout_s: float,
    random: np.random.Generator,
) -> Iterator[Pixels]:
    """
    Yield the volumes of a gradient-echo EPI run, each of the grid's shape.

    Parameters
    ----------
    motion
        Shape (n_volumes, 6) as `motion.draw_motion` gives it.
    readout_s
        Total readout time in seconds; phase encoding runs front to back.
    """
    from scipy import ndimage

    blur = [0.35 * step / MAP_SPACING_MM for step in grid.spacing_mm]
    static = ndimage.gaussian_filter(echo_planar(tissue, spin_echo=False), blur)
    spline = ndimage.spline_filter(static, order=3).astype(np.float32)
    points = distorted_points(tissue, grid, readout_s=readout_s, polarity=1)
    field = receive_field(person, points)
    centre = np.diag([-1.0, -1.0, 1.0]) @ np.asarray(grid.centre_mm)
    rest = tissue.at(spline, points, order=3) * field
    sigma = (
        float(np.median(rest[brain_mask(tissue, points)])) / SIGNAL_TO_NOISE[quality]
    )
    networks = [_network(tissue, seeds) for seeds in NETWORKS_MNI_MM.values()]
    courses = [_fluctuation(len(motion), tr_s, random) for _ in networks]
    drift = _drift(len(motion))
    for volume, parameters in enumerate(motion):
        moved = points_at_rest(points, parameters, centre)
        signal = np.maximum(tissue.at(spline, moved, order=3), 0) * field
        activity = sum(
            course[volume] * tissue.at(network, moved)
            for network, course in zip(networks, courses, strict=True)
        )
        signal *= 1 + np.float32(drift[volume]) + activity
        signal += GHOST_FRACTION * np.roll(signal, grid.shape[1] // 2, axis=1)
        yield as_pixels(add_noise(signal, sigma, random))


def spin_echo_volume(
    tissue: Tissue,
    person: Person,
    grid: Grid,
    *,
    quality: str,
    readout_s: float,
    polarity: int,
    random: np.random.Generator,
) -> Pixels:
    """Return one spin-echo EPI volume, distorted by `polarity` (see images)."""
    points = distorted_points(tissue, grid, readout_s=readout_s, polarity=polarity)
    signal = tissue.at(echo_planar(tissue, spin_echo=True), points)
    signal *= receive_field(person, points)
    level = float(np.median(signal[brain_mask(tissue, points)]))
    return as_pixels(add_noise(signal, level / SIGNAL_TO_NOISE[quality], random))


def _drift(n_volumes: int) -> NDArray[np.float64]:
    return DRIFT_FRACTION * np.linspace(-0.5, 0.5, n_volumes)


def _fluctuation(
    n_volumes: int, tr_s: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Slow course between 0.01 and 0.08 Hz with standard deviation NETWORK_FRACTION."""
    time_s = np.arange(n_volumes) * tr_s
    frequencies_hz = random.uniform(0.012, 0.08, 6)
    phases = random.uniform(0, 2 * np.pi, 6)
    course = np.sin(2 * np.pi * frequencies_hz * time_s[:, None] + phases).sum(axis=1)
    course -= course.mean()
    return NETWORK_FRACTION * course / course.std()


def _network(tissue: Tissue, seeds: tuple[tuple[int, int, int], ...]) -> Volume:
    x, y, z = (tissue.maps[axis] for axis in "xyz")
    weight = np.zeros_like(x)
    for x0, y0, z0 in seeds:
        squared = (x - x0) ** 2 + (y - y0) ** 2 + (z - z0) ** 2
        weight += np.exp(-squared / (2 * NETWORK_WIDTH_MM**2))
    return np.clip(weight, 0, 1) * tissue.maps["grey"]
