"""Entries for apps that many studies use, ready for a study file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imaging_platform.apps.settings import App

_FILE = Path(__file__).with_name("ready.yaml")


@dataclass(frozen=True)
class ReadyApp:
    """
    An entry and what to know of it.

    Parameters
    ----------
    entry
        As a study file has it.
    notes
        Sentences for people.
    """

    entry: Mapping[str, Any]  # YAML
    notes: tuple[str, ...]

    @property
    def app(self) -> App:
        """The entry as a model."""
        return App.model_validate(self.entry)


@functools.cache
def load_ready() -> Mapping[str, ReadyApp]:
    """Return the ready entries by name."""
    listed = yaml.safe_load(_FILE.read_text("utf-8"))
    return {
        each["entry"]["name"]: ReadyApp(each["entry"], tuple(each["notes"]))
        for each in listed
    }
