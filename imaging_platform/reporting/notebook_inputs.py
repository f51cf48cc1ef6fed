"""What a notebook may read: published trees, each under a plain name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from imaging_platform.model.errors import BadConfig, MissingInput

Inputs = Mapping[str, Path | Mapping[str, Path]]
"""
By name, a file or folder; or a folder that is put together from several, each by its
place in it, such as ``sub-01/ses-1``.
"""

_INPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def list_inputs(inputs: Inputs) -> Iterator[tuple[str, Path]]:
    """Yield place and path of each file or folder that a notebook may read."""
    for name, what in inputs.items():
        if isinstance(what, Path):
            yield name, what
        else:
            yield from ((f"{name}/{inside}", path) for inside, path in what.items())


def check_inputs(template: Path, inputs: Inputs) -> None:
    """
    Refuse an input that is absent or has a name that leads elsewhere.

    Raises
    ------
    BadConfig
        A part of a name is not one plain path component.
    MissingInput
        The template or an input does not exist.
    """
    if not template.is_file():
        raise MissingInput(
            f"The notebook template {template.name} does not exist.",
            fix="Name one of the templates in notebooks/.",
        )
    for name in inputs:
        _check_name(name)
    for place, path in list_inputs(inputs):
        for part in PurePosixPath(place).parts:
            _check_name(part)
        if not path.exists():
            name = place.split("/")[0]
            raise MissingInput(
                f"The input {place} of {template.name} has not been published.",
                fix=f"Make {name} first, or leave it out of the inputs.",
            )


def place_inputs(folder: Path, inputs: Inputs) -> dict[str, str]:
    """
    Make a link in `folder` for each input; return what to call their real paths.

    A notebook says ``inputs/<name>``, and so does what is published of it.
    """
    names: dict[str, str] = {}
    for name, what in inputs.items():
        if not isinstance(what, Path):
            (folder / name).mkdir(parents=True)
    for place, path in list_inputs(inputs):
        link = folder / place
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
        for written in (path.resolve(), path.absolute()):
            names[str(written)] = f"inputs/{place}"
    return names


def _check_name(name: str) -> None:
    if not _INPUT_NAME.fullmatch(name):
        raise BadConfig(
            f"An input is named by letters, digits, dot, - and _, got {name!r}.",
            fix="Name the input as the asset that it comes from.",
        )
