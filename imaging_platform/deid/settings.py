"""What a study decides about de-identification (PS3.15 annex E), with safe defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from imaging_platform.deid.mask_recipes import MaskRecipe
from imaging_platform.model.config import Section

Characteristic = Literal["age", "sex", "size", "weight", "ethnic_group", "smoking"]
ImageKind = Literal["MR", "CT", "PT", "NM"]


class DeidSettings(Section):
    """
    Options of the Basic Application Level Confidentiality Profile.

    What is not listed here is not optional: identifiers, unknown elements, UIDs,
    devices and institutions are always removed or replaced.
    """

    earliest_days: int = Field(
        default=-47482,
        ge=-73050,
        le=-1,
        description="Farthest move of a subject's dates, in days; negative. With the "
        "defaults, 130 and 110 years, each date until 2035 becomes one of 1925 or "
        "earlier, by which BIDS knows a date that was moved.",
    )
    latest_days: int = Field(
        default=-40177,
        ge=-73050,
        le=-1,
        description="Nearest move of a subject's dates, in days; negative.",
    )
    characteristics: tuple[Characteristic, ...] = Field(
        default=("age", "sex", "size", "weight"),
        description="Patient characteristics that stay (PS3.15 E.3.7); age 90 at most.",
    )
    descriptors: Literal["clean", "remove"] = Field(
        default="clean",
        description="Series description and protocol name: words without identifiers "
        "and dates (PS3.15 E.3.5), or nothing. Naming in BIDS needs the words.",
    )
    private: Literal["safe", "remove"] = Field(
        default="safe",
        description="Private elements: those on the safe lists (PS3.15 E.3.10), "
        "rewritten where they mix technique and identity, or none.",
    )
    released_kinds: tuple[ImageKind, ...] = Field(
        default=("MR", "CT", "PT", "NM"),
        description="Kinds of images that may be written; all others are quarantined.",
    )
    quarantine_burned_in: bool = Field(
        default=True,
        description="Quarantine images that say that text is burned in, and screens "
        "(secondary capture, ConversionType, screen saves).",
    )
    masks: tuple[MaskRecipe, ...] = Field(
        default=(),
        max_length=200,
        description="Rectangles to blacken in the images of a device, which then pass "
        "although such images often carry text (PS3.15 E.3.1).",
    )

    @model_validator(mode="after")
    def _is_ordered(self) -> DeidSettings:
        if self.earliest_days > self.latest_days:
            raise ValueError("earliest_days must not be after latest_days")
        return self
