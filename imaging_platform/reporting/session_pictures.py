"""The pictures of the session report: anatomy, function, diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting import figures
from imaging_platform.reporting.bold import (
    CARPET_ROWS,
    brain_of,
    read_carpet,
    read_motion,
)
from imaging_platform.reporting.markup import (
    Html,
    escape,
    figure,
    join,
    scan_words,
    sentence,
)
from imaging_platform.reporting.results import record
from imaging_platform.reporting.session_inputs import (
    SessionInputs,
    entities,
    short_name,
)
from imaging_platform.reporting.slices import (
    Volume,
    crop_to_brain,
    load_image,
    read_volume,
    window,
)
from imaging_platform.reporting.viewer import Overlay, make_viewer

WHITE_MATTER = 2
"""Its label in a tissue segmentation (BIDS common labels: 1 grey, 2 white, 3 CSF)."""

_OVERLAYS = (
    ("temporal_snr", "func/*_desc-tsnr_*.nii.gz", "Temporal SNR", ""),
    ("diffusion_maps", "dwi/*_FA.nii.gz", "FA", ""),
    ("pet", "pet/*_SUV*.nii.gz", "SUV", "g/ml"),
)

FD_LINE_MM = 0.5
"""Line in the panel of framewise displacement (Power et al. 2012)."""


def show_anatomy(inputs: SessionInputs) -> Html:
    """
    Return each T1w with the outline of its brain mask, and its defaced head.

    Only a defaced or brain-cropped volume is drawn; without brain mask and
    defaced volume nothing is, since a slice of a head can show a face.
    """
    scans = inputs.find("bids_session", "anat/*_T1w.nii.gz")
    if not scans:
        return sentence("This session has no T1w image.")
    return join(piece for path in scans for piece in _anatomy(inputs, path))


def show_viewer(inputs: SessionInputs) -> Html:
    """
    Return the first T1w with a brain mask as a viewer, with what lies over it.

    Other images are laid over it by their place in the scanner alone.
    """
    for path in inputs.find("bids_session", "anat/*_T1w.nii.gz"):
        pattern = "anat/*_desc-brain_mask.nii.gz"
        mask_path = inputs.twin("brain_mask", pattern, entities(path))
        if mask_path is not None:
            head, brain = load_image(path), load_image(mask_path)
            inside = np.asarray(brain.dataobj) > 0.5
            if head.shape == inside.shape and inside.any():
                return make_viewer(head, inside, list(_overlays(inputs)))
    return sentence("No brain mask: there is no volume that may be turned over.")


def _overlays(inputs: SessionInputs) -> Iterator[Overlay]:
    tissue = inputs.first("tissues", "anat/*_dseg.nii.gz")
    if tissue is not None:
        image = load_image(tissue)
        white = np.asarray(image.dataobj) == WHITE_MATTER
        yield Overlay(
            "White matter",
            "",
            image.__class__(white.astype(np.uint8), image.affine),
            is_mask=True,
        )
    for tree, pattern, name, unit in _OVERLAYS:
        path = inputs.first(tree, pattern)
        if path is not None:
            yield Overlay(name, unit, load_image(path))


def show_bold(inputs: SessionInputs) -> Html:
    """Return mean, temporal SNR, movement and carpet of each BOLD run."""
    runs = inputs.find("bids_session", "func/*_bold.nii.gz")
    if not runs:
        return sentence("This session has no BOLD run.")
    # Many runs share what a page may weigh: their pictures get smaller.
    scale = max(0.5, min(1.0, (2 / len(runs)) ** 0.5))
    return join(piece for path in runs for piece in _bold(inputs, path, scale))


def show_diffusion(inputs: SessionInputs) -> Html:
    """Return fractional anisotropy and what else was made of each diffusion run."""
    runs = inputs.find("bids_session", "dwi/*_dwi.nii.gz")
    found = inputs.find("diffusion_maps", "dwi/*_FA.nii.gz")
    if not found:
        return sentence(
            "The diffusion maps have not been made."
            if runs
            else "This session has no diffusion run."
        )
    return join(_diffusion(inputs, path) for path in found)


def _anatomy(inputs: SessionInputs, path: Path) -> Iterator[Html]:
    scan = entities(path)
    mask_path = inputs.twin("brain_mask", "anat/*_desc-brain_mask.nii.gz", scan)
    defaced_path = inputs.twin("defaced_t1w", "anat/*_desc-defaced_T1w.nii.gz", scan)
    yield Html(f"<h3>{escape(short_name(path))}</h3>")
    mask = _read_mask(mask_path)
    if mask is None:
        yield sentence(
            "No brain mask: the image is not shown, since it could show the face."
        )
    else:
        volume = read_volume(path)
        if volume.data.shape != mask.shape:
            yield sentence("The brain mask has another grid than the image.")
        else:
            cropped = crop_to_brain(volume, mask)
            record("brain_volume_ml", _millilitres(mask, volume))
            yield figure(
                figures.draw_brain(cropped, mask),
                "T1w within 6 mm of the brain; the outline is the brain mask. "
                "The left of a picture is the left of the head; mm from the origin.",
                alt=f"Axial, coronal and sagittal slices of {short_name(path)}",
            )
    if defaced_path is None:
        yield sentence("No defaced image has been published.")
        return
    defaced = read_volume(defaced_path)
    same = mask if mask is not None and mask.shape == defaced.data.shape else None
    yield figure(
        figures.draw_head(defaced, same),
        "Defaced image. Look for what is left of the face, and for brain that is cut.",
        alt=f"Slices of the defaced head of {short_name(path)}",
    )


def _bold(inputs: SessionInputs, path: Path, scale: float) -> Iterator[Html]:
    scan = entities(path)
    yield Html(f"<h3>{escape(short_name(path))}</h3>")
    mean_path = inputs.twin("temporal_snr", "func/*_desc-mean_*.nii.gz", scan)
    tsnr_path = inputs.twin("temporal_snr", "func/*_desc-tsnr_*.nii.gz", scan)
    if mean_path is None and tsnr_path is None:
        yield sentence("Mean and temporal SNR of this run have not been made.")
    else:
        mask_path = inputs.twin("temporal_snr", "func/*_desc-head_mask.nii.gz", scan)
        yield _bold_maps(mean_path, tsnr_path, mask_path, path, scale)
    motion_path = inputs.twin("motion", "func/*_desc-motion_timeseries.tsv", scan)
    if motion_path is None:
        yield sentence("The movement of this run has not been estimated.")
        return
    yield _movement(inputs, path, mean_path, motion_path, scale)


def _bold_maps(
    mean_path: Path | None,
    tsnr_path: Path | None,
    mask_path: Path | None,
    scan: Path,
    scale: float,
) -> Html:
    maps = []
    mask = _read_mask(mask_path)
    if mean_path is not None:
        mean = read_volume(mean_path)
        mask = brain_of(mean.data) if mask is None else mask
        maps.append((mean, "Mean over time", "gray", window(mean.data, low=2)))
    if tsnr_path is not None:
        tsnr = read_volume(tsnr_path)
        mask = brain_of(tsnr.data) if mask is None else mask
        top = float(np.percentile(tsnr.data, 98))
        maps.append((tsnr, "Temporal SNR", "viridis", (0.0, max(top, 1.0))))
    if mask is None or {v.data.shape for v, *_ in maps} != {mask.shape}:
        return sentence("Mean and temporal SNR are on different grids.")
    return figure(
        figures.draw_maps(maps, mask, scale=scale),
        "Realigned run. Ghosts, signal loss and blurred edges show in the mean; "
        "dark regions of the temporal SNR move or carry noise.",
        alt=f"Axial slices of mean and temporal SNR of {short_name(scan)}",
    )


def _movement(
    inputs: SessionInputs,
    path: Path,
    mean_path: Path | None,
    motion_path: Path,
    scale: float,
) -> Html:
    motion = read_motion(motion_path)
    realigned = inputs.twin(
        "motion", "func/*_desc-realigned_bold.nii.gz", entities(path)
    )
    mask = _own_axes_mask(mean_path)
    source = realigned or path
    carpet = None
    if mask is not None and _grid(source) == mask.shape:
        carpet = read_carpet(source, mask, rows=round(CARPET_ROWS * scale**2))
        carpet = carpet if len(carpet) else None
    mean_fd = (
        float(np.mean(motion.displacement_mm[1:]))
        if len(motion.displacement_mm) > 1
        else 0.0
    )
    record("mean_fd_mm", mean_fd)
    picture = figures.draw_motion(
        motion.translations_mm,
        motion.rotations_deg,
        motion.displacement_mm,
        carpet,
        threshold_mm=FD_LINE_MM,
    )
    said = (
        ""
        if carpet is None
        else (
            " Carpet: brain voxels over time, ordered by correlation with their common "
            "signal, ±2 standard deviations; dark or bright columns are artefacts."
        )
    )
    return figure(
        picture,
        f"Movement against the reference volume and framewise displacement (FD), "
        f"mean {mean_fd:.2f} mm.{said}",
        alt=f"Traces of movement and carpet plot of {short_name(path)}",
    )


def _own_axes_mask(mean_path: Path | None) -> NDArray[np.bool_] | None:
    if mean_path is None:
        return None
    import nibabel as nib

    mean = nib.load(mean_path).dataobj  # type: ignore[attr-defined]  # untyped in FileBasedImage
    return brain_of(np.asarray(mean, dtype=np.float32))


def _grid(path: Path) -> tuple[int, ...]:
    """Return the shape of one volume of a time series; empty for anything else."""
    import nibabel as nib

    shape = nib.load(path).shape  # type: ignore[attr-defined]  # untyped in FileBasedImage
    return tuple(shape[:3]) if len(shape) == 4 else ()


def _diffusion(inputs: SessionInputs, fa_path: Path) -> Html:
    scan = entities(fa_path)
    fa = read_volume(fa_path)
    maps = [(fa, "Fractional anisotropy", "gray", (0.0, 0.9))]
    colour_path = inputs.twin("diffusion_maps", "dwi/*_colFA.nii.gz", scan)
    if colour_path is not None:
        colour = read_volume(colour_path)
        title = "Direction: red left-right, green front-back, blue up-down"
        maps.append((colour, title, "gray", (0.0, 0.8)))
    md_path = inputs.twin("diffusion_maps", "dwi/*_ADC.nii.gz", scan)
    if md_path is not None:
        md = read_volume(md_path)
        top = (
            float(np.percentile(md.data[md.data > 0], 90))
            if (md.data > 0).any()
            else 1.0
        )
        maps.append((md, "Mean diffusivity (mm²/s)", "cividis", (0.0, top)))
    mask_path = inputs.twin("diffusion_maps", "dwi/*_mask.nii.gz", scan)
    mask = _read_mask(mask_path)
    mask = fa.data > 0 if mask is None or mask.shape != fa.data.shape[:3] else mask
    maps = [one for one in maps if one[0].data.shape[:3] == mask.shape]
    return Html(f"<h3>{escape(scan_words(scan))} diffusion</h3>") + figure(
        figures.draw_maps(maps, mask),
        "White matter must be bright where fibres run together; a wrong b-table "
        "shows as a corpus callosum that is not red.",
        alt="Axial slices of the diffusion maps",
    )


def _read_mask(path: Path | None) -> NDArray[np.bool_] | None:
    return None if path is None else read_volume(path).data > 0.5


def _millilitres(mask: NDArray[np.bool_], volume: Volume) -> float:
    return round(float(mask.sum()) * float(np.prod(volume.spacing_mm)) / 1000, 1)
