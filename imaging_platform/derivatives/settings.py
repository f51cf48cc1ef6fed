"""Which derivatives a study has."""

from __future__ import annotations

import difflib

from pydantic import Field, model_validator

from imaging_platform.model.config import Section
from imaging_platform.model.layout import PIPELINES


class DerivativeSettings(Section):
    """
    Which derivatives a study makes: all, but for those that are skipped.

    What is skipped is no asset of the study; what was published of it stays.
    """

    skip: tuple[str, ...] = Field(
        default=(),
        description="Derivatives that are not made, by the name of their dataset.",
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> DerivativeSettings:
        for name in self.skip:
            if name not in PIPELINES:
                near = difflib.get_close_matches(name, PIPELINES, 1)
                hint = f"did you mean {near[0]}?" if near else "there are: "
                listed = "" if near else ", ".join(PIPELINES)
                raise ValueError(f"skip names no derivative: {name}; {hint}{listed}")
        return self

    @model_validator(mode="after")
    def _nothing_needs_what_is_off(self) -> DerivativeSettings:
        for name in self.list_on():
            missing = [need for need in PIPELINES[name] if need in self.skip]
            if missing:
                raise ValueError(
                    f"{name} is made from {missing[0]}, which is skipped; "
                    f"add {name} to skip too"
                )
        return self

    def list_on(self) -> tuple[str, ...]:
        """Return the derivatives that are made, in the order of their inputs."""
        return tuple(name for name in PIPELINES if name not in self.skip)
