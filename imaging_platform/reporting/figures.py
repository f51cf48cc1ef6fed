"""Pictures of the slices of one session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting.canvas import (
    OKABE_ITO,
    PAGE_PIXELS,
    drawing,
    encode,
    few_ticks,
)
from imaging_platform.reporting.slices import (
    Tiles,
    Volume,
    bounds,
    lay_out,
    spread,
    window,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIVERGING = "blue-black-orange"
"""Colour map of maps around 0, which is black like the air; safe for colour-blind."""

_MAP_SCALE = 0.85
"""Maps have coarse voxels: fewer pixels show as much."""


def share_page(count: int) -> float:
    """Return the scale of pictures of which a page holds so many of a kind."""
    return max(0.3, min(1.0, (1.2 / max(count, 1)) ** 0.5))


def draw_brain(
    volume: Volume,
    mask: NDArray[np.bool_],
    *,
    inner: NDArray[np.bool_] | None = None,
    columns: int = 8,
    scale: float = 1.0,
) -> bytes:
    """
    Return axial, coronal and sagittal rows with the outline of the brain mask, as JPEG.

    Parameters
    ----------
    volume
        T1w without its face (`slices.crop_to_brain` or defaced).
    mask
        Brain, on the same grid.
    inner
        White matter, on the same grid: outlined too.
    columns
        Slices of each plane.
    scale
        As for `encode`.
    """
    box = _padded(bounds(mask), volume.spacing_mm, margin_mm=7, shape=mask.shape)
    extent = bounds(mask)
    rows = [
        ("axial", spread(*extent[2], columns)),
        ("coronal", spread(*extent[1], columns)),
        ("sagittal", spread(*extent[0], columns)),
    ]
    pixel_mm = _pixel_mm(box, columns, spacing=volume.spacing_mm)
    tiles = lay_out(volume, rows, box, pixel_mm)
    outlines = [
        lay_out(volume.like(one.astype(np.float32)), rows, box, pixel_mm).image
        for one in (mask, inner)
        if one is not None
    ]
    return _draw_tiles(
        [tiles], [window(volume.data)], ["gray"], outlines=[outlines], scale=scale
    )


def draw_head(
    volume: Volume, mask: NDArray[np.bool_] | None, *, scale: float = 1.0
) -> bytes:
    """
    Return a defaced head in nine slices, with the outline of the brain, as JPEG.

    Parameters
    ----------
    volume
        Defaced T1w.
    mask
        Brain on the same grid, or None.
    scale
        As for `encode`.
    """
    head = volume.data > 0.15 * window(volume.data)[1]
    box = bounds(head)
    centre = bounds(mask) if mask is not None else box
    rows = [
        ("sagittal", spread(*centre[0], 3, inset=0.25)),
        ("axial", spread(*box[2], 3, inset=0.2)),
        ("coronal", spread(*box[1], 2, inset=0.35)),
    ]
    widths = [box[1], box[1], box[1], box[0], box[0], box[0], box[0], box[0]]
    steps = [volume.spacing_mm[1]] * 3 + [volume.spacing_mm[0]] * 5
    total_mm = sum((b - a) * s for (a, b), s in zip(widths, steps, strict=True))
    pixel_mm = total_mm / (PAGE_PIXELS - 4 * 7)
    tiles = lay_out(volume, rows, box, pixel_mm, together=True)
    outlines = None
    if mask is not None:
        same = volume.like(mask.astype(np.float32))
        outlines = [[lay_out(same, rows, box, pixel_mm, together=True).image]]
    return _draw_tiles(
        [tiles], [window(volume.data)], ["gray"], outlines=outlines, scale=scale
    )


def draw_views(views: Sequence[NDArray[np.float32]]) -> bytes:
    """Return shaded pictures, 0 to 1, side by side, as JPEG."""
    height = max(view.shape[0] for view in views)
    tiles = []
    for view in views:
        room, wide = height - view.shape[0], round(view.shape[1] * 0.04)
        tiles.append(np.pad(view, ((room // 2, room - room // 2), (wide, wide))))
    wall = np.concatenate(tiles, axis=1)
    factor = PAGE_PIXELS / wall.shape[1]
    from scipy.ndimage import zoom

    return _draw_tiles(
        [Tiles(np.asarray(zoom(wall, factor, order=1), np.float32), ())],
        [(0.0, 1.0)],
        ["bone"],
    )


def draw_background(volume: Volume, *, columns: int = 8) -> bytes:
    """
    Return a defaced head with the air around it brightened, as JPEG.

    Ghosts, wrapped signal, spikes and stripes show in the air (MRIQC's
    background-enhanced mosaic).
    """
    box = [(0, size) for size in volume.data.shape]
    rows = [
        ("axial", spread(*box[2], columns)),
        ("sagittal", spread(*box[0], columns)),
    ]
    pixel_mm = _pixel_mm(box, columns, spacing=volume.spacing_mm)
    top = 0.12 * window(volume.data)[1]
    tiles = lay_out(volume, rows, box, pixel_mm)
    # Noise fills the page without telling more: half the pixels will do.
    return _draw_tiles([tiles], [(0.0, top)], ["gray"], scale=0.5)


def draw_maps(
    volumes: Sequence[tuple[Volume, str, str, tuple[float, float]]],
    mask: NDArray[np.bool_],
    *,
    columns: int = 10,
    scale: float = 1.0,
) -> bytes:
    """
    Return one row of axial slices for each map, with a colour bar where it is measured.

    Parameters
    ----------
    volumes
        Map, title, colour map of matplotlib and window. ``gray`` has no colour
        bar; RGB maps take the window of their brightest channel.
    mask
        Where the brain is: decides which part is shown.
    columns
        Slices of each row.
    scale
        As for `encode`.
    """
    spacing = volumes[0][0].spacing_mm
    box = _padded(bounds(mask), spacing, margin_mm=8, shape=mask.shape)
    # A volume with few slices shows each of them once.
    indices = list(dict.fromkeys(spread(*bounds(mask)[2], columns)))
    pixel_mm = _pixel_mm(
        box, columns, spacing=spacing, axes=(0,), pixels=PAGE_PIXELS - 90
    )
    tiles = [lay_out(v, [("axial", indices)], box, pixel_mm) for v, *_ in volumes]
    return _draw_tiles(
        tiles,
        [limits for *_, limits in volumes],
        [colours for _, _, colours, _ in volumes],
        titles=[title for _, title, *_ in volumes],
        bars=[colours != "gray" and v.data.ndim == 3 for v, _, colours, _ in volumes],
        scale=_MAP_SCALE * scale,
    )


def _draw_tiles(
    tiles: Sequence[Tiles],
    windows: Sequence[tuple[float, float]],
    colours: Sequence[str],
    *,
    outlines: Sequence[Sequence[NDArray[np.float32]]] | None = None,
    titles: Sequence[str] | None = None,
    bars: Sequence[bool] | None = None,
    scale: float = 1.0,
) -> bytes:
    """Return rows of tiles below each other at one pixel a pixel, as JPEG."""
    bars = bars or [False] * len(tiles)
    head = 40 if titles else 0
    side = 90 if any(bars) else 0
    width = max(tile.image.shape[1] for tile in tiles) + side
    height = sum(tile.image.shape[0] + head for tile in tiles)
    with drawing(width, height) as figure:
        top = 0
        for n, tile in enumerate(tiles):
            rows, columns = tile.image.shape[:2]
            bottom = height - top - head - rows
            place = (0, bottom / height, columns / width, rows / height)
            axis: Any = figure.add_axes(place)
            shown = _show(axis, tile, windows[n], colours[n])
            if outlines:
                for colour, mask in zip(("yellow", "sky"), outlines[n], strict=False):
                    _outline(axis, mask, OKABE_ITO[colour])
            if titles:
                _title(figure, titles[n], top + head, height)
            if bars[n]:
                _bar(figure, shown, bottom, rows, columns)
            top += rows + head
        return encode(figure, photo=True, scale=scale)


def _show(axis: Any, tile: Tiles, limits: tuple[float, float], colours: str) -> Any:
    from matplotlib.patheffects import withStroke

    low, high = limits
    image = tile.image
    if image.ndim == 3:
        image = np.clip((image - low) / (high - low), 0, 1)
    shown = axis.imshow(
        image,
        cmap=_colour_map(colours),
        vmin=low,
        vmax=high,
        interpolation="nearest",
        aspect="auto",
    )
    axis.set_axis_off()
    for text, x, y in tile.labels:
        axis.text(
            x,
            y,
            text,
            color="#d1d5db",
            fontsize=9.5,
            va="bottom",
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )
    return shown


def _colour_map(name: str) -> Any:  # a name or a map of matplotlib
    if name != DIVERGING:
        return name
    from matplotlib.colors import LinearSegmentedColormap

    steps = ["#c5e3f6", OKABE_ITO["sky"], "#000000", OKABE_ITO["orange"], "#fbe7b8"]
    return LinearSegmentedColormap.from_list(name, steps)


def _outline(axis: Any, mask: NDArray[np.float32], colour: str) -> None:
    if mask.max() > 0.5 > mask.min():
        axis.contour(mask, [0.5], colors=[colour], linewidths=1.0)


def _title(figure: Figure, text: str, baseline: int, height: int) -> None:
    figure.text(
        0.0,
        1 - (baseline - 7) / height,
        text,
        fontsize=13,
        color="#111827",
        va="bottom",
    )


def _bar(figure: Figure, shown: Any, bottom: int, rows: int, columns: int) -> None:
    width, height = figure.bbox.width, figure.bbox.height
    place = (
        (columns + 14) / width,
        (bottom + 0.06 * rows) / height,
        14 / width,
        0.88 * rows / height,
    )
    axis = figure.add_axes(place)
    bar = figure.colorbar(shown, cax=axis)
    bar.outline.set_visible(False)  # type: ignore[operator]  # a spine, untyped there
    bar.ax.tick_params(labelsize=11, length=3)
    bar.locator = few_ticks(4)
    bar.update_ticks()


def _pixel_mm(
    box: list[tuple[int, int]],
    columns: int,
    *,
    spacing: tuple[float, float, float],
    axes: tuple[int, ...] = (0, 1),
    pixels: int = PAGE_PIXELS,
) -> float:
    widest_mm = max((box[a][1] - box[a][0]) * spacing[a] for a in axes)
    return widest_mm / (pixels / columns - 4)


def _padded(
    box: list[tuple[int, int]],
    spacing: tuple[float, float, float],
    *,
    margin_mm: float,
    shape: tuple[int, ...],
) -> list[tuple[int, int]]:
    steps = [int(np.ceil(margin_mm / size)) for size in spacing]
    return [
        (max(low - step, 0), min(high + step, size))
        for (low, high), step, size in zip(box, steps, shape, strict=True)
    ]
