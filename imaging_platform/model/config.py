"""The base of every part of a study file: frozen, documented, no unknown key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """
    A part of ``study.yaml``.

    A field has a default, a unit or range where it has one, and a description.
    An unknown key is an error; `imaging_platform.settings` names the nearest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
