"""A network at rest: the correlation of every voxel with one place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting.session_inputs import SessionInputs
from imaging_platform.reporting.slices import affine_of, load_image, turn_to_ras, window

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

PCC_MNI_MM = (0, -52, 26)
"""Posterior cingulate, a hub of the default mode network (Raichle 2011)."""

SEED_RADIUS_MM = 6.0
SMOOTHING_MM = 6.0
"""Full width at half maximum, in mm: what resting studies commonly take."""

SHOWN_CORRELATION = 0.3
"""Least correlation that is drawn; more in short runs (`shown_level`)."""

_TO_TEMPLATE = "AffineTo"
_CHUNK_VOLUMES = 16
_FEWEST_VOLUMES = 20


def find_seed(inputs: SessionInputs, run: Path) -> NDArray[np.bool_] | None:
    """
    Return the voxels of a run around the posterior cingulate.

    Parameters
    ----------
    inputs
        The sidecar of the brain mask holds the affine from scanner to template mm.
    run
        Its grid; head and run are taken as they lay in the scanner.

    Returns
    -------
    numpy.ndarray
        Shape of one volume; None when no affine was published.
    """
    sidecar = inputs.first("brain_mask", "anat/*_desc-brain_mask.json")
    known = json.loads(sidecar.read_bytes()) if sidecar else {}
    ways = [v for name, v in sorted(known.items()) if name.startswith(_TO_TEMPLATE)]
    if not ways:
        return None
    return place_seed(np.array(ways[0]), load_image(run))


def place_seed(
    way: NDArray[np.float64],
    image: Nifti1Image,
    centre_mm: tuple[float, float, float] = PCC_MNI_MM,
) -> NDArray[np.bool_]:
    """
    Return the voxels of an image within 6 mm of a place of the template.

    Parameters
    ----------
    way
        Matrix (4, 4) from mm of the scanner to mm of the template.
    image
        Its grid.
    centre_mm
        In the template.
    """
    to_template = way @ affine_of(image)
    voxels = np.indices(image.shape, dtype=np.float32).reshape(3, -1)
    places = to_template[:3, :3] @ voxels + to_template[:3, 3:]
    away = np.linalg.norm(places - np.array(centre_mm)[:, None], axis=0)
    return (away <= SEED_RADIUS_MM).reshape(image.shape)


def map_seed(
    run: Path, mask: NDArray[np.bool_], seed: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """
    Return the correlation of each voxel of `mask` with the mean of `seed`.

    Volumes are smoothed; mean, linear drift and the common signal of the mask are
    taken out, as is usual for a look at a network and for no more.

    Parameters
    ----------
    run
        Realigned series, (x, y, z, t).
    mask, seed
        Shape (x, y, z).

    Returns
    -------
    numpy.ndarray
        Shape (x, y, z), -1 to 1; 0 outside the mask and where nothing changes. None
        for fewer than 20 volumes or a seed outside the mask.
    """
    chosen = seed & mask
    series = _read_smoothed(run, mask)
    if not chosen.any() or series.shape[1] < _FEWEST_VOLUMES:
        return None
    time = np.linspace(-1, 1, series.shape[1])
    nuisance = np.stack([np.ones_like(time), time, series.mean(axis=0)])
    basis, _ = np.linalg.qr(nuisance.T)
    clean = series - (series @ basis) @ basis.T
    course = clean[chosen[mask]].mean(axis=0)
    norms = np.linalg.norm(clean, axis=1) * np.linalg.norm(course)
    found = np.divide(clean @ course, norms, where=norms > 0, out=np.zeros(len(clean)))
    correlation = np.zeros(mask.shape, dtype=np.float32)
    correlation[mask] = found
    return correlation


def shown_level(n_volumes: int) -> float:
    """
    Return the least correlation that is drawn of a run of so many volumes.

    About one voxel of two hundred exceeds it by chance: 2.58 standard deviations of
    the correlation of noise, and `SHOWN_CORRELATION` at least.

    Examples
    --------
    >>> round(shown_level(30), 2), shown_level(300)
    (0.5, 0.3)
    """
    return max(SHOWN_CORRELATION, 2.58 / float(np.sqrt(max(n_volumes - 3, 1))))


def lay_over(
    mean: Nifti1Image,
    correlation: NDArray[np.float32],
    mask: NDArray[np.bool_],
    level: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """
    Return the mean in grey with the correlation over it, and the mask, nearest to RAS.

    Parameters
    ----------
    mean, correlation, mask
        On the grid of the run.
    level
        Correlations above this are drawn.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Colours, shape (x, y, z, 3), 0 to 1; mask, shape (x, y, z).
    """
    from matplotlib import colormaps

    data = np.asarray(mean.dataobj, dtype=np.float32)
    low, high = window(data, low=2)
    grey = np.clip((data - low) / (high - low), 0, 1)[..., None].repeat(3, axis=3)
    strength = np.clip((correlation - level) / max(0.9 - level, 0.1), 0, 1)
    colour = colormaps["inferno"](0.45 + 0.5 * strength)[..., :3]
    shown = np.where((correlation > level)[..., None], colour, 0.8 * grey)
    affine = affine_of(mean)
    painted = turn_to_ras(shown.astype(np.float32), affine)
    return painted, turn_to_ras(mask, affine)


def _read_smoothed(run: Path, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    import nibabel as nib
    from scipy.ndimage import gaussian_filter

    image = nib.Nifti1Image.from_filename(run, keep_file_open=True)
    voxel_mm = image.header.get_zooms()[:3]
    sigma = [SMOOTHING_MM / 2.3548 / float(size) for size in voxel_mm]
    volumes = image.shape[3]
    series = np.empty((int(mask.sum()), volumes))
    for start in range(0, volumes, _CHUNK_VOLUMES):
        stop = min(start + _CHUNK_VOLUMES, volumes)
        block = np.asarray(image.dataobj[..., start:stop], dtype=np.float32)
        smooth = gaussian_filter(block, [*sigma, 0.0], truncate=2.5)
        series[:, start:stop] = smooth[mask]
    return series
