"""What a study says about how its series are acquired."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import (
    AliasChoices,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from imaging_platform.model.config import Section

Value = StrictBool | StrictInt | StrictFloat | StrictStr
Vector = tuple[StrictInt | StrictFloat, ...]


@dataclass(frozen=True)
class Parameter:
    """
    One parameter of an acquisition that sessions are compared by.

    Parameters
    ----------
    unit
        Its unit; empty without one.
    tolerance
        Largest difference of equal values, in the unit; 0 for what is counted.
    """

    unit: str = ""
    tolerance: float = 0.0


PARAMETERS: Mapping[str, Parameter] = {
    "RepetitionTime": Parameter("s", 0.005),
    "EchoTime": Parameter("s", 0.0005),
    "InversionTime": Parameter("s", 0.005),
    "FlipAngle": Parameter("degrees", 0.5),
    "VoxelSize": Parameter("mm", 0.01),
    "Matrix": Parameter("voxels"),
    "Volumes": Parameter("volumes"),
    "PhaseEncodingDirection": Parameter(),
    "SliceTiming": Parameter(),
    "Obliquity": Parameter(),
    "MultibandAccelerationFactor": Parameter(),
    "ParallelReductionFactorInPlane": Parameter("", 0.05),
    "PartialFourier": Parameter("", 0.01),
    "TotalReadoutTime": Parameter("s", 0.0005),
    "LargestB": Parameter("s/mm2", 25.0),
    "MagneticFieldStrength": Parameter("T", 0.2),
}
"""
What is compared, as in CuBIDS (Covitz et al. 2022, NeuroImage 263:119609).

SliceTiming is whether there is one; Obliquity whether the slices are tilted against
the axes of the scanner.
"""


class ExpectedRange(Section):
    """Bounds of a parameter."""

    minimum: float | None = Field(
        default=None,
        validation_alias=AliasChoices("minimum", "min"),
        description="Smallest value (or min).",
    )
    maximum: float | None = Field(
        default=None,
        validation_alias=AliasChoices("maximum", "max"),
        description="Largest value (or max).",
    )

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ValueError("give min, max or both")
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low > high:
            raise ValueError("min is larger than max: nothing fits")
        return self


class ExpectedSeries(Section):
    """A kind of series that each session is expected to have."""

    scan: str = Field(
        pattern=r"^[a-z]+/[A-Za-z0-9_*?-]+$",
        description=(
            "Datatype and name without subject, session and run, such as "
            "func/task-rest_bold; * and ? stand for anything."
        ),
    )
    minimum: int = Field(
        default=1,
        ge=0,
        validation_alias=AliasChoices("minimum", "min"),
        description="Fewest in a session (or min); 0: it may be missing.",
    )
    maximum: int | None = Field(
        default=None,
        ge=0,
        validation_alias=AliasChoices("maximum", "max"),
        description="Most in a session (or max); no limit when left out.",
    )
    parameters: dict[str, ExpectedRange | Value | Vector] = Field(
        default_factory=dict,
        description=(
            "Parameter -> value, list (VoxelSize, Matrix) or {min, max}, in BIDS "
            f"units. Known: {', '.join(PARAMETERS)}."
        ),
    )

    @field_validator("parameters")
    @classmethod
    def _are_known(cls, value: dict[str, object]) -> dict[str, object]:
        refuse_unknown(value)
        return value

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError("min is larger than max: nothing fits")
        return self

    def matches(self, kind: str) -> bool:
        """Tell whether a scan of this kind (`name_kind`) is one of the series."""
        return fnmatch.fnmatchcase(kind, self.scan)

    def allows(self, count: int) -> bool:
        """Tell whether a session may have so many."""
        return self.minimum <= count and (self.maximum is None or count <= self.maximum)

    def say_count(self) -> str:
        """Return in words how many a session may have."""
        low, high = self.minimum, self.maximum
        if high is None:
            return f"at least {low}"
        return str(low) if low == high else f"{low} to {high}"


class ProtocolSettings(Section):
    """How series are acquired; without it sessions are compared with each other."""

    series: tuple[ExpectedSeries, ...] = Field(
        default=(), description="Kinds of series that each session is expected to have."
    )
    tolerances: dict[str, float] = Field(
        default_factory=dict,
        description=(
            "Parameter -> largest difference of equal values, in its unit; others "
            "keep "
            + ", ".join(
                f"{name} {p.tolerance:g} {p.unit}".strip()
                for name, p in PARAMETERS.items()
                if p.tolerance
            )
            + "."
        ),
    )

    @field_validator("tolerances")
    @classmethod
    def _are_known(cls, value: dict[str, float]) -> dict[str, float]:
        refuse_unknown(value)
        if any(tolerance < 0 for tolerance in value.values()):
            raise ValueError("a tolerance is 0 or more")
        return value

    def tolerance(self, parameter: str) -> float:
        """Return the largest difference of equal values of a parameter."""
        return self.tolerances.get(parameter, PARAMETERS[parameter].tolerance)


def refuse_unknown(names: Iterable[str]) -> None:
    """
    Refuse what is no parameter, naming the nearest.

    Raises
    ------
    ValueError
        One of the names is not in `PARAMETERS`.
    """
    for name in names:
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, n=1, cutoff=0.0)
            raise ValueError(f"{name} is no parameter; did you mean {near[0]}?")
