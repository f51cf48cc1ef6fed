"""What the session report shows of a BOLD run: maps, movement, carpet, a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting import figures, traces
from imaging_platform.reporting.bold import (
    CARPET_ROWS,
    Carpet,
    brain_of,
    read_carpet,
    read_column,
    read_motion,
)
from imaging_platform.reporting.markup import Html, escape, figure, join, sentence
from imaging_platform.reporting.network import (
    PCC_MNI_MM,
    find_seed,
    lay_over,
    map_seed,
    shown_level,
)
from imaging_platform.reporting.results import record
from imaging_platform.reporting.session_inputs import (
    SessionInputs,
    entities,
    short_name,
)
from imaging_platform.reporting.slices import (
    Volume,
    load_image,
    read_mask,
    read_volume,
    resample_labels,
    window,
)

FD_LINE_MM = 0.5
"""Line in the panel of framewise displacement (Power et al. 2012)."""


def show_bold(inputs: SessionInputs) -> Html:
    """Return maps, movement, carpet and a network of each BOLD run."""
    runs = inputs.find("bids_session", "func/*_bold.nii.gz")
    if not runs:
        return sentence("This session has no BOLD run.")
    scale = figures.share_page(len(runs))
    return join(piece for path in runs for piece in _bold(inputs, path, scale))


def _bold(inputs: SessionInputs, path: Path, scale: float) -> Iterator[Html]:
    scan = entities(path)
    yield Html(f"<h3>{escape(short_name(path))}</h3>")
    mean_path = inputs.twin("temporal_snr", "func/*_desc-mean_*.nii.gz", scan)
    tsnr_path = inputs.twin("temporal_snr", "func/*_desc-tsnr_*.nii.gz", scan)
    if mean_path is None and tsnr_path is None:
        yield sentence("Mean and temporal SNR of this run have not been made.")
    else:
        mask_path = inputs.twin("temporal_snr", "func/*_desc-head_mask.nii.gz", scan)
        yield _maps(mean_path, tsnr_path, mask_path, path, scale)
    motion_path = inputs.twin("motion", "func/*_desc-motion_timeseries.tsv", scan)
    if motion_path is None:
        yield sentence("The movement of this run has not been estimated.")
        return
    realigned = inputs.twin("motion", "func/*_desc-realigned_bold.nii.gz", scan)
    source = realigned or path
    mask = _own_axes_mask(mean_path)
    if mask is not None and _grid(source) != mask.shape:
        mask = None
    yield _movement(inputs, path, source, mask, motion_path, scale)
    if mask is not None and mean_path is not None and realigned is not None:
        yield _network(inputs, realigned, mask, mean_path, scale)


def _maps(
    mean_path: Path | None,
    tsnr_path: Path | None,
    mask_path: Path | None,
    scan: Path,
    scale: float,
) -> Html:
    maps = []
    mask = read_mask(mask_path)
    mean = read_volume(mean_path) if mean_path else None
    tsnr = read_volume(tsnr_path) if tsnr_path else None
    if mean is not None:
        mask = brain_of(mean.data) if mask is None else mask
        maps.append((mean, "Mean over time", "gray", window(mean.data, low=2)))
    if tsnr is not None:
        mask = brain_of(tsnr.data) if mask is None else mask
        top = float(np.percentile(tsnr.data, 98))
        maps.append((tsnr, "Temporal SNR", "viridis", (0.0, max(top, 1.0))))
    if mask is None or {v.data.shape for v, *_ in maps} != {mask.shape}:
        return sentence("Mean and temporal SNR are on different grids.")
    if mean is not None and tsnr is not None:
        spread = _deviation(mean, tsnr)
        spread = spread.like(np.where(mask, spread.data, 0))
        top = float(np.percentile(spread.data[mask], 99)) if mask.any() else 1.0
        title = "Standard deviation over time"
        maps.insert(1, (spread, title, "cividis", (0.0, max(top, 1e-6))))
    return figure(
        figures.draw_maps(maps, mask, scale=scale),
        "Realigned run. Ghosts, signal loss and blurred edges show in the mean; what "
        "moves or pulses is bright in the deviation and dark in the temporal SNR.",
        alt=f"Axial slices of mean, deviation and temporal SNR of {short_name(scan)}",
    )


def _deviation(mean: Volume, tsnr: Volume) -> Volume:
    """Return mean / tSNR, which is the standard deviation; 0 where nothing changes."""
    moving = tsnr.data > 0
    share = np.divide(mean.data, tsnr.data, where=moving, out=np.zeros_like(mean.data))
    return mean.like(share)


def _movement(
    inputs: SessionInputs,
    path: Path,
    source: Path,
    mask: NDArray[np.bool_] | None,
    motion_path: Path,
    scale: float,
) -> Html:
    motion = read_motion(motion_path)
    carpet = None
    if mask is not None:
        labels = _tissue_labels(inputs, source)
        rows = round(CARPET_ROWS * scale**2)
        carpet = read_carpet(source, mask, rows=rows, labels=labels)
    fd_mm = motion.displacement_mm
    mean_fd = float(np.mean(fd_mm[1:])) if len(fd_mm) > 1 else 0.0
    record("mean_fd_mm", mean_fd)
    dvars, said = _dvars(inputs, path, carpet)
    picture = traces.draw_motion(motion, dvars, carpet, threshold_mm=FD_LINE_MM)
    return figure(
        picture,
        "Movement against the reference volume and framewise displacement (FD), mean "
        f"{mean_fd:.2f} mm.{said}{_say_carpet(carpet)}",
        alt=f"Traces of movement and carpet plot of {short_name(path)}",
    )


def _dvars(
    inputs: SessionInputs, path: Path, carpet: Carpet | None
) -> tuple[tuple[str, NDArray[np.float64]] | None, str]:
    """Return axis title and values of DVARS, and a sentence on what they are."""
    pattern = "func/*_desc-confounds_timeseries.tsv"
    table = inputs.twin("confounds", pattern, entities(path))
    for column, title in (("std_dvars", "DVARS\nstandard."), ("dvars", "DVARS")):
        values = read_column(table, column) if table else None
        if values is not None:
            return (title, values), " DVARS: change of the signal between volumes."
    if carpet is None:
        return None, ""
    said = " DVARS: change between volumes, percent of the signal of sampled voxels."
    return ("DVARS\n%", carpet.dvars_percent), said


def _say_carpet(carpet: Carpet | None) -> str:
    if carpet is None or not len(carpet.rows):
        return ""
    order = "grouped by tissue and ordered" if len(carpet.groups) > 1 else "ordered"
    return (
        f" Carpet: brain voxels over time, {order} by correlation with their common "
        "signal, ±2 standard deviations; dark or bright columns are artefacts."
    )


def _tissue_labels(inputs: SessionInputs, source: Path) -> NDArray[np.int16] | None:
    """Return the tissues of the T1w on the grid of a run, by place in the scanner."""
    tissues = inputs.first("tissues", "anat/*_dseg.nii.gz")
    if tissues is None:
        return None
    return resample_labels(load_image(tissues), load_image(source))


def _network(
    inputs: SessionInputs,
    realigned: Path,
    mask: NDArray[np.bool_],
    mean_path: Path,
    scale: float,
) -> Html:
    seed = find_seed(inputs, realigned)
    if seed is None:
        return sentence("No network: the way from the head to the template is absent.")
    correlation = map_seed(realigned, mask, seed)
    if correlation is None:
        return sentence("No network: the seed lies outside of the run.")
    mean = read_volume(mean_path)
    level = shown_level(_count_volumes(realigned))
    painted, brain = lay_over(load_image(mean_path), correlation, mask, level)
    share = round(100 * float((correlation[mask] > level).mean()), 2)
    record("network_share_percent", share)
    x, y, z = PCC_MNI_MM
    return figure(
        figures.draw_maps(
            [(mean.like(painted), "Default mode network", "gray", (0.0, 1.0))],
            brain,
            scale=scale,
        ),
        f"Correlation with the posterior cingulate (MNI {x}, {y}, {z} mm), above "
        f"{level:.2g}: yellow is stronger. Medial frontal and both parietal "
        "regions should take part (Raichle 2011).",
        alt="Axial slices of the mean with the network of the posterior cingulate",
    )


def _own_axes_mask(mean_path: Path | None) -> NDArray[np.bool_] | None:
    if mean_path is None:
        return None
    return brain_of(np.asarray(load_image(mean_path).dataobj, dtype=np.float32))


def _grid(path: Path) -> tuple[int, ...]:
    """Return the shape of one volume of a time series; empty for anything else."""
    shape = _shape(path)
    return shape[:3] if len(shape) == 4 else ()


def _count_volumes(path: Path) -> int:
    return _shape(path)[3]


def _shape(path: Path) -> tuple[int, ...]:
    import nibabel as nib

    return tuple(nib.Nifti1Image.from_filename(path).shape)
