"""The base of every part of a study file: frozen, documented, no unknown key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict


def say_place(loc: Sequence[int | str]) -> str:
    """
    Return where in a file a problem is, as its keys joined by dots.

    Parameters
    ----------
    loc
        As pydantic has it; the tags of a choice are in angle brackets and no keys.
    """
    return ".".join(str(part) for part in loc if not str(part).startswith("<"))


class Section(BaseModel):
    """
    A part of ``study.yaml``.

    A field has a default, a unit or range where it has one, and a description.
    An unknown key is an error; `imaging_platform.settings` names the nearest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def section_of(annotation: Any) -> type[BaseModel] | None:  # a type expression
    """Return the section that a type names, or holds in a list; None without one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (section_of(argument) for argument in get_args(annotation))
    return next((section for section in found if section is not None), None)
