"""What a study says about its BIDS dataset: names, versions and rules of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    AliasChoices,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    field_validator,
    model_validator,
)

from imaging_platform.bids.decisions import ENTITY_ORDER
from imaging_platform.bids.defaults import DEFAULTS
from imaging_platform.model.config import Section
from imaging_platform.model.patterns import count_ways

Datatype = Literal["anat", "func", "dwi", "fmap", "perf", "pet"]

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
"""A single value of YAML; text is a shell pattern, everything else is itself."""

MAX_REGEX_WAYS = 1_000_000
"""Ways to match that a regular expression may have: three open repeats in a row."""


class Condition(Section):
    """
    One test of one field; all the parts that are given must hold.

    A list (such as ImageType) is tested as its parts joined by a backslash, the
    way DICOM writes it. A missing field fulfils no test but ``absent``.
    """

    glob: str | None = Field(
        default=None, description="Shell pattern over the whole value, case ignored."
    )
    regex: str | None = Field(
        default=None,
        description=(
            "Regular expression found anywhere in the first 256 characters, case "
            "ignored; at most three open repeats (* or +), none inside another."
        ),
    )
    minimum: float | None = Field(
        default=None,
        validation_alias=AliasChoices("minimum", "min"),
        description="Smallest number that fits, in the unit of the field (or min).",
    )
    maximum: float | None = Field(
        default=None,
        validation_alias=AliasChoices("maximum", "max"),
        description="Largest number that fits, in the unit of the field (or max).",
    )
    any: tuple[Scalar, ...] = Field(
        default=(),
        description="One of these fits: texts are shell patterns, numbers are equal.",
    )
    absent: bool | None = Field(
        default=None,
        description="true: the field must be missing or empty; false: it must not.",
    )

    @field_validator("regex")
    @classmethod
    def _is_bounded(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ways = count_ways(value, looking_around=True)
            except ValueError as error:
                raise ValueError(f"not a regular expression: {error}") from error
            if ways > MAX_REGEX_WAYS:
                raise ValueError(
                    "not a bounded regular expression: it repeats what already "
                    "repeats, or repeats too often; give bounds such as {1,16}"
                )
        return value

    @model_validator(mode="after")
    def _tests_something(self) -> Self:
        if not self.model_dump(exclude_defaults=True):
            raise ValueError("give one of glob, regex, min, max, any, absent")
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low > high:
            raise ValueError("min is larger than max: nothing fits")
        if self.absent and len(self.model_dump(exclude_defaults=True)) > 1:
            raise ValueError("a field that is absent fulfils no other test")
        return self


def _tell_kind(test: object) -> str:
    """Return which form of a test is meant, so that one error is not told of each."""
    if isinstance(test, Mapping | Condition):
        return "<tests>"
    return "<list>" if isinstance(test, list | tuple) else "<value>"


Choice = Annotated[
    Annotated[Condition, Tag("<tests>")]
    | Annotated[tuple[Scalar, ...], Tag("<list>")]
    | Annotated[Scalar, Tag("<value>")],
    Discriminator(_tell_kind),
]
"""A test of a field as the study file has it."""


class StudyRule(Section):
    """A decision of the study that comes before every built-in rule."""

    name: str = Field(
        default="",
        max_length=64,
        description="What the reports call the rule; its tests when left out.",
    )
    match: dict[str, Choice] = Field(
        min_length=1,
        description=(
            "Field -> test; all must hold. A plain text is a glob, a list is any of "
            "its values. A field is a key of the sidecar; Volumes, Slices, Rows, "
            "Columns, LargestB or Direction of the image; or, after `dicom.`, a "
            "DICOM keyword in DICOM's own unit."
        ),
    )
    datatype: Datatype | None = Field(
        default=None, description="BIDS datatype, such as func."
    )
    suffix: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9]+$",
        description="BIDS suffix, such as bold.",
    )
    entities: dict[str, str] = Field(
        default_factory=dict,
        description="Entities by short name, such as task: rest; no sub, no ses.",
    )
    metadata: dict[str, object] = Field(
        default_factory=dict,
        description="Sidecar keys added or replaced, in BIDS units (seconds, hertz).",
    )
    volume_types: tuple[
        Literal["control", "label", "m0scan", "deltam", "cbf", "n/a"], ...
    ] = Field(
        default=(),
        description=(
            "ASL only: the types of the volumes for aslcontext.tsv; a shorter list is "
            "repeated, but for a leading m0scan."
        ),
    )
    exclude: str | None = Field(
        default=None, min_length=1, description="Leave the series out, for this reason."
    )

    @property
    def decides(self) -> bool:
        """True when the rule labels or excludes; False when it only supplements."""
        return bool(self.suffix or self.exclude)

    @field_validator("match")
    @classmethod
    def _lists_are_not_empty(cls, value: dict[str, object]) -> dict[str, object]:
        for field, test in value.items():
            if test == ():
                raise ValueError(f"{field}: an empty list fits nothing")
        return value

    @field_validator("entities", mode="before")
    @classmethod
    def _indices_are_text(cls, value: object) -> object:
        """Take ``run: 1`` as it is meant; YAML reads it as a number."""
        if isinstance(value, dict):
            return {
                key: str(label) if type(label) is int else label
                for key, label in value.items()
            }
        return value

    @field_validator("entities")
    @classmethod
    def _labels_are_alphanumeric(cls, value: dict[str, str]) -> dict[str, str]:
        for name, label in value.items():
            if name not in ENTITY_ORDER[2:]:
                raise ValueError(f"{name}: not one of {', '.join(ENTITY_ORDER[2:])}")
            if not re.fullmatch(r"[A-Za-z0-9]+", label):
                raise ValueError(f"{name}: a label is letters and digits")
        return value

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.exclude and (self.datatype or self.suffix or self.entities):
            raise ValueError("a rule either excludes or labels")
        if bool(self.datatype) != bool(self.suffix):
            raise ValueError("datatype and suffix are given together")
        acts = self.exclude or self.suffix or self.entities or self.metadata
        if not acts and not self.volume_types:
            raise ValueError("the rule matches but says nothing")
        return self


DATASET_FIELDS = frozenset(
    {
        "acknowledgements",
        "authors",
        "bids_version",
        "dataset_name",
        "description",
        "ethics_approvals",
        "funding",
        "license",
        "releases",
    }
)
"""Settings that describe the dataset and decide nothing about an image."""


class ReleaseNote(Section):
    """One entry of the dataset's CHANGES."""

    version: str = Field(
        pattern=r"^\d+(\.\d+)*$", description="Version of the dataset, as 1.0.0."
    )
    date: str = Field(
        pattern=r"^\d{4}-\d\d-\d\d$",
        description="Day of the release, in quotes: 'YYYY-MM-DD'.",
    )
    changes: tuple[str, ...] = Field(
        min_length=1, description="What changed, one text a line."
    )


class BidsSettings(Section):
    """How sessions of a study become a BIDS dataset."""

    rules: tuple[StudyRule, ...] = Field(
        default=DEFAULTS.rules,
        description="Rules of the study, tried in order; the first label wins.",
    )
    bids_version: str = Field(
        default=DEFAULTS.bids_version,
        pattern=r"^\d+\.\d+\.\d+$",
        description="BIDSVersion of the dataset; the pinned validator knows 1.11.1.",
    )
    dataset_name: str = Field(
        default=DEFAULTS.dataset_name,
        description="Name in dataset_description.json; the study's name when empty.",
    )
    description: str = Field(
        default=DEFAULTS.description,
        description="What was measured and why, one paragraph for the README.",
    )
    authors: tuple[str, ...] = Field(
        default=DEFAULTS.authors, description="People credited, in order."
    )
    license: str = Field(
        default=DEFAULTS.license, description="Licence of the data, such as CC0."
    )
    acknowledgements: str = Field(
        default=DEFAULTS.acknowledgements, description="Whom the dataset thanks."
    )
    funding: tuple[str, ...] = Field(
        default=DEFAULTS.funding, description="Grants, one text each."
    )
    ethics_approvals: tuple[str, ...] = Field(
        default=DEFAULTS.ethics_approvals,
        description="Ethics committee approvals, one text each.",
    )
    releases: tuple[ReleaseNote, ...] = Field(
        default=DEFAULTS.releases, description="Entries of CHANGES, newest first."
    )
    default_task: str = Field(
        default=DEFAULTS.default_task,
        pattern=r"^[A-Za-z0-9]+$",
        description="task- label where a protocol's name leaves none.",
    )
    scanner_maps: Literal["keep", "exclude"] = Field(
        default=DEFAULTS.scanner_maps,
        description=(
            "ADC, FA, trace and other maps that the scanner computed: keep them under "
            "their BIDS 1.11 suffixes, or leave them out."
        ),
    )
    maximum_fieldmap_gap_s: float = Field(
        default=DEFAULTS.maximum_fieldmap_gap_s,
        gt=0,
        description="A fieldmap older or younger than this, in s, serves no scan.",
    )
    convert_timeout_s: float = Field(
        default=DEFAULTS.convert_timeout_s,
        gt=0,
        description="Wall-clock limit of dcm2niix for a session, in s.",
    )
