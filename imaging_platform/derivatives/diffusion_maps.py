"""Diffusion tensor maps of each DWI series of a session."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.derivatives.dropout import find_dropouts
from imaging_platform.derivatives.gradients import (
    LEAST_DIRECTIONS,
    GradientTable,
    count_directions,
    find_shells,
    judge_table,
    read_gradients,
    to_scanner_axes,
    why_unusable,
)
from imaging_platform.derivatives.images import Image, read_image, write_image
from imaging_platform.derivatives.realignment import (
    estimate_motion,
    framewise_displacement,
)
from imaging_platform.derivatives.scans import (
    DerivativeReport,
    Scan,
    Skipped,
    derived_path,
    find_scans,
    source_uri,
)
from imaging_platform.derivatives.tensor import TensorFit, fit_tensor
from imaging_platform.derivatives.volumes import median_filter
from imaging_platform.files.writing import write_json
from imaging_platform.model.ids import SessionKey
from imaging_platform.voxels.masks import fill, largest_part, open_mask, otsu_threshold

MOVEMENT_KEY = "MovementOfB0Mm"
"""Sidecar key of the mask: movement of the head before each later b = 0, mm."""

TENSOR_B_LIMIT = 1600.0
"""Above about 1500 s/mm2 the decay is no longer that of one tensor (Jones 2010)."""


@dataclass(frozen=True)
class DiffusionSeries:
    """
    Maps of one series.

    Parameters
    ----------
    scan
        Name of the DWI without extension.
    maps
        Paths inside the target folder: FA, ADC (mean diffusivity), colFA, mask.
    volumes, b0_volumes, directions
        Counts; directions are different axes.
    shells
        (b-value in s/mm2, volumes) above b = 0.
    fitted_volumes
        Volumes that took part in the fit.
    median_fa
        Median fractional anisotropy in the mask, 0 to 1.
    median_md
        Median mean diffusivity in the mask, mm2/s.
    lost_slices
        (volume, slice) from 0 of each slice that lost its signal; it takes no part
        in the fit.
    b0_movement_mm
        Framewise displacement (Power 2012) from each b = 0 to the next; weighted
        volumes look too different from each other to be compared.
    remarks
        What is odd about the table of gradients.
    """

    scan: str
    maps: tuple[str, ...]
    volumes: int
    b0_volumes: int
    directions: int
    shells: tuple[tuple[int, int], ...]
    fitted_volumes: int
    median_fa: float
    median_md: float
    lost_slices: tuple[tuple[int, int], ...]
    b0_movement_mm: tuple[float, ...]
    remarks: tuple[str, ...]


def write_diffusion_maps(
    bids_session: str, target: str, subject: str, session: str
) -> dict[str, object]:
    """
    Write FA, mean diffusivity, colour-coded FA and a brain mask of each DWI series.

    Names are ``dwi/*_desc-tensor_FA``, ``_ADC`` (the mean diffusivity), ``_colFA``
    and ``dwi/*_desc-brain_mask``: the suffixes that BIDS 1.11 has for them.

    Parameters
    ----------
    bids_session
        ``.../sub-X/ses-Y`` of a BIDS dataset.
    target
        Existing empty folder: content of ``derivatives/<pipeline>/sub-X/ses-Y``.
    subject, session
        BIDS labels without ``sub-`` and ``ses-``.

    Returns
    -------
    dict
        A `DerivativeReport` of `DiffusionSeries`; its note may be ``no DWI``.
        A table with b-values of 0 only is listed in `skipped`.

    Raises
    ------
    BadInput
        A series cannot be read.
    MissingInput
        The session folder is not there.
    """
    key = SessionKey(subject, session)
    done: list[DiffusionSeries] = []
    skipped: list[Skipped] = []
    found = find_scans(Path(bids_session), "dwi", "dwi")
    for scan in found:
        image = read_image(scan.path)
        table = _table_or_reason(scan, image)
        if isinstance(table, str):
            skipped.append(Skipped(scan.name, table))
        else:
            done.append(_write_series(scan, image, table, Path(target), key))
    note = "" if found else "no DWI"
    return asdict(DerivativeReport(tuple(done), tuple(skipped), note))


def choose_volumes(table: GradientTable) -> NDArray[np.bool_]:
    """
    Return which volumes take part in the tensor fit.

    Those up to `TENSOR_B_LIMIT` if they hold enough directions, otherwise all;
    never a weighted volume without a direction.
    """
    lengths = np.linalg.norm(table.vectors, axis=1)
    known = table.is_b0 | (lengths > 0.5)
    low = known & (table.b_values <= TENSOR_B_LIMIT)
    lower = GradientTable(table.b_values[low], table.vectors[low])
    return low if count_directions(lower) >= LEAST_DIRECTIONS else known


def mask_brain_of_b0(b0: NDArray[np.float32]) -> NDArray[np.bool_]:
    """
    Return the brain in a mean b = 0 volume: median filter, Otsu, largest part, filled.

    As dipy's ``median_otsu`` (Garyfallidis et al. 2014) with smaller filters.
    """
    smooth = median_filter(median_filter(b0, 3), 3)
    if float(smooth.max()) <= float(smooth.min()):
        return np.zeros(b0.shape, dtype=bool)
    capped = np.minimum(smooth, np.percentile(smooth, 99))
    bright = capped > otsu_threshold(capped) * 0.9
    return fill(largest_part(open_mask(bright)))


def measure_b0_movement(
    series: NDArray[np.float32], affine: NDArray[np.float64], table: GradientTable
) -> tuple[float, ...]:
    """
    Return the head's path from each volume without weighting to the next.

    Parameters
    ----------
    series
        Shape (x, y, z, t).
    affine
        Voxel index to scanner millimetres.
    table
        Of the series.

    Returns
    -------
    tuple of float
        Framewise displacement, mm; one less than there are such volumes, none for
        fewer than two.
    """
    chosen = np.flatnonzero(table.is_b0)
    if chosen.size < 2:
        return ()
    motion = estimate_motion(np.take(series, chosen, axis=3), affine)
    return tuple(round(float(fd), 4) for fd in framewise_displacement(motion)[1:])


def _table_or_reason(scan: Scan, image: Image) -> GradientTable | str:
    if image.data.ndim != 4:
        return "a single volume"
    table = read_gradients(
        scan.sibling(".bval"), scan.sibling(".bvec"), image.data.shape[3]
    )
    if isinstance(table, str):
        return table
    return why_unusable(table) or table


def _write_series(
    scan: Scan, image: Image, table: GradientTable, target: Path, key: SessionKey
) -> DiffusionSeries:
    lowest = table.b_values <= max(float(table.b_values.min()), 50.0)
    mask = mask_brain_of_b0(image.data[..., lowest].mean(axis=3))
    used = choose_volumes(table)
    lost = find_dropouts(image.data, mask, table)
    fit = _fit_slices(image.data, mask, table, used & ~lost)
    fa, md = fit.fractional_anisotropy, fit.mean_diffusivity
    movement = measure_b0_movement(image.data, image.affine, table)
    axes = np.abs(to_scanner_axes(fit.principal, image.affine))
    maps = (
        _write_map(scan, image, mask, fa, "FA", _FA_WORDS, target, key),
        _write_map(scan, image, mask, md, "ADC", _MD_WORDS, target, key),
        _write_map(
            scan, image, mask, axes * fa[:, None], "colFA", _DEC_WORDS, target, key
        ),
        _write_mask(scan, image, mask, movement, target, key),
    )
    return DiffusionSeries(
        scan=scan.name,
        maps=maps,
        volumes=len(table.b_values),
        b0_volumes=int(table.is_b0.sum()),
        directions=count_directions(table),
        shells=find_shells(table.b_values),
        fitted_volumes=int(used.sum()),
        median_fa=round(float(np.median(fa)), 5) if fa.size else 0.0,
        median_md=round(float(np.median(md)), 8) if md.size else 0.0,
        lost_slices=tuple(
            (int(volume), int(place)) for volume, place in np.argwhere(lost.T)
        ),
        b0_movement_mm=movement,
        remarks=judge_table(table),
    )


def _fit_slices(
    series: NDArray[np.float32],
    mask: NDArray[np.bool_],
    table: GradientTable,
    kept: NDArray[np.bool_],
) -> TensorFit:
    """
    Return the tensor of each voxel of a mask, in the mask's order.

    `kept`, shape (slices, volumes), says what takes part; slices with the same
    volumes are fitted together. A slice that would lose too many directions keeps
    all that any slice has.
    """
    voxels, place = series[mask], np.nonzero(mask)[2]
    usual = kept.any(axis=0)
    for index, row in enumerate(kept):
        part = GradientTable(table.b_values[row], table.vectors[row])
        if not part.b_values.size or why_unusable(part):
            kept[index] = usual
    values, principal = np.empty((len(voxels), 3)), np.empty((len(voxels), 3))
    patterns, group = np.unique(kept, axis=0, return_inverse=True)
    for index, row in enumerate(patterns):
        here = group.ravel()[place] == index
        fit = fit_tensor(voxels[here][:, row], table.b_values[row], table.vectors[row])
        values[here], principal[here] = fit.eigenvalues, fit.principal
    return TensorFit(values, principal)


_FA_WORDS = ("Fractional anisotropy of a weighted least squares tensor.", "")
_MD_WORDS = ("Mean diffusivity of a weighted least squares tensor.", "mm2/s")
_DEC_WORDS = (
    "Direction of greatest diffusion along scanner right, anterior, superior "
    "(absolute), times fractional anisotropy.",
    "",
)


def _write_map(
    scan: Scan,
    image: Image,
    mask: NDArray[np.bool_],
    values: NDArray[np.float64],
    suffix: str,
    words: tuple[str, str],
    target: Path,
    key: SessionKey,
) -> str:
    data = np.zeros(mask.shape + values.shape[1:], dtype=np.float32)
    data[mask] = values
    path = derived_path(target, key, scan, "tensor", suffix, ".nii.gz")
    write_image(path, data, image.affine)
    sidecar: dict[str, object] = {
        "Description": words[0],
        "SkullStripped": True,
        "Sources": [source_uri(key, scan)],
    }
    if words[1]:
        sidecar["Units"] = words[1]
    write_json(derived_path(target, key, scan, "tensor", suffix, ".json"), sidecar)
    return path.relative_to(target).as_posix()


def _write_mask(
    scan: Scan,
    image: Image,
    mask: NDArray[np.bool_],
    movement: tuple[float, ...],
    target: Path,
    key: SessionKey,
) -> str:
    path = derived_path(target, key, scan, "brain", "mask", ".nii.gz")
    write_image(path, mask.astype(np.uint8), image.affine)
    sidecar = {
        "Description": "Brain in the mean volume without diffusion weighting.",
        "Type": "Brain",
        "Sources": [source_uri(key, scan)],
        "SpatialReference": "orig",
        MOVEMENT_KEY: list(movement),
    }
    write_json(derived_path(target, key, scan, "brain", "mask", ".json"), sidecar)
    return path.relative_to(target).as_posix()
