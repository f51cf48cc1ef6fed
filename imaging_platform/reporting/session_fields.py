"""What the session report shows of field maps, diffusion signal and PET."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting import figures, traces
from imaging_platform.reporting.bold import brain_of
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
from imaging_platform.reporting.slices import Volume, read_volume

SHELL_STEP = 100.0
"""b-values within half of this, in s/mm², are one shell."""

MOST_CURVES = 7


def show_field_map(inputs: SessionInputs) -> Html:
    """Return each field map in Hz: derived, or as the scanner gave it."""
    found = inputs.find("field_map", "fmap/*_fieldmap.nii.gz")
    found = found or [
        path
        for path in inputs.find("bids_session", "fmap/*_fieldmap.nii.gz")
        if _sidecar(path).get("Units") == "Hz"
    ]
    if not found:
        any_made = bool(inputs.find("bids_session", "fmap/*.nii.gz"))
        return sentence(
            "No field map in Hz has been made of the images of this session."
            if any_made
            else "This session has no field map."
        )
    return join(_field_map(inputs, path) for path in found)


def _field_map(inputs: SessionInputs, path: Path) -> Html:
    field = read_volume(path)
    reach = float(np.percentile(np.abs(field.data[field.data != 0]), 99)) or 1.0
    mask = _field_mask(inputs, path, field)
    record("field_map_p99_hz", round(reach, 2))
    title = "Deviation of the field (Hz)"
    shown = field.like(np.where(mask, field.data, 0))
    return Html(f"<h3>{escape(short_name(path))}</h3>") + figure(
        figures.draw_maps([(shown, title, figures.DIVERGING, (-reach, reach))], mask),
        "Black is the frequency of the scanner. Where the field is far off, above the "
        "nose and the ears, echo-planar images are shifted and lose signal.",
        alt=f"Axial slices of the field map {short_name(path)}",
    )


def _field_mask(inputs: SessionInputs, path: Path, field: Volume) -> NDArray[np.bool_]:
    magnitude = inputs.first("bids_session", "fmap/*_magnitude*.nii.gz")
    if magnitude is not None:
        data = read_volume(magnitude).data
        if data.shape == field.data.shape:
            return brain_of(data)
    return field.data != 0


def show_diffusion_signal(inputs: SessionInputs) -> Html:
    """Return each diffusion run as slices over volumes, each slice as its shell is."""
    runs = inputs.find("bids_session", "dwi/*_dwi.nii.gz")
    return join(piece for path in runs for piece in _signal(inputs, path))


def _signal(inputs: SessionInputs, path: Path) -> Iterator[Html]:
    import nibabel as nib

    table = path.with_name(path.name.replace(".nii.gz", ".bval"))
    if not table.is_file():
        return
    b_values = np.array(table.read_text().split(), dtype=float)
    image = nib.Nifti1Image.from_filename(path)
    if len(image.shape) != 4 or image.shape[3] != len(b_values):
        return
    mask_path = inputs.twin("diffusion_maps", "dwi/*_mask.nii.gz", entities(path))
    data = np.asarray(image.dataobj, dtype=np.float32)
    mask = None
    if mask_path is not None:
        mask = np.asarray(nib.Nifti1Image.from_filename(mask_path).dataobj) > 0.5
    if mask is None or mask.shape != data.shape[:3]:
        mask = brain_of(data.mean(axis=3))
    share = shares_of_shell(data, mask, b_values)
    lowest = float(np.nanmin(share)) if np.isfinite(share).any() else 1.0
    yield figure(
        traces.draw_signal(
            share, "Share of the shell", [f"{value:.0f}" for value in b_values]
        ),
        "Signal of each slice in each volume, as a share of the median of its slice "
        f"in the volumes of the same b-value; the lowest is {lowest:.2f}. A dark cell "
        "is a slice that lost its signal when the head moved.",
        alt=f"Slices over volumes of {scan_words(path.name)}",
    )


def shares_of_shell(
    data: NDArray[np.float32],
    mask: NDArray[np.bool_],
    b_values: NDArray[np.float64],
) -> NDArray[np.float32]:
    """
    Return the mean of each slice of each volume over the median of its shell.

    Parameters
    ----------
    data
        Shape (x, y, z, t).
    mask
        Shape (x, y, z); a slice with fewer than 20 of its voxels is NaN.
    b_values
        In s/mm², shape (t,).

    Returns
    -------
    numpy.ndarray
        Shape (z, t). A shell of one volume is 1.
    """
    counts = mask.sum(axis=(0, 1))
    sums = np.einsum("xyzt,xyz->zt", data, mask.astype(np.float32))
    means = np.full(sums.shape, np.nan, dtype=np.float32)
    enough = counts >= 20
    means[enough] = sums[enough] / counts[enough, None]
    shells = np.rint(b_values / SHELL_STEP)
    for shell in np.unique(shells):
        own = shells == shell
        usual = np.median(means[:, own], axis=1, keepdims=True)
        usual[~(usual > 0)] = np.nan
        means[:, own] /= usual
    return means


def show_pet(inputs: SessionInputs) -> Html:
    """Return uptake and tissue curves of each PET scan; nothing without PET."""
    scans = inputs.find("bids_session", "pet/*_pet.nii.gz")
    if not scans:
        return sentence("This session has no PET scan.")
    uptake = inputs.find("pet", "pet/*SUV*.nii.gz")
    curves = inputs.find("pet", "pet/*.tsv")
    if not uptake and not curves:
        return sentence("Uptake and tissue curves of this PET scan have not been made.")
    pieces = [*map(_uptake, uptake), *map(_curves, curves)]
    return join(piece for piece in pieces if piece is not None)


def _uptake(path: Path) -> Html:
    volume = read_volume(path)
    positive = volume.data[volume.data > 0]
    top = float(np.percentile(positive, 99.5)) if positive.size else 1.0
    ratio = "SUVR" in path.name
    title = "Ratio to the reference region" if ratio else "Standard uptake value (g/ml)"
    mask = brain_of(volume.data)
    # A face is far above the brain in a wide PET: only the part around it is drawn.
    shown = volume.like(np.where(mask, volume.data, 0))
    return Html(f"<h3>{escape(short_name(path))}</h3>") + figure(
        figures.draw_maps([(shown, title, "magma", (0.0, top))], mask),
        "Grey matter takes up most of a glucose tracer; both sides should agree.",
        alt=f"Axial slices of {short_name(path)}",
    )


def _curves(path: Path) -> Html | None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = list(rows[0]) if rows else []
    times = [n for n in names if n in ("frame_start", "frame_end", "time")]
    regions = [n for n in names if n not in times and n != "frame_duration"]
    if not times or len(rows) < 2:
        return None
    middle = np.mean([[float(row[t]) for t in times] for row in rows], axis=1)
    curves = [
        (r.replace("_", " "), np.array([float(row[r]) for row in rows]))
        for r in regions[:MOST_CURVES]
        if all(_is_number(row[r]) for row in rows)
    ]
    if not curves:
        return None
    return figure(
        traces.draw_curves(
            middle / 60, curves, ("Minutes after injection", "Activity")
        ),
        "Time-activity curves of the tissues.",
        alt=f"Curves of activity over time in {scan_words(path.name)}",
    )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _sidecar(path: Path) -> dict[str, object]:
    sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
    return json.loads(sidecar.read_bytes()) if sidecar.is_file() else {}
