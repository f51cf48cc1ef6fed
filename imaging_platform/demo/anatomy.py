"""One head: template brain in a template head, then a person's own size and shape."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.demo.geometry import Grid, axis_vectors
from imaging_platform.model.errors import MissingInput

Volume = NDArray[np.float32]

HEAD_FROM_BRAIN = np.array(
    [
        [0.968, 0.067, 0.006, -4.162],
        [-0.066, 0.964, -0.113, 17.545],
        [-0.016, 0.118, 0.917, -3.606],
        [0.000, 0.000, 0.000, 1.000],
    ]
)
"""RAS mm of the brain template to RAS mm of the head template; fitted once by
correlation inside the brain, then drawn in by 8 % so that the skull lies close."""

BRAIN_CENTRE_MM = np.array([0.0, -18.0, 10.0])
"""Point of the brain template (RAS mm) that lies near the isocentre."""

MARKER_RADIUS_MM = 6.0
MARKER_BRAIN_MM = np.array([71.0, 52.0, 12.0])
"""An oil capsule taped to the right temple (brain template, RAS mm): the only
thing in the image that a mirrored brain would betray at a glance."""


@dataclass(frozen=True)
class HeadModel:
    """
    The template head before it becomes a person.

    Parameters
    ----------
    origin_mm, spacing_mm
        RAS mm of voxel (0, 0, 0) in brain template space, and the voxel size.
    maps
        Volumes of one shape: ``t1`` (T1-weighted, about 0 to 1.2), ``grey``,
        ``white``, ``fluid`` (fractions 0 to 1), ``outside`` (T1-weighted signal
        outside the brain) and ``marker`` (0 to 1).
    """

    origin_mm: NDArray[np.float64]
    spacing_mm: float
    maps: dict[str, Volume]


@dataclass(frozen=True)
class Person:
    """
    How a person's head differs from the template.

    Parameters
    ----------
    linear
        3 x 3: scanner RAS mm (from the head's centre) to brain template mm.
    shift_mm
        Where the head's centre lies in the scanner, RAS mm.
    modes
        Smooth displacement: rows of amplitude (3), wave number (3, rad/mm) and
        phase (3).
    bias
        Amplitudes of the receive field's slope along x, y, z (fraction a 100 mm).
    """

    linear: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    modes: NDArray[np.float64]
    bias: NDArray[np.float64]


@functools.lru_cache(maxsize=1)
def build_head(spacing_mm: int) -> HeadModel:
    """
    Return the template head at `spacing_mm` (1 or 2), read from the installed packages.

    The brain comes from the ICBM 152 average, everything around it from the
    average head; the space between them is fluid.

    Raises
    ------
    MissingInput
        nilearn or pydeface, which carry the templates, is not installed.
    """
    from scipy import ndimage

    low, high = np.array([-108.0, -140.0, -126.0]), np.array([108.0, 126.0, 120.0])
    shape = np.round((high - low) / spacing_mm).astype(int) + 1
    axes = [low[i] + spacing_mm * np.arange(shape[i]) for i in range(3)]
    t1 = _brain_on(axes, "t1", spacing_mm)
    grey = _brain_on(axes, "gm", spacing_mm)
    white = _brain_on(axes, "wm", spacing_mm)
    # The average is blurred over people; its tissue maps are sharper.
    inside = ndimage.gaussian_filter((t1 > 0.05).astype(np.float32), 0.7 / spacing_mm)
    fluid = np.clip(inside - grey - white, 0, 1)
    sharp = 0.90 * white + 0.60 * grey + 0.20 * fluid
    brain = 0.4 * t1 + 0.6 * sharp
    head = _head_on(axes)
    # Next to the brain the average head shows other people's brains: make it fluid.
    near = ndimage.gaussian_filter(
        (ndimage.uniform_filter(inside, round(9 / spacing_mm)) > 0.02).astype(
            np.float32
        ),
        1.0 / spacing_mm,
    )
    fringe = near * (1 - inside) * np.clip((0.9 - head) / 0.3, 0, 1)
    outside = head * (1 - inside)
    outside = outside * (1 - fringe) + np.minimum(outside, 0.2) * fringe
    marker = _ball(axes, MARKER_BRAIN_MM, MARKER_RADIUS_MM, spacing_mm)
    maps = {
        "t1": inside * brain + outside + 1.1 * marker * (outside < 0.3),
        "grey": grey,
        "white": white,
        "fluid": np.clip(fluid + 0.6 * fringe * (head > 0.12), 0, 1),
        "outside": outside * (1 - fringe),
        "marker": marker,
    }
    return HeadModel(
        low, spacing_mm, {name: m.astype(np.float32) for name, m in maps.items()}
    )


def draw_person(random: np.random.Generator) -> Person:
    """
    Draw a person: size within 6 %, a turned head, a smooth shape of their own.

    Parameters
    ----------
    random
        The only source of chance; the same state gives the same person.
    """
    from scipy.spatial.transform import Rotation

    scale = random.uniform(0.95, 1.06, 3)
    turn = Rotation.from_euler("xyz", random.uniform(-4, 4, 3), degrees=True)
    linear = np.diag(scale) @ turn.as_matrix()
    shift = random.uniform(-3, 3, 3) + np.array([2.0, 0.0, 0.0])
    wavelengths_mm = np.array([150.0, 110.0, 90.0, 45.0])
    amplitudes_mm = np.array([2.5, 2.0, 1.5, 0.7])
    modes = [
        np.concatenate(
            [
                random.normal(0, amplitude, 3),
                random.uniform(0.5, 1.0, 3) * 2 * np.pi / wavelength,
                random.uniform(0, 2 * np.pi, 3),
            ]
        )
        for wavelength, amplitude in zip(wavelengths_mm, amplitudes_mm, strict=True)
    ]
    return Person(linear, shift, np.array(modes), random.uniform(-0.25, 0.25, 3))


def reposition(person: Person, random: np.random.Generator) -> Person:
    """Return the same head lying a little differently, as on another visit."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", random.uniform(-3, 3, 3), degrees=True)
    return Person(
        person.linear @ turn.as_matrix(),
        person.shift_mm + random.uniform(-2, 2, 3),
        person.modes,
        person.bias,
    )


def sample_head(
    model: HeadModel, person: Person, grid: Grid, names: tuple[str, ...]
) -> dict[str, Volume]:
    """
    Return maps of a person's head on an untilted grid, each of the grid's shape.

    Parameters
    ----------
    names
        Which of the model's maps, or ``x``, ``y``, ``z``: brain template
        coordinates of each voxel in mm.
    """
    from scipy import ndimage

    vectors, order = axis_vectors(grid)
    shape = tuple(len(vector) for vector in vectors)
    found = {name: np.empty(shape, np.float32) for name in names}
    slab = 24
    for start in range(0, shape[0], slab):
        part = slice(start, min(start + slab, shape[0]))
        points = _template_points(person, vectors[0][part], vectors[1], vectors[2])
        index = [
            (points[axis] - model.origin_mm[axis]) / model.spacing_mm
            for axis in range(3)
        ]
        for name in names:
            if name in "xyz":
                found[name][part] = points["xyz".index(name)]
            else:
                found[name][part] = ndimage.map_coordinates(
                    model.maps[name], index, order=1, mode="constant"
                )
    return {
        name: np.ascontiguousarray(value.transpose(order))
        for name, value in found.items()
    }


def receive_field(person: Person, points_ras: NDArray[np.float32]) -> Volume:
    """Return the coil's brightness at `points_ras` (3, ...), about 0.7 to 1.4."""
    scaled = points_ras / 100.0
    slope = np.tensordot(person.bias.astype(np.float32), scaled, axes=1)
    # A head coil is brighter near its elements than in the middle.
    rim = 0.12 * np.sum(scaled * scaled, axis=0) - 0.08
    return np.exp(slope + rim).astype(np.float32)


def marker_ras_mm(person: Person) -> NDArray[np.float64]:
    """Return where the oil capsule is in the scanner, RAS mm, shape (3,)."""
    point = person.shift_mm.copy()
    for _ in range(40):
        x, y, z = (np.array([value]) for value in point)
        here = np.array([p.ravel()[0] for p in _template_points(person, x, y, z)])
        point = point + np.linalg.solve(person.linear, MARKER_BRAIN_MM - here)
    return point


def _template_points(
    person: Person,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    z: NDArray[np.float64],
) -> list[Volume]:
    """Brain template coordinates (mm) of the box x, y, z of scanner RAS mm."""
    dx, dy, dz = (
        (vector - person.shift_mm[axis]).astype(np.float32)
        for axis, vector in enumerate((x, y, z))
    )
    points = []
    for axis in range(3):
        row = person.linear[axis].astype(np.float32)
        points.append(
            row[0] * dx[:, None, None]
            + row[1] * dy[None, :, None]
            + row[2] * dz[None, None, :]
            + np.float32(BRAIN_CENTRE_MM[axis])
        )
    for mode in person.modes.astype(np.float32):
        waves = [
            np.cos(mode[3 + axis] * vector + mode[6 + axis])
            for axis, vector in enumerate((dx, dy, dz))
        ]
        wave = waves[0][:, None, None] * waves[1][None, :, None] * waves[2]
        for axis in range(3):
            points[axis] += mode[axis] * wave
    return points


def _brain_on(axes: list[NDArray[np.float64]], kind: str, spacing_mm: int) -> Volume:
    from scipy import ndimage

    name = f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    data, affine = _read_volume(_package_folder("nilearn") / "datasets/data" / name)
    data /= 255.0
    if spacing_mm > 1:
        data = ndimage.gaussian_filter(data, 0.4 * spacing_mm)
    # Both grids lie on whole millimetres: no interpolation, no extra blur.
    start = [round(affine[i, 3] - axes[i][0]) // spacing_mm for i in range(3)]
    data = data[::spacing_mm, ::spacing_mm, ::spacing_mm]
    whole = np.zeros([len(axis) for axis in axes], np.float32)
    box = tuple(slice(a, a + n) for a, n in zip(start, data.shape, strict=True))
    whole[box] = data
    return whole


def _head_on(axes: list[NDArray[np.float64]]) -> Volume:
    """Average head in brain template space; scalp about 1, muscle about 0.5."""
    from scipy import ndimage

    path = _package_folder("pydeface") / "data/mean_reg2mean.nii.gz"
    data, affine = _read_volume(path)
    data /= 430.0
    template_from_index = np.diag([*[axes[0][1] - axes[0][0]] * 3, 1.0])
    template_from_index[:3, 3] = [axis[0] for axis in axes]
    head = ndimage.affine_transform(
        data,
        np.linalg.inv(affine) @ HEAD_FROM_BRAIN @ template_from_index,
        output_shape=tuple(len(axis) for axis in axes),
        order=1,
        mode="constant",
    )
    return np.clip(head - 0.02, 0, 1.2).astype(np.float32)


def _package_folder(name: str) -> Path:
    """Folder of an installed package, found without importing it (nilearn: 2 s)."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise MissingInput(
            f"The package {name}, which carries a template of the demo, is missing.",
            fix="Install the platform again with all of its dependencies.",
        )
    return Path(spec.submodule_search_locations[0])


def _read_volume(path: Path) -> tuple[Volume, NDArray[np.float64]]:
    from nibabel.nifti1 import Nifti1Image

    image = Nifti1Image.from_filename(path)
    affine = np.asarray(image.affine, np.float64)
    return np.asarray(image.dataobj, dtype=np.float32), affine


def _ball(
    axes: list[NDArray[np.float64]],
    centre_mm: NDArray[np.float64],
    radius_mm: float,
    spacing_mm: float,
) -> Volume:
    x, y, z = ((axis - centre_mm[i]) ** 2 for i, axis in enumerate(axes))
    distance = np.sqrt(x[:, None, None] + y[None, :, None] + z[None, None, :])
    return np.clip((radius_mm - distance) / spacing_mm + 0.5, 0, 1).astype(np.float32)
