"""The pictures of the session report: anatomy, function, diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting import figures
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
    read_mask,
    read_volume,
)
from imaging_platform.reporting.surface import shade_head
from imaging_platform.reporting.viewer import Overlay, make_viewer

WHITE_MATTER = 2
"""Its label in a tissue segmentation (BIDS common labels: 1 grey, 2 white, 3 CSF)."""

_OVERLAYS = (
    ("temporal_snr", "func/*_desc-tsnr_*.nii.gz", "Temporal SNR", ""),
    ("diffusion_maps", "dwi/*_FA.nii.gz", "FA", ""),
    ("pet", "pet/*_SUV*.nii.gz", "SUV", "g/ml"),
)


def show_anatomy(inputs: SessionInputs) -> Html:
    """
    Return each T1w with the outline of its brain mask, and its defaced head.

    Only a defaced or brain-cropped volume is drawn; without brain mask and
    defaced volume nothing is, since a slice of a head can show a face.
    """
    scans = inputs.find("bids_session", "anat/*_T1w.nii.gz")
    if not scans:
        return sentence("This session has no T1w image.")
    scale = figures.share_page(len(scans))
    return join(piece for path in scans for piece in _anatomy(inputs, path, scale))


def show_viewer(inputs: SessionInputs) -> Html:
    """
    Return a T1w with a brain mask as a viewer, with what lies over it.

    Other images are laid over it by their place in the scanner alone.
    """
    for path in inputs.find_t1w():
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
    scale = figures.share_page(len(found))
    return join(_diffusion(inputs, path, scale) for path in found)


def _anatomy(inputs: SessionInputs, path: Path, scale: float) -> Iterator[Html]:
    scan = entities(path)
    mask_path = inputs.twin("brain_mask", "anat/*_desc-brain_mask.nii.gz", scan)
    defaced_path = inputs.twin("defaced_t1w", "anat/*_desc-defaced_T1w.nii.gz", scan)
    yield Html(f"<h3>{escape(short_name(path))}</h3>")
    mask = read_mask(mask_path)
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
            white = _white_matter(inputs, scan, mask)
            inner = "" if white is None else ", blue the white matter"
            yield figure(
                figures.draw_brain(cropped, mask, inner=white, scale=scale),
                f"T1w within 6 mm of the brain; yellow is the brain mask{inner}. "
                "The left of a picture is the left of the head; mm from the origin.",
                alt=f"Axial, coronal and sagittal slices of {short_name(path)}",
            )
    if defaced_path is None:
        yield sentence("No defaced image has been published.")
    else:
        yield from _defaced(defaced_path, mask, short_name(path), scale)


def _white_matter(
    inputs: SessionInputs, scan: str, mask: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    path = inputs.twin("tissues", "anat/*_dseg.nii.gz", scan)
    labels = read_volume(path).data if path else None
    if labels is None or labels.shape != mask.shape:
        return None
    return labels == WHITE_MATTER


def _defaced(
    path: Path, mask: NDArray[np.bool_] | None, name: str, scale: float
) -> Iterator[Html]:
    defaced = read_volume(path)
    same = mask if mask is not None and mask.shape == defaced.data.shape else None
    yield figure(
        figures.draw_head(defaced, same, scale=scale),
        "Defaced image. Look for what is left of the face, and for brain that is cut.",
        alt=f"Slices of the defaced head of {name}",
    )
    yield figure(
        figures.draw_views(shade_head(defaced)),
        "The defaced head from outside, turned from side to side: nobody should be "
        "known by it.",
        alt=f"Surface of the defaced head of {name} from five directions",
    )
    yield figure(
        figures.draw_background(defaced),
        "The defaced image with the air brightened: ghosts, wrapped signal, spikes and "
        "stripes show here.",
        alt=f"Slices of {name} with a bright background",
    )


def _diffusion(inputs: SessionInputs, fa_path: Path, scale: float) -> Html:
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
    mask = read_mask(mask_path)
    mask = fa.data > 0 if mask is None or mask.shape != fa.data.shape[:3] else mask
    maps = [one for one in maps if one[0].data.shape[:3] == mask.shape]
    named = scan_words(scan)
    title = "Tensor maps" if named == "session" else f"Tensor maps, {named}"
    return Html(f"<h3>{escape(title)}</h3>") + figure(
        figures.draw_maps(maps, mask, scale=scale),
        "White matter must be bright where fibres run together; a wrong b-table "
        "shows as a corpus callosum that is not red.",
        alt="Axial slices of the diffusion maps",
    )


def _millilitres(mask: NDArray[np.bool_], volume: Volume) -> float:
    return round(float(mask.sum()) * float(np.prod(volume.spacing_mm)) / 1000, 1)
