"""Pictures of one session, drawn by matplotlib without a screen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting.slices import (
    Tiles,
    Volume,
    bounds,
    lay_out,
    spread,
    window,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from imaging_platform.reporting.bold import Carpet, Motion

OKABE_ITO = {
    "black": "#000000",
    "orange": "#e69f00",
    "sky": "#56b4e9",
    "green": "#009e73",
    "yellow": "#f0e442",
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "purple": "#cc79a7",
}
"""Colours that stay apart for colour-blind readers (Okabe and Ito, 2008)."""

DIVERGING = "blue-black-orange"
"""Colour map of maps around 0, which is black like the air; safe for colour-blind."""

DPI = 100
_MAP_SCALE = 0.85
"""Maps have coarse voxels: fewer pixels show as much."""
PAGE_PIXELS = 1440
"""Width of a picture: twice a printed column, so that text stays sharp."""

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 13.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.labelcolor": "#374151",
    "axes.edgecolor": "#6b7280",
    "xtick.color": "#374151",
    "ytick.color": "#374151",
    "axes.grid": False,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def share_page(count: int) -> float:
    """Return the scale of pictures of which a page holds so many of a kind."""
    return max(0.3, min(1.0, (1.2 / max(count, 1)) ** 0.5))


@contextmanager
def drawing(width: int, height: int) -> Iterator[Figure]:
    """Give an empty figure of so many pixels, in the report's style."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for key, value in _STYLE.items():
            matplotlib.rcParams[key] = value  # type: ignore[index]  # keys are literals there
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        FigureCanvasAgg(figure)
        yield figure


def encode(
    figure: Figure, *, photo: bool, quality: int = 76, scale: float = 1.0
) -> bytes:
    """
    Return a figure as JPEG, or as PNG of at most 256 colours when it is line art.

    Parameters
    ----------
    photo
        True for slices; lines and text stay sharp and small without it.
    quality
        JPEG quality, 1 to 95.
    scale
        Share of the pixels along each side that are kept, above 0 to 1.
    """
    from PIL import Image

    canvas = figure.canvas
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]  # Agg only
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if scale < 1:
        sides = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(sides, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if photo:
        picture.save(buffer, "JPEG", quality=quality, optimize=True, subsampling=0)
    else:
        small = picture.quantize(256, dither=Image.Dither.NONE)
        small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


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


def draw_motion(
    motion: Motion,
    dvars: tuple[str, NDArray[np.float64]] | None,
    carpet: Carpet | None,
    *,
    threshold_mm: float,
) -> bytes:
    """
    Return movement, displacement, DVARS and carpet over the same volumes, as PNG.

    Parameters
    ----------
    motion
        Of the run; the first displacement is 0.
    dvars
        Title of the axis and values, shape (t,); None leaves the panel out.
    carpet
        None or one without rows leaves the panel out.
    threshold_mm
        Line in the panel of framewise displacement.
    """
    has_carpet = carpet is not None and len(carpet.rows) > 0
    heights = [1.0, 1.0, 1.0, *([0.8] if dvars else []), *([2.4] if has_carpet else [])]
    with drawing(PAGE_PIXELS, int(150 * sum(heights)) + 70) as figure:
        axes = figure.subplots(
            len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights}
        )
        height = figure.bbox.height
        figure.subplots_adjust(0.078, 60 / height, 0.99, 1 - 26 / height, hspace=0.16)
        colours = [OKABE_ITO[c] for c in ("blue", "orange", "green")]
        _draw_traces(axes[0], motion.translations_mm, colours, "Translation\nmm")
        _draw_traces(axes[1], motion.rotations_deg, colours, "Rotation\ndegrees")
        axes[0].legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 0.98),
            ncols=3,
            fontsize=11,
            borderpad=0,
            handlelength=2.6,
        )
        _draw_displacement(axes[2], motion.displacement_mm, threshold_mm)
        if dvars:
            axes[3].plot(dvars[1], color=OKABE_ITO["vermillion"], lw=1.4)
            axes[3].yaxis.set_major_locator(_few_ticks(3))
            axes[3].set_ylabel(dvars[0])
        if carpet is not None and has_carpet:
            _draw_carpet(axes[-1], carpet)
        axes[-1].xaxis.set_major_locator(_few_ticks(12, integer=True))
        axes[-1].set_xlabel("Volume")
        axes[-1].set_xlim(-0.5, max(len(motion.displacement_mm) - 0.5, 0.5))
        figure.align_ylabels(list(axes))
        return encode(figure, photo=False)


def draw_signal(
    signal: NDArray[np.float32], title: str, columns: Sequence[str]
) -> bytes:
    """
    Return slices over volumes as shares of what is usual, as PNG.

    Parameters
    ----------
    signal
        Shape (slices, volumes): 1 is as usual; NaN is left grey.
    title
        Of the colour bar.
    columns
        A word below each volume, such as its b-value; as many as fit are shown.
    """
    with drawing(PAGE_PIXELS, 360) as figure:
        axis = figure.add_axes((0.078, 0.2, 0.83, 0.74))
        axis.set_facecolor("#d1d5db")
        shown = axis.imshow(
            signal,
            cmap="PuOr_r",
            vmin=0.5,
            vmax=1.5,
            aspect="auto",
            origin="lower",
            interpolation="nearest",
        )
        axis.set_ylabel("Slice")
        axis.set_xlabel("Volume: b-value in s/mm²")
        step = max(1, -(-len(columns) // 20))
        axis.set_xticks(range(0, len(columns), step), columns[::step], fontsize=10)
        bar = figure.colorbar(shown, cax=figure.add_axes((0.925, 0.2, 0.012, 0.74)))
        bar.outline.set_visible(False)  # type: ignore[operator]  # a spine, untyped there
        bar.set_label(title, fontsize=11)
        return encode(figure, photo=False)


def draw_curves(
    times: NDArray[np.float64],
    curves: Sequence[tuple[str, NDArray[np.float64]]],
    labels: tuple[str, str],
) -> bytes:
    """
    Return curves over time with their names, as PNG.

    Parameters
    ----------
    times
        Shape (t,).
    curves
        Name and values, shape (t,); at most seven.
    labels
        Title of the x and of the y axis.
    """
    styles = zip(list(OKABE_ITO.values()), "o^svDPX", strict=False)
    with drawing(PAGE_PIXELS, 460) as figure:
        axis = figure.add_axes((0.078, 0.17, 0.9, 0.78))
        for (name, values), (colour, marker) in zip(curves, styles, strict=False):
            axis.plot(times, values, color=colour, marker=marker, ms=5, label=name)
        axis.set_xlabel(labels[0])
        axis.set_ylabel(labels[1])
        axis.legend(fontsize=11, ncols=4)
        return encode(figure, photo=False)


def _draw_carpet(axis: Axes, carpet: Carpet) -> None:
    n_rows, n_volumes = carpet.rows.shape
    axis.imshow(
        carpet.rows,
        cmap="gray",
        vmin=-2,
        vmax=2,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, n_volumes - 0.5, n_rows, 0),
    )
    axis.set_yticks([])
    axis.set_ylabel("Brain voxels")
    if len(carpet.groups) < 2:
        return
    top, middles = 0, []
    for _, count in carpet.groups:
        middles.append(top + count / 2)
        top += count
        if top < n_rows:
            axis.axhline(top, color=OKABE_ITO["yellow"], lw=1.6)
    names = [name for name, _ in carpet.groups]
    axis.set_yticks(middles, names, fontsize=11, rotation=90, va="center")
    axis.tick_params(axis="y", length=0)


def _draw_traces(
    axis: Axes, values: NDArray[np.float64], colours: Sequence[str], label: str
) -> None:
    for column, (name, colour) in enumerate(zip("xyz", colours, strict=True)):
        style = ("-", "--", ":")[column]
        axis.plot(values[:, column], style, color=colour, label=name, lw=1.6)
    axis.axhline(0, color="#9ca3af", lw=0.6, zorder=0)
    axis.set_ylabel(label)
    reach = max(0.1, 1.1 * float(np.nanmax(np.abs(values), initial=0.0)))
    axis.set_ylim(-reach, reach)


def _draw_displacement(
    axis: Axes, values: NDArray[np.float64], threshold_mm: float
) -> None:
    volumes = np.arange(len(values))
    axis.fill_between(volumes, 0, np.nan_to_num(values), color="#cbd5e1", lw=0)
    axis.plot(volumes, values, color="#1f2937", lw=1.0)
    above = np.nan_to_num(values) > threshold_mm
    axis.plot(
        volumes[above],
        np.asarray(values)[above],
        "v",
        color=OKABE_ITO["vermillion"],
        ms=5,
    )
    axis.axhline(threshold_mm, color=OKABE_ITO["vermillion"], lw=1.0, ls=(0, (5, 3)))
    axis.set_ylim(
        0, max(1.15 * float(np.nanmax(values, initial=0.0)), 1.6 * threshold_mm)
    )
    axis.text(
        0.995,
        0.95,
        f"{int(above.sum())} of {len(values)} volumes above {threshold_mm:g} mm",
        transform=axis.transAxes,
        ha="right",
        va="top",
        fontsize=11,
        color="#374151",
    )
    axis.set_ylabel("FD\nmm")


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
    bar.locator = _few_ticks(4)
    bar.update_ticks()


def _few_ticks(count: int, *, integer: bool = False) -> Any:  # a matplotlib locator
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, integer=integer)


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
