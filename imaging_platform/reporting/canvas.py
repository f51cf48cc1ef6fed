"""An empty figure in the report's style, and its bytes: no screen, no clock."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

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

DPI = 100
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


def few_ticks(count: int, *, integer: bool = False) -> Any:  # a matplotlib locator
    """Return what puts at most so many ticks on an axis."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, integer=integer)
