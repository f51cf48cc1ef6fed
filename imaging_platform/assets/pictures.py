"""One small picture of what was made, for a place where a page is too much."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from imaging_platform.reporting.thumbnail import inline_markdown_image, session_strip


def draw_strip(trees: Mapping[str, Path]) -> dict[str, dg.MetadataValue]:
    """
    Return a picture of the images in some trees of a session, as metadata.

    Parameters
    ----------
    trees
        Folder of each asset by its name. A T1w is drawn only defaced or cropped
        to the brain.

    Returns
    -------
    dict
        ``pictures``, at most 60 kB inside; empty when there is nothing to draw.
    """
    picture = inline_markdown_image(session_strip(trees))
    return {"pictures": dg.MetadataValue.md(picture)} if picture else {}
