"""What changes over the volumes of a run, drawn as lines and carpets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imaging_platform.reporting.canvas import (
    OKABE_ITO,
    PAGE_PIXELS,
    drawing,
    encode,
    few_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from imaging_platform.reporting.bold import Carpet, Motion


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
            axes[3].yaxis.set_major_locator(few_ticks(3))
            axes[3].set_ylabel(dvars[0])
        if carpet is not None and has_carpet:
            _draw_carpet(axes[-1], carpet)
        axes[-1].xaxis.set_major_locator(few_ticks(12, integer=True))
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
