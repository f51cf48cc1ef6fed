"""One small picture of a session, for a place where a page is too much."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting.bold import brain_of
from imaging_platform.reporting.markup import data_uri
from imaging_platform.reporting.session_inputs import SessionInputs, entities
from imaging_platform.reporting.slices import (
    Volume,
    bounds,
    crop_to_brain,
    cut,
    read_volume,
    window,
)

LIMIT_BYTES = 60_000
"""What an event log may carry for each session without growing heavy."""

THUMBNAIL = Path("outputs") / "thumbnail.jpg"
"""Where a session report leaves its picture for the sheet of the study."""

_SHEET_HEIGHT = 92
_HEIGHT = 150
_GAP = 6
_QUALITIES = (82, 70, 58, 46, 34, 22)


def session_strip(inputs: Mapping[str, Path]) -> bytes:
    """
    Return T1w (three planes), mean BOLD, temporal SNR and FA side by side, as JPEG.

    Parameters
    ----------
    inputs
        Published tree of each asset of a session, as a session report has
        them. What is absent is left out. The T1w is cropped to the brain, or
        taken defaced; without mask and defaced volume it is left out too.

    Returns
    -------
    bytes
        At most `LIMIT_BYTES`; empty when there is nothing to show.
    """
    with tempfile.TemporaryDirectory(prefix="strip-") as folder:
        for name, tree in inputs.items():
            (Path(folder) / name).symlink_to(tree.resolve())
        tiles = _tiles(SessionInputs(Path(folder)))
    return _encode(_side_by_side(tiles)) if tiles else b""


def write_thumbnail(inputs: SessionInputs, path: Path = THUMBNAIL) -> None:
    """Write the strip of a session, small enough for a sheet of many."""
    from PIL import Image

    tiles = _tiles(inputs)
    if not tiles:
        return
    picture = Image.fromarray(_side_by_side(tiles))
    size = (round(picture.width * _SHEET_HEIGHT / picture.height), _SHEET_HEIGHT)
    small = picture.resize(size, Image.Resampling.LANCZOS)
    small.save(path, "JPEG", quality=64, optimize=True)


def inline_markdown_image(jpeg: bytes) -> str:
    """Return a picture as Markdown that carries it; empty for an empty picture."""
    return f"![session]({data_uri(jpeg)})" if jpeg else ""


def _tiles(inputs: SessionInputs) -> list[NDArray[np.uint8]]:
    tiles = _brain_tiles(inputs)
    mean = inputs.first("temporal_snr", "func/*_desc-mean_*.nii.gz")
    tsnr = inputs.first("temporal_snr", "func/*_desc-tsnr_*.nii.gz")
    fa = inputs.first("diffusion_maps", "dwi/*_FA.nii.gz")
    if mean is not None:
        volume = read_volume(mean)
        brain = brain_of(volume.data)
        tiles.append(_axial(volume, brain, window(volume.data, low=2), "gray"))
    if tsnr is not None:
        volume = read_volume(tsnr)
        brain = brain_of(volume.data)
        top = max(float(np.percentile(volume.data[brain], 98)), 1.0)
        tiles.append(_axial(volume, brain, (0.0, top), "viridis"))
    if fa is not None:
        volume = read_volume(fa)
        tiles.append(_axial(volume, volume.data > 0, (0.0, 0.9), "gray"))
    return tiles


def _brain_tiles(inputs: SessionInputs) -> list[NDArray[np.uint8]]:
    t1w = next(iter(inputs.find_t1w()), None)
    defaced = inputs.first("defaced_t1w", "anat/*_desc-defaced_T1w.nii.gz")
    mask_path = None
    if t1w is not None:
        pattern = "anat/*_desc-brain_mask.nii.gz"
        mask_path = inputs.twin("brain_mask", pattern, entities(t1w))
    if t1w is not None and mask_path is not None:
        volume = read_volume(t1w)
        brain = read_volume(mask_path).data > 0.5
        if brain.shape == volume.data.shape:
            volume = crop_to_brain(volume, brain, margin_mm=3)
            return _three_planes(volume, bounds(brain))
    if defaced is not None:
        volume = read_volume(defaced)
        head = volume.data > 0.15 * window(volume.data)[1]
        return _three_planes(volume, bounds(head))
    return []


def _three_planes(
    volume: Volume, box: list[tuple[int, int]]
) -> list[NDArray[np.uint8]]:
    limits = window(volume.data)
    middle = [(low + high) // 2 for low, high in box]
    # A sagittal slice a little off the middle shows grey matter, not the gap.
    middle[0] += (box[0][1] - box[0][0]) // 20
    tallest = max(
        (box[1][1] - box[1][0]) * volume.spacing_mm[1],
        (box[2][1] - box[2][0]) * volume.spacing_mm[2],
    )
    pixel_mm = tallest / _HEIGHT
    return [
        _paint(cut(volume, plane, middle[axis], box, pixel_mm), limits, "gray")
        for axis, plane in enumerate(("sagittal", "coronal", "axial"))
    ]


def _axial(
    volume: Volume,
    brain: NDArray[np.bool_],
    limits: tuple[float, float],
    colours: str,
) -> NDArray[np.uint8]:
    box = bounds(brain)
    pixel_mm = (box[1][1] - box[1][0]) * volume.spacing_mm[1] / _HEIGHT
    index = round(box[2][0] + 0.55 * (box[2][1] - 1 - box[2][0]))
    return _paint(cut(volume, "axial", index, box, pixel_mm), limits, colours)


def _paint(
    picture: NDArray[np.float32], limits: tuple[float, float], colours: str
) -> NDArray[np.uint8]:
    low, high = limits
    share = np.clip((picture - low) / (high - low), 0, 1)
    if colours == "gray":
        grey = np.rint(share * 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    from matplotlib import colormaps

    return np.rint(colormaps[colours](share)[..., :3] * 255).astype(np.uint8)


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    picture = Image.fromarray(pixels)
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= LIMIT_BYTES:
            return buffer.getvalue()
    small = picture.resize((picture.width // 2, picture.height // 2))
    return _encode(np.asarray(small))


def _side_by_side(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height = max(tile.shape[0] for tile in tiles)
    padded = []
    for tile in tiles:
        room = height - tile.shape[0]
        sides = ((room // 2, room - room // 2), (0, _GAP), (0, 0))
        padded.append(np.pad(tile, sides))
    return np.concatenate(padded, axis=1)[:, :-_GAP]
