"""A volume that a reader turns over in the page: three planes, overlays, no server."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting.markup import Html, escape
from imaging_platform.reporting.slices import affine_of, window

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

SPACING_MM = 2.0
OVERLAY_MM = 3.0
"""Voxels of the brain and of what lies over it: both fit into a third of a page."""

MARGIN_MM = 8.0
GREYS = 48
COLOURS = 20
"""Steps of grey and of an overlay: more are not seen and do not compress."""

MARK = 'class="viewer"'
"""Stands in a page that needs the script of the viewer."""


@dataclass(frozen=True, eq=False)
class Overlay:
    """
    Something that is laid over the brain.

    Parameters
    ----------
    name, unit
        Shown beside its values.
    image
        On any grid, in the same scanner space; 0 and NaN are not drawn.
    is_mask
        True for inside and outside alone.
    """

    name: str
    unit: str
    image: Nifti1Image
    is_mask: bool = False


def make_viewer(
    head: Nifti1Image, brain: NDArray[np.bool_], overlays: Sequence[Overlay]
) -> Html:
    """
    Return a viewer of the brain; the page that holds it gets its script.

    Parameters
    ----------
    head
        Three dimensions, any orientation, arbitrary units. What is further than a
        few mm from the brain is not in the page: no face can be seen.
    brain
        On the grid of `head`.
    overlays
        Resampled linearly; masks to the nearest voxel.
    """
    shape, affine = _grid(head, brain)
    keep = _resample(_as_image(brain, head), shape, affine, order=1) > 0.02
    grown = _grow(keep)
    grey = np.where(grown, _resample(head, shape, affine, order=1), 0)
    low, high = 0.0, window(grey.astype(np.float32))[1]
    layers = [_describe("T1w", "", "grey", low, high)]
    data = [_quantize(grey, low, high, GREYS)]
    layers.append(_describe("Brain mask", "", "mask", 0, 1))
    inside = _resample(_as_image(brain, head), shape, affine, order=1) > 0.5
    data.append(inside.astype(np.uint8))
    coarse, coarser = _coarsen(shape, affine)
    covered = _resample(_as_image(brain, head), coarse, coarser, order=1) > 0.2
    for overlay in overlays:
        order = 0 if overlay.is_mask else 1
        values = _resample(overlay.image, coarse, coarser, order=order)
        layer, voxels = _lay_over(overlay, np.where(covered, values, 0))
        layers.append(layer)
        data.append(voxels)
    for layer, voxels in zip(layers, data, strict=True):
        layer["shape"] = voxels.shape
    packed = gzip.compress(b"".join(voxels.tobytes() for voxels in data), 9, mtime=0)
    about = {
        "shape": shape,
        "share": SPACING_MM / OVERLAY_MM,
        "affine": affine[:3].round(4).tolist(),
        "start": [size // 2 for size in shape],
        "layers": layers,
        "colours": _colours(),
    }
    return _markup(json.dumps(about), base64.b64encode(packed).decode())


def _grid(
    head: Nifti1Image, brain: NDArray[np.bool_]
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Return shape and affine of the viewer: the box of the brain, nearest to RAS."""
    from nibabel.orientations import inv_ornt_aff, io_orientation

    turn = io_orientation(head.affine)
    affine = head.affine @ inv_ornt_aff(turn, brain.shape)
    order = np.argsort(turn[:, 0])
    flips = tuple(
        slice(None, None, -1) if turn[axis, 1] < 0 else slice(None) for axis in order
    )
    canonical = brain.transpose(order)[flips]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    where = np.argwhere(canonical)
    first = where.min(axis=0) - MARGIN_MM / spacing
    last = where.max(axis=0) + MARGIN_MM / spacing
    size = np.ceil((last - first) * spacing / SPACING_MM).astype(int) + 1
    step = np.eye(4)
    step[:3, :3] = np.diag(SPACING_MM / spacing)
    step[:3, 3] = first
    return (int(size[0]), int(size[1]), int(size[2])), affine @ step


def _coarsen(
    shape: tuple[int, int, int], affine: NDArray[np.float64]
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Return shape and affine of the overlays, with the same first voxel."""
    share = OVERLAY_MM / SPACING_MM
    size = [int(np.ceil(n / share)) + 1 for n in shape]
    return (size[0], size[1], size[2]), affine @ np.diag([share, share, share, 1.0])


def _resample(
    image: Nifti1Image,
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    *,
    order: int,
) -> NDArray[np.float32]:
    from scipy.ndimage import affine_transform

    pull = np.linalg.inv(affine_of(image)) @ affine
    data = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32))
    moved = affine_transform(data, pull, output_shape=shape, order=order)
    return np.asarray(moved, dtype=np.float32)


def _grow(keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(keep, iterations=2), dtype=bool)


def _as_image(brain: NDArray[np.bool_], head: Nifti1Image) -> Nifti1Image:
    import nibabel as nib

    return nib.Nifti1Image(brain.astype(np.uint8), head.affine)


def _lay_over(
    overlay: Overlay, values: NDArray[np.float32]
) -> tuple[dict[str, object], NDArray[np.uint8]]:
    if overlay.is_mask:
        layer = _describe(overlay.name, overlay.unit, "mask", 0, 1)
        return layer, (values > 0.5).astype(np.uint8)
    shown = values[values != 0]
    low, high = (
        (float(v) for v in np.percentile(shown, [1, 99])) if shown.size else (0.0, 1.0)
    )
    low, high = (0.0, high) if low > 0 else (low, high)
    low, high = float(f"{low:.2g}"), float(f"{high:.2g}")
    high = high if high > low else low + 1
    layer = _describe(overlay.name, overlay.unit, "colour", low, high)
    voxels = 1 + _quantize(values, low, high, COLOURS) * np.float32(254 / 255)
    return layer, np.where(values != 0, np.rint(voxels), 0).astype(np.uint8)


def _quantize(
    data: NDArray[np.floating[Any]], low: float, high: float, steps: int
) -> NDArray[np.uint8]:
    share = np.clip((data - low) / (high - low), 0, 1)
    return np.rint(np.rint(share * (steps - 1)) * (255 / (steps - 1))).astype(np.uint8)


def _describe(
    name: str, unit: str, kind: str, low: float, high: float
) -> dict[str, object]:
    return {
        "name": name,
        "unit": unit,
        "kind": kind,
        "low": round(low, 4),
        "high": round(high, 4),
    }


def _colours() -> str:
    from matplotlib import colormaps

    rows = np.rint(colormaps["viridis"](np.linspace(0, 1, 32))[:, :3] * 255)
    return "".join(f"{int(r):02x}{int(g):02x}{int(b):02x}" for r, g, b in rows)


def _markup(about: str, data: str) -> Html:
    planes = "".join(
        f'<div><canvas tabindex="0" role="img" data-is="{plane}" '
        f'aria-label="{plane} slice; arrow keys move, page keys change the slice">'
        "</canvas><i></i><i></i><b></b><b></b><b></b><b></b></div>"
        for plane in ("axial", "coronal", "sagittal")
    )
    ranges = "".join(
        f'<label>{words} <input type="range" min="1" max="99" value="{value}" '
        f'data-is="{name}"></label>'
        for name, words, value in (
            ("level", "Brightness", 50),
            ("width", "Contrast", 50),
            ("opacity", "Overlay strength", 65),
        )
    )
    return Html(
        f'<div {MARK} hidden data-about="{escape(about)}" data-bytes="{data}">'
        f'<div class="planes">{planes}</div>'
        f'<p class="tools"><label>Overlay <select data-is="layer">'
        f'<option value="-1">none</option></select></label>{ranges}'
        '<span data-is="scale" hidden><span data-is="low"></span>'
        '<span data-is="bar"></span><span data-is="high"></span></span></p>'
        '<p class="said" data-is="said" aria-live="polite"></p>'
        '<p class="note">Click or drag to move the cross; scroll to change the slice. '
        "With a picture in focus: arrow keys, Page Up and Page Down, Shift for five "
        "at once, O for the next overlay.</p></div>"
        '<p class="note" hidden>This browser cannot unpack the viewer; the pictures '
        "below show the same brain.</p>"
    )


def script() -> str:
    """Return the script of the viewer."""
    theme = Path(__file__).parent / "theme"
    return (theme / "viewer.js").read_text(encoding="utf-8")
