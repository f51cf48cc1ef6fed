"""Entries made from descriptors of others: XNAT's ``command.json``, Boutiques."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from imaging_platform.apps.boutiques import translate_boutiques
from imaging_platform.apps.settings import App
from imaging_platform.apps.translation import Translation
from imaging_platform.apps.xnat_command import translate_command
from imaging_platform.model.errors import BadConfig


@dataclass(frozen=True)
class ImportedApp:
    """
    An entry for a study file.

    Parameters
    ----------
    source
        ``XNAT command`` or ``Boutiques descriptor``.
    entry
        As the study file has it; valid.
    remarks
        What became otherwise, or could not be carried over, each a sentence.
    """

    source: str
    entry: Mapping[str, Any]  # YAML
    remarks: tuple[str, ...]

    @property
    def app(self) -> App:
        """The entry as a model."""
        return App.model_validate(self.entry)

    def to_yaml(self) -> str:
        """Return a part of a study file; the remarks are comments above it."""
        return write_entry(self.entry, [f"Made from: {self.source}.", *self.remarks])


def import_app(text: str) -> tuple[ImportedApp, ...]:
    """
    Translate a descriptor; an XNAT file may hold several commands.

    Parameters
    ----------
    text
        The file's content, JSON.

    Raises
    ------
    BadConfig
        It is no JSON, or neither of the two formats.
    """
    try:
        content = json.loads(text)
    except ValueError:
        raise BadConfig(
            "The file is not JSON.",
            fix="Give a command.json of XNAT or a Boutiques descriptor.",
        ) from None
    listed = content if isinstance(content, list) else [content]
    if not listed or not all(isinstance(each, Mapping) for each in listed):
        raise _unknown_format()
    return tuple(map(_translate, listed))


def write_entry(entry: Mapping[str, Any], remarks: list[str]) -> str:  # YAML
    """Return an entry as a part of a study file, with comments above it."""
    comments = [f"# {' '.join(remark.split())}" for remark in remarks]
    body = yaml.safe_dump(
        {"apps": [dict(entry)]}, sort_keys=False, allow_unicode=True, width=80
    )
    return "\n".join([*comments, body])


def _translate(content: Mapping[str, Any]) -> ImportedApp:  # JSON of others
    if "tool-version" in content or "value-key" in str(content.get("inputs", "")):
        source, made = "Boutiques descriptor", translate_boutiques(content)
    elif "image" in content and "command-line" in content:
        source, made = "XNAT command", translate_command(content)
    else:
        raise _unknown_format()
    return _prove(source, made)


def _prove(source: str, made: Translation) -> ImportedApp:
    entry = {
        key: value for key, value in made.entry().items() if value not in ("", [], {})
    }
    try:
        App.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadConfig(
            f"The descriptor cannot become an entry: {place}: {first['msg']}",
            fix="Write the entry by hand, see `imaging-platform apps show`.",
        ) from None
    return ImportedApp(source, entry, tuple(made.remarks))


def _unknown_format() -> BadConfig:
    return BadConfig(
        "The file is neither a command.json of XNAT nor a Boutiques descriptor.",
        fix="Both are JSON objects with a `command-line`; give one of these.",
    )
