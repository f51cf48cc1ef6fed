"""Where text is burned into the images of a device, as a study's file says it."""

from __future__ import annotations

import functools
import re
from typing import Protocol

from pydantic import Field, model_validator

from imaging_platform.files.digests import digest_bytes
from imaging_platform.model.config import Section

MAX_SIDE = 65535
_TEXTS = {
    "modality": 0x00080060,
    "sop_class": 0x00080016,
    "manufacturer": 0x00080070,
    "model": 0x00081090,
}
_SIDES = {"rows": 0x00280010, "columns": 0x00280011}
_NAME = r"^[a-z][a-z0-9_]{0,31}$"


class Header(Protocol):
    """What a gate reads of a header; `deid.header.Header` is one."""

    @property
    def syntax(self) -> str:
        """Transfer syntax UID."""
        ...

    @property
    def is_encapsulated(self) -> bool:
        """Whether pixel data are compressed fragments."""
        ...

    def text(self, tag: int) -> str:
        """Return the ASCII text of a top-level element; empty if absent."""
        ...

    def number(self, tag: int) -> int | None:
        """Return a top-level number, None if absent."""
        ...


class Region(Section):
    """A rectangle of pixels; the first pixel is 0, 0, top left."""

    left: int = Field(ge=0, le=MAX_SIDE, description="First column, in pixels.")
    top: int = Field(ge=0, le=MAX_SIDE, description="First row, in pixels.")
    width: int = Field(ge=1, le=MAX_SIDE, description="Columns.")
    height: int = Field(ge=1, le=MAX_SIDE, description="Rows.")


class MaskMatch(Section):
    """Which images a recipe is for: all that is given must be so, case aside."""

    modality: str = Field(
        default="", max_length=16, description="Whole value of Modality."
    )
    sop_class: str = Field(
        default="", max_length=64, description="UID of the kind of object."
    )
    manufacturer: str = Field(
        default="", max_length=64, description="Whole value of Manufacturer."
    )
    model: str = Field(
        default="", max_length=64, description="Whole value of ManufacturerModelName."
    )
    rows: int | None = Field(
        default=None, ge=1, le=MAX_SIDE, description="Rows of the image."
    )
    columns: int | None = Field(
        default=None, ge=1, le=MAX_SIDE, description="Columns of the image."
    )
    image_type: tuple[str, ...] = Field(
        default=(), max_length=16, description="Values that ImageType must have."
    )

    def conditions(self) -> frozenset[str]:
        """Return what must hold, each as ``name=value``; see `conditions_of`."""
        single = {
            "modality": self.modality,
            "sop_class": self.sop_class,
            "manufacturer": self.manufacturer,
            "model": self.model,
            "rows": self.rows or "",
            "columns": self.columns or "",
        }
        given = {_condition(name, str(v)) for name, v in single.items() if v}
        return frozenset(
            given | {_condition("image_type", word) for word in self.image_type}
        )


class MaskRecipe(Section):
    """Rectangles that are blackened in the images of one kind of device."""

    name: str = Field(pattern=_NAME, description="Name, shown in the report.")
    match: MaskMatch = Field(description="Which images it is for.")
    regions: tuple[Region, ...] = Field(
        min_length=1, max_length=64, description="Rectangles to blacken."
    )
    reason: str = Field(
        min_length=1,
        max_length=200,
        description="Who looked at which images of this device, and when.",
    )

    @model_validator(mode="after")
    def _is_bound_to_a_size(self) -> MaskRecipe:
        match = self.match
        if match.rows is None or match.columns is None:
            raise ValueError(
                "a mask needs match.rows and match.columns: text moves with the size"
            )
        if not (match.modality or match.sop_class or match.model):
            raise ValueError("a mask needs match.modality, sop_class or model")
        for region in self.regions:
            if region.left >= match.columns or region.top >= match.rows:
                raise ValueError("a region of the mask lies outside the image")
        return self


def conditions_of(header: Header) -> frozenset[str]:
    """Return all that holds of an image and that a recipe can ask for."""
    texts = [header.text(tag) for tag in _TEXTS.values()]
    sides = [str(header.number(tag) or "") for tag in _SIDES.values()]
    return _conditions((*texts, *sides), header.text(0x00080008))


@functools.lru_cache(maxsize=4096)
def _conditions(values: tuple[str, ...], image_type: str) -> frozenset[str]:
    """Return the conditions of values in the order of `_TEXTS` and `_SIDES`."""
    single = map(_condition, (*_TEXTS, *_SIDES), values)
    words = (_condition("image_type", word) for word in image_type.split("\\"))
    return frozenset((*single, *words))


@functools.lru_cache(maxsize=4096)
def check_numbers(conditions: frozenset[str]) -> tuple[int, ...]:
    """
    Return one number of 16 bits for each condition, sorted.

    They tell whether a recipe fits but for one case in 65,536, and nothing else:
    a name written into a model could not be found again from such a number.
    """
    return tuple(
        sorted({int(digest_bytes(one.encode())[:4], 16) for one in conditions})
    )


def _condition(name: str, value: str) -> str:
    return f"{name}={re.sub(r'[ _]+', ' ', value).strip().casefold()}"
