"""What a study says about its BIDS dataset: names, versions and rules of its own."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from imaging_platform.bids.decisions import ENTITY_ORDER
from imaging_platform.files.digests import digest_json
from imaging_platform.model.config import Section

DATATYPES = ("anat", "func", "dwi", "fmap", "perf")

DATASET_FIELDS = (
    "dataset_name",
    "description",
    "authors",
    "license",
    "acknowledgements",
    "funding",
    "ethics_approvals",
    "releases",
)
"""Settings that only the files at the top of a dataset depend on."""

Datatype = Literal["anat", "func", "dwi", "fmap", "perf"]


class Condition(Section):
    """
    One test of one sidecar field; all the parts that are given must hold.

    A list (such as ImageType) is tested as its parts joined by a backslash,
    the way DICOM writes it. A missing field fulfils no test.
    """

    glob: str | None = Field(
        default=None, description="Shell pattern over the whole value, case ignored."
    )
    regex: str | None = Field(
        default=None, description="Regular expression found anywhere, case ignored."
    )
    minimum: float | None = Field(
        default=None, description="Smallest number that fits, in the unit of the field."
    )
    maximum: float | None = Field(
        default=None, description="Largest number that fits, in the unit of the field."
    )

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _tests_something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("give one of glob, regex, minimum, maximum")
        return self


class StudyRule(Section):
    """A decision of the study that comes before every built-in rule."""

    match: dict[str, Condition | str] = Field(
        min_length=1,
        description=(
            "Sidecar field -> test; all must hold. A plain text is a glob. Beside the "
            "sidecar's own fields there are Volumes and Slices (counts)."
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
        default=(),
        description="Rules of the study, tried in order; the first label wins.",
    )
    bids_version: str = Field(
        default="1.11.1",
        pattern=r"^\d+\.\d+\.\d+$",
        description="BIDSVersion of the dataset; the pinned validator knows 1.11.1.",
    )
    dataset_name: str = Field(
        default="",
        description="Name in dataset_description.json; the study's name when empty.",
    )
    description: str = Field(
        default="",
        description="What was measured and why, one paragraph for the README.",
    )
    authors: tuple[str, ...] = Field(
        default=(), description="People credited, in order."
    )
    license: str = Field(default="", description="Licence of the data, such as CC0.")
    acknowledgements: str = Field(default="", description="Whom the dataset thanks.")
    funding: tuple[str, ...] = Field(default=(), description="Grants, one text each.")
    ethics_approvals: tuple[str, ...] = Field(
        default=(), description="Ethics committee approvals, one text each."
    )
    releases: tuple[ReleaseNote, ...] = Field(
        default=(), description="Entries of CHANGES, newest first."
    )
    default_task: str = Field(
        default="unnamed",
        pattern=r"^[A-Za-z0-9]+$",
        description="task- label where a protocol's name leaves none.",
    )
    scanner_maps: Literal["keep", "exclude"] = Field(
        default="keep",
        description=(
            "ADC, FA, trace and other maps that the scanner computed: keep them under "
            "their BIDS 1.11 suffixes, or leave them out."
        ),
    )
    maximum_fieldmap_gap_s: float = Field(
        default=5400.0,
        gt=0,
        description="A fieldmap older or younger than this, in s, serves no scan.",
    )
    convert_timeout_s: float = Field(
        default=3600.0,
        gt=0,
        description="Wall-clock limit of dcm2niix for a session, in s.",
    )

    def conversion_digest(self) -> str:
        """
        Return 12 hex digits over what changes a converted session.

        A new author or release rewrites the top of the dataset and converts nothing.
        """
        plain = self.model_dump(mode="json", exclude=set(DATASET_FIELDS))
        return digest_json(plain)[:12]
