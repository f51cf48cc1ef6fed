"""A commented study file, which holds each setting with its default."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from imaging_platform.model.config import section_of
from imaging_platform.settings import Study


def describe_study(name: str) -> str:
    """Return a commented study file that holds each setting with its default."""
    head = (
        f"# Study {name}. Every line with a default is commented out: remove the #\n"
        "# to change it. `imaging-platform study check` proves the file.\n"
    )
    lines = [head, f"name: {name}"]
    defaults = Study(name=name)
    for field, info in Study.model_fields.items():
        if field != "name":
            default = getattr(defaults, field)
            lines += ["", *_describe_field(field, info, default, depth=0)]
    return "\n".join(lines) + "\n"


def _describe_field(
    name: str,
    info: Any,  # pydantic's own
    default: object,
    *,
    depth: int,
) -> list[str]:
    pad = "  " * depth
    text = [f"{pad}# {line}" for line in textwrap.wrap(info.description or "", 76)]
    if not isinstance(default, BaseModel):
        text += [f"{pad}#   {line}" for line in _describe_items(info.annotation)]
        plain = _plain(default)
        value = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
        return [*text, f"{pad}# {name}: {value.removesuffix('...' + chr(10)).strip()}"]
    inner = [
        line
        for field, field_info in type(default).model_fields.items()
        for line in _describe_field(
            field, field_info, getattr(default, field), depth=depth + 1
        )
    ]
    return [*text, f"{pad}# {name}:", *inner]


def _describe_items(annotation: Any) -> list[str]:  # a type expression
    """Return a line for each key of the items of a list of sections."""
    item = section_of(annotation)
    return [
        line
        for name, info in (item.model_fields if item else {}).items()
        for line in textwrap.wrap(
            f"{info.alias or name} - {info.description}", 72, subsequent_indent="  "
        )
    ]


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list | frozenset | set):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    return str(value)
