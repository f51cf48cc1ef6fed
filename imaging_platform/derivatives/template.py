"""The reference head: MNI152 2009a brain inside an average head, on one 2 mm grid."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.images import Image, read_image
from imaging_platform.derivatives.volumes import resample
from imaging_platform.model.errors import MissingInput
from imaging_platform.voxels.masks import dilate, erode, fill

SPACE = "MNI152NLin2009aSym"
"""BIDS name of the template that nilearn carries."""

GRID_MM = 2.0
GRID_ORIGIN_MM = (-98.0, -134.0, -110.0)
GRID_SHAPE = (99, 118, 113)
"""A grid of `GRID_MM` that holds the template's brain, its scalp and the upper neck."""

MNI_TO_MEAN_HEAD = np.array(
    [
        [0.940, 0.068, 0.014, -4.226],
        [-0.060, 0.958, -0.099, 16.563],
        [-0.011, 0.107, 0.871, -2.924],
        [0.000, 0.000, 0.000, 1.000],
    ]
)
"""Template mm to the mm of pydeface's mean head. Fitted once with ANTs by mutual
information inside the brain, checked by eye, then drawn in by 10 % about (0, -18, 10):
the mean head's own brain is blurred over people and larger than the template's."""

FLUID_MM = 8.0
"""Width of the dark layer (fluid, skull) that the reference has around its brain."""


@dataclass(frozen=True, eq=False)
class ReferenceHead:
    """
    What a head is registered to; all arrays share `GRID_SHAPE` and `affine`.

    Parameters
    ----------
    head
        The template's brain in an average scalp, arbitrary units, about 0 to 255.
    brain
        True inside the brain, cerebellum and upper brain stem.
    face
        True where nose, mouth and orbits are, and in the air before them.
    affine
        Shape (4, 4), index to template millimetres.
    """

    head: NDArray[np.float32]
    brain: NDArray[np.bool_]
    face: NDArray[np.bool_]
    affine: NDArray[np.float64]


@functools.cache
def reference_head() -> ReferenceHead:
    """Return the reference, made from data of nilearn and pydeface: no network."""
    affine = grid_affine()
    brain = _on_grid(read_image(_nilearn("t1")), affine, np.eye(4), order=1)
    mean = read_image(_pydeface("mean_reg2mean"))
    head = _on_grid(mean, affine, MNI_TO_MEAN_HEAD, order=1)
    plane = read_image(_pydeface("facemask"))
    # "nearest" carries the mask on below and beside the package's own box.
    kept = _on_grid(plane, affine, MNI_TO_MEAN_HEAD, order=0, mode="nearest")
    inside = fill(brain > 1)
    core = erode(inside, 2)
    head = head * (np.median(brain[core]) / np.median(head[core]))
    # Around the template's brain the mean head shows other people's blurred brains.
    near = dilate(inside, round(FLUID_MM / GRID_MM))
    head = np.where(near, np.minimum(head, 0.2 * np.median(brain[core])), head)
    return ReferenceHead(
        head=np.where(inside, brain, head).astype(np.float32),
        brain=inside,
        face=kept < 0.5,
        affine=affine,
    )


def brain_signal() -> Image:
    """Return the template's T1-weighted brain at 1 mm, 0 outside of it."""
    return read_image(_nilearn("t1"))


@functools.cache
def tissue_maps() -> tuple[Image, Image]:
    """Return the template's grey and white matter, 0 to 255, at 1 mm."""
    return read_image(_nilearn("gm")), read_image(_nilearn("wm"))


def grid_affine() -> NDArray[np.float64]:
    """Return the index-to-millimetre matrix of the reference grid."""
    affine = np.diag([GRID_MM, GRID_MM, GRID_MM, 1.0])
    affine[:3, 3] = GRID_ORIGIN_MM
    return affine


def _on_grid(
    image: Image,
    affine: NDArray[np.float64],
    to_image_mm: NDArray[np.float64],
    *,
    order: int,
    mode: str = "constant",
) -> NDArray[np.float32]:
    pull = np.linalg.inv(image.affine) @ to_image_mm @ affine
    return resample(image.data, pull, GRID_SHAPE, order=order, mode=mode)


def _nilearn(kind: str) -> Path:
    name = f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    return _package_folder("nilearn") / "datasets" / "data" / name


def _pydeface(kind: str) -> Path:
    return _package_folder("pydeface") / "data" / f"{kind}.nii.gz"


def _package_folder(name: str) -> Path:
    """Return the folder of an installed package without importing it (nilearn: 2 s)."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise MissingInput(
            f"The package {name}, which carries a template, is not installed.",
            fix="Install the platform again with all of its dependencies.",
        )
    return Path(spec.submodule_search_locations[0])
