"""Signal of the resting head in each contrast: T1w, gradient echo, echo planar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging_platform.demo.anatomy import HeadModel, Person, receive_field, sample_head
from imaging_platform.demo.geometry import Grid

Volume = NDArray[np.float32]
Pixels = NDArray[np.uint16]

SIGNAL_SCALE = 1000.0
"""Arbitrary units of a voxel of signal 1; stays well inside 12 bits."""

MAX_PIXEL = 4095
"""12 bits stored, as on the scanners."""

MAP_SPACING_MM = 2.0


@dataclass(frozen=True)
class Tissue:
    """
    A person's head on an untilted 2 mm grid, indexed (x, y, z), RAS.

    Parameters
    ----------
    origin_mm
        RAS mm of voxel (0, 0, 0).
    maps
        ``grey``, ``white``, ``fluid``, ``outside``, ``marker``, and ``x``, ``y``,
        ``z``: brain template coordinates in mm.
    """

    origin_mm: NDArray[np.float64]
    maps: dict[str, Volume]

    def at(
        self, volume: Volume, points_ras: NDArray[np.float32], *, order: int = 1
    ) -> Volume:
        """Return `volume`, one of this head's, at RAS mm points (3, ...)."""
        from scipy import ndimage

        index = [
            (points_ras[axis] - np.float32(self.origin_mm[axis])) / MAP_SPACING_MM
            for axis in range(3)
        ]
        return ndimage.map_coordinates(
            volume, index, order=order, mode="nearest", prefilter=False
        ).astype(np.float32)


def sample_tissue(model: HeadModel, person: Person) -> Tissue:
    """Return the person's head on the 2 mm grid from which echo planar is made."""
    grid = Grid(
        (104, 120, 104),
        (MAP_SPACING_MM, MAP_SPACING_MM, MAP_SPACING_MM),
        (0.0, -8.0, 4.0),
        (-1.0, 0.0, 0.0),
        (0.0, -1.0, 0.0),
    )
    names = ("grey", "white", "fluid", "outside", "marker", "x", "y", "z")
    maps = sample_head(model, person, grid, names)
    return Tissue(grid.affine_ras()[:3, 3], maps)


def t1_weighted(
    model: HeadModel,
    person: Person,
    grid: Grid,
    *,
    noise: float,
    ghost: float,
    random: np.random.Generator,
) -> Pixels:
    """
    Return an MPRAGE-like volume of the grid's shape: fluid dark, white matter bright.

    Parameters
    ----------
    noise
        Standard deviation of each of the two receive channels, as a fraction of
        the signal of white matter (0.9 `SIGNAL_SCALE`).
    ghost
        Fraction of the signal that appears shifted along rows: a head that moved.
    """
    volume = sample_head(model, person, grid, ("t1",))["t1"]
    if ghost:
        moved = sum(np.roll(volume, shift, axis=1) for shift in (-9, -4, 5, 11)) / 4
        volume = (1 - ghost) * volume + ghost * moved
    for index in range(grid.shape[2]):
        points = _slice_points(grid, index)
        volume[:, :, index] *= receive_field(person, points)
    return as_pixels(add_noise(volume * SIGNAL_SCALE, 900.0 * noise, random))


def gradient_echo(
    tissue: Tissue, person: Person, grid: Grid, *, te_ms: float
) -> Volume:
    """Return the magnitude of a spoiled gradient echo: flat contrast, T2* decay."""
    rates = {"grey": 0.020, "white": 0.021, "fluid": 0.004, "outside": 0.03}
    density = {"grey": 0.80, "white": 0.72, "fluid": 0.6, "outside": 0.75}
    signal = 0.9 * tissue.maps["marker"]
    for name, rate in rates.items():
        signal = signal + density[name] * np.exp(-rate * te_ms) * tissue.maps[name]
    points = grid.points_ras()
    return tissue.at(signal, points) * receive_field(person, points) * SIGNAL_SCALE


def echo_planar(tissue: Tissue, *, spin_echo: bool) -> Volume:
    """
    Return the static echo planar signal on the tissue grid, fat suppressed.

    With a gradient echo the signal is lost above the sinuses and the ear canals.
    """
    weights = (
        {"grey": 0.80, "white": 0.62, "fluid": 1.15, "outside": 0.10, "marker": 0.30}
        if spin_echo
        else {
            "grey": 0.78,
            "white": 0.66,
            "fluid": 0.95,
            "outside": 0.10,
            "marker": 0.30,
        }
    )
    signal = sum(weight * tissue.maps[name] for name, weight in weights.items())
    signal = np.asarray(signal, np.float32)
    if not spin_echo:
        signal *= 1 - 0.65 * np.clip(np.abs(off_resonance_hz(tissue)) / 110.0, 0, 1)
    return signal * np.float32(SIGNAL_SCALE)


def off_resonance_hz(tissue: Tissue) -> Volume:
    """
    Return the off-resonance in Hz on the tissue grid, about -60 to 110.

    Air in the sinuses and the ear canals disturbs the field of the head; the
    shim leaves a gentle slope.
    """
    x, y, z = (tissue.maps[axis] for axis in "xyz")
    sources = (
        (0.0, 42.0, -26.0, 16.0, 110.0),
        (54.0, -18.0, -34.0, 13.0, 60.0),
        (-54.0, -18.0, -34.0, 13.0, 60.0),
    )
    field = 0.16 * (y + 18.0) - 0.14 * (z - 10.0)
    for x0, y0, z0, width, peak in sources:
        squared = (x - x0) ** 2 + (y - y0) ** 2 + (z - z0) ** 2
        field = field + peak * np.exp(-squared / (2 * width * width))
    return np.clip(field, -90.0, 130.0).astype(np.float32)


def distorted_points(
    tissue: Tissue, grid: Grid, *, readout_s: float, polarity: int
) -> NDArray[np.float32]:
    """
    Return the RAS mm points whose signal arrives in each voxel of an EPI grid.

    Off-resonance f moves signal by f times the total readout time, in voxels,
    along the phase-encoding axis (Jezzard and Balaban 1995); that axis is the
    grid's rows.

    Parameters
    ----------
    readout_s
        Total readout time in seconds (BIDS, TotalReadoutTime).
    polarity
        1 when signal of positive f moves to the back (BIDS ``j-``), -1 when it
        moves to the front (``j``).
    """
    points = grid.points_ras()
    field_hz = tissue.at(off_resonance_hz(tissue), points)
    shift_voxels = np.float32(polarity * readout_s) * field_hz
    back = np.diag([-1.0, -1.0, 1.0]) @ grid.steps_mm[:, 1]
    shift_mm = back.astype(np.float32)[:, None, None, None] * shift_voxels
    return (points - shift_mm).astype(np.float32)


def brain_mask(tissue: Tissue, points_ras: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where grey and white matter fill most of a voxel, shape of the points."""
    matter = tissue.maps["grey"] + tissue.maps["white"]
    return tissue.at(matter, points_ras) > 0.6


def add_noise(signal: Volume, sigma: float, random: np.random.Generator) -> Volume:
    """Return the Rician magnitude of `signal` with noise `sigma` in each channel."""
    real = random.standard_normal(signal.shape, dtype=np.float32) * np.float32(sigma)
    imaginary = random.standard_normal(signal.shape, dtype=np.float32)
    imaginary *= np.float32(sigma)
    return np.hypot(signal + real, imaginary).astype(np.float32)


def as_pixels(signal: Volume) -> Pixels:
    """Return `signal` rounded and clipped to 12 bits."""
    return np.clip(np.rint(signal), 0, MAX_PIXEL).astype(np.uint16)


def _slice_points(grid: Grid, index: int) -> NDArray[np.float32]:
    affine = grid.affine_ras()
    columns, rows = np.meshgrid(
        np.arange(grid.shape[0]), np.arange(grid.shape[1]), indexing="ij"
    )
    points = (
        affine[:3, 0, None, None] * columns
        + affine[:3, 1, None, None] * rows
        + (affine[:3, 2] * index + affine[:3, 3])[:, None, None]
    )
    return points.astype(np.float32)
