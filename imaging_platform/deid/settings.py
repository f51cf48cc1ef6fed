"""What a study decides about de-identification (PS3.15 annex E), with safe defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from imaging_platform.deid.additions import KeptElement, check_lists
from imaging_platform.deid.mask_recipes import MaskRecipe
from imaging_platform.model.config import Section

Characteristic = Literal[
    "age",
    "sex",
    "size",
    "weight",
    "ethnic_group",
    "smoking",
    "pregnancy",
    "sex_neutered",
    "allergies",
    "patient_state",
    "special_needs",
    "pre_medication",
]
ProtocolWord = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]{1,31}$")]
ImageKind = Literal["MR", "CT", "PT", "NM"]


class DeidSettings(Section):
    """
    Options of the Basic Application Level Confidentiality Profile.

    Every option of PS3.15 annex E has a field here; its default is the safest one
    with which conversion to BIDS works. What has no field is not optional.
    """

    dates: Literal["modified", "full", "remove"] = Field(
        default="modified",
        description="Dates of scans: moved by one number of days a subject (PS3.15 "
        "E.3.6), as they are (identifying with little else known), or none and no "
        "times.",
    )
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
    words: tuple[ProtocolWord, ...] = Field(
        default=(),
        max_length=1000,
        description="Words of the study's own protocols, such as labels of tasks, that "
        "stay in descriptions although the reviewed list does not have them; in any "
        "case of letters. No name of a person may be among them.",
    )
    device: Literal["remove", "retain"] = Field(
        default="remove",
        description="Identity of the device: serial number, station, device UIDs "
        "(PS3.15 E.3.8). Maker, model and software version stay in any case.",
    )
    institution: Literal["remove", "retain"] = Field(
        default="remove",
        description="Name and address of the institution (PS3.15 E.3.11).",
    )
    uids: Literal["replace", "retain"] = Field(
        default="replace",
        description="All UIDs: replaced by keyed ones, or as they are (PS3.15 E.3.9). "
        "The originals lead to the patient for whoever may ask the archive.",
    )
    private: Literal["safe", "remove"] = Field(
        default="safe",
        description="Private elements: those on the safe lists (PS3.15 E.3.10), "
        "rewritten where they mix technique and identity, or none.",
    )
    graphics: Literal["remove", "clean"] = Field(
        default="remove",
        description="Drawn annotations: none, or shapes and numbers without their "
        "texts (PS3.15 E.3.3). Overlay bitmaps and curves go in any case.",
    )
    structured_content: Literal["remove", "clean"] = Field(
        default="remove",
        description="Content trees and acquisition context: none, or codes, numbers "
        "and moved dates without free text (PS3.15 E.3.4).",
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
    keep: tuple[KeptElement, ...] = Field(
        default=(),
        max_length=200,
        description="Elements that stay in this study beside the reviewed lists, each "
        "by a pattern of its values. Not what PS3.15 E.1-1 calls identifying.",
    )
    remove: tuple[str, ...] = Field(
        default=(),
        max_length=1000,
        description="Elements that go in this study although an option or a list lets "
        "them stay: keyword, (gggg,eeee), or (gggg,CREATOR,xxee).",
    )

    @property
    def own_words(self) -> frozenset[str]:
        """The study's own words in lower case."""
        return frozenset(word.lower() for word in self.words)

    @model_validator(mode="after")
    def _is_consistent(self) -> DeidSettings:
        if self.earliest_days > self.latest_days:
            raise ValueError("earliest_days must not be after latest_days")
        check_lists(self.keep, self.remove)
        return self
