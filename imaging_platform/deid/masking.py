"""
Blackening rectangles of native pixel data, a frame at a time.

Zeros are black whatever the byte order, sign and depth (white where the image is
MONOCHROME1); compressed pixels are left to the gate, which keeps them back.
"""

from __future__ import annotations

from dataclasses import dataclass

from imaging_platform.deid import gate
from imaging_platform.deid.mask_recipes import (
    Header,
    MaskRecipe,
    Region,
    conditions_of,
)
from imaging_platform.deid.settings import DeidSettings


@dataclass(frozen=True)
class PixelGeometry:
    """
    How native pixel data lie in memory (PS3.3 section C.7.6.3).

    Parameters
    ----------
    rows, columns
        Size of a frame, in pixels.
    n_frames
        Frames, one after the other without a gap.
    n_samples
        Values a pixel: 1, or 3 for colours.
    bytes_per_sample
        1, 2, 4 or 8.
    is_planar
        The colours stand in planes, not beside each other.
    """

    rows: int
    columns: int
    n_frames: int = 1
    n_samples: int = 1
    bytes_per_sample: int = 2
    is_planar: bool = False

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return self.rows * self.columns * self.n_samples * self.bytes_per_sample


def find_mask(header: Header, settings: DeidSettings) -> MaskRecipe | None:
    """Return the first recipe of the study that is for this image, if any."""
    if not settings.masks:
        return None
    conditions = conditions_of(header)
    for recipe in settings.masks:
        if recipe.match.conditions() <= conditions:
            return recipe
    return None


def geometry_of(header: Header) -> PixelGeometry | None:
    """
    Return how the pixels of a file lie in memory, None if they cannot be masked.

    They cannot when they are compressed, packed into bits, or when pixels share
    their colours (YBR_FULL_422).
    """
    rows, columns = header.number(0x00280010), header.number(0x00280011)
    bits = header.number(0x00280100)
    if header.is_encapsulated or not rows or not columns:
        return None
    if bits not in (8, 16, 32, 64) or "_42" in header.text(0x00280004):
        return None
    n_samples = header.number(0x00280002) or 1
    return PixelGeometry(
        rows=rows,
        columns=columns,
        n_frames=header.number(0x00280008) or 1,
        n_samples=n_samples,
        bytes_per_sample=bits // 8,
        is_planar=n_samples > 1 and header.number(0x00280006) == 1,
    )


def refuse_mask(header: Header, settings: DeidSettings) -> str:
    """
    Return why a file that the gate let pass cannot be masked as it must be.

    Empty when it can, and when no recipe is for it.
    """
    if not settings.masks:
        return ""
    recipe = find_mask(header, settings)
    if recipe != gate.mask_for(gate.gate_facts(header), settings):
        return "it cannot be told which mask is for it"
    if recipe is not None and geometry_of(header) is None:
        return f"mask {recipe.name} is for it, but its pixels cannot be masked"
    return ""


def mask_frames(
    pixels: bytearray | memoryview, geometry: PixelGeometry, recipe: MaskRecipe
) -> None:
    """
    Blacken the regions of a recipe in each frame, in place.

    Parameters
    ----------
    pixels
        Writable bytes of all frames; what stands behind the last one stays.
    geometry
        How they lie in memory.
    recipe
        What to blacken.

    Raises
    ------
    ValueError
        The bytes end before the last frame.
    """
    size = geometry.frame_bytes
    view = memoryview(pixels)
    if len(view) < size * geometry.n_frames:
        raise ValueError("pixel data shorter than the image")
    for number in range(geometry.n_frames):
        mask_frame(view[number * size : (number + 1) * size], geometry, recipe)


def mask_frame(
    frame: bytearray | memoryview, geometry: PixelGeometry, recipe: MaskRecipe
) -> None:
    """
    Blacken the regions of a recipe in one frame, in place.

    Parameters
    ----------
    frame
        Writable bytes of exactly one frame.
    geometry
        How they lie in memory; its number of frames does not matter.
    recipe
        What to blacken.

    Raises
    ------
    ValueError
        The bytes are not those of one frame.
    """
    if len(frame) != geometry.frame_bytes:
        raise ValueError("the bytes are not those of one frame")
    n_planes = geometry.n_samples if geometry.is_planar else 1
    plane_bytes = geometry.frame_bytes // n_planes
    pixel_bytes = geometry.bytes_per_sample * geometry.n_samples // n_planes
    for region in recipe.regions:
        for plane in range(n_planes):
            _blacken(frame, plane * plane_bytes, pixel_bytes, geometry, region)


def _blacken(
    frame: bytearray | memoryview,
    start: int,
    pixel_bytes: int,
    geometry: PixelGeometry,
    region: Region,
) -> None:
    """Write zeros over what a region and the image have in common, by row."""
    right = min(region.left + region.width, geometry.columns)
    n_bytes = max(0, right - region.left) * pixel_bytes
    zeros = bytes(n_bytes)
    for row in range(region.top, min(region.top + region.height, geometry.rows)):
        at = start + (row * geometry.columns + region.left) * pixel_bytes
        frame[at : at + n_bytes] = zeros
