"""The parameters with which each scan of a session was acquired."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from imaging_platform.bids.outputs import Output
from imaging_platform.bids.protocol import PARAMETERS
from imaging_platform.bids.stored import StoredSession

Found = bool | int | float | str | tuple[float, ...] | None
"""A value of a parameter; None when the scan does not tell it."""

STRAIGHT_DEGREES = 0.1
"""Slices tilted by less stand along the axes of the scanner."""


@dataclass(frozen=True)
class Scan:
    """
    One converted image with its parameters.

    Parameters
    ----------
    session
        Session key.
    kind
        Datatype and name without subject, session and run, such as
        ``func/task-rest_bold``.
    file
        Path below the session's folder without extension.
    values
        Value by parameter (`PARAMETERS`), each of them present.
    """

    session: str
    kind: str
    file: str
    values: Mapping[str, Found]


def read_scans(session: str, stored: StoredSession) -> list[Scan]:
    """Return the converted images of a session, in order of time."""
    return [
        Scan(session, name_kind(made.base), made.base, read_parameters(output))
        for output, made in zip(stored.outputs, stored.made, strict=True)
        if made.outcome == "converted"
    ]


def name_kind(base: str) -> str:
    """
    Return datatype and name of an image without subject, session and run.

    Examples
    --------
    >>> name_kind("func/sub-1_ses-2_task-rest_run-2_bold")
    'func/task-rest_bold'
    """
    path = PurePosixPath(base)
    left_out = ("sub-", "ses-", "run-")
    parts = [p for p in path.name.split("_") if not p.startswith(left_out)]
    return f"{path.parent.name}/{'_'.join(parts)}"


def read_parameters(output: Output) -> dict[str, Found]:
    """Return every parameter of `PARAMETERS`; None for what the image does not tell."""
    found: dict[str, Found] = dict.fromkeys(PARAMETERS)
    for name in PARAMETERS:
        value = output.sidecar.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
        elif isinstance(value, bool | str):
            found[name] = value
    found["VoxelSize"] = tuple(output.zooms[:3]) or None
    found["Matrix"] = tuple(map(float, output.shape[:3])) or None
    found["Volumes"] = output.volumes
    found["SliceTiming"] = bool(output.sidecar.get("SliceTiming"))
    found["LargestB"] = max(output.bvals) if output.bvals else None
    found["Obliquity"] = describe_tilt(
        output.sidecar.get("ImageOrientationPatientDICOM")
    )
    return found


def describe_tilt(orientation: object) -> str | None:
    """
    Return whether slices are tilted against the scanner's axes.

    Parameters
    ----------
    orientation
        Six direction cosines of rows and columns (PS3.3 section C.7.6.2.1.1).

    Returns
    -------
    str or None
        ``oblique`` or ``straight`` (less than `STRAIGHT_DEGREES`); None without
        six numbers.
    """
    if not isinstance(orientation, list) or len(orientation) != 6:
        return None
    if not all(isinstance(part, int | float) for part in orientation):
        return None
    row, column = orientation[:3], orientation[3:]
    aligned = min(_alignment(axis) for axis in (row, column))
    tilt = math.degrees(math.acos(min(aligned, 1.0)))
    return "straight" if tilt < STRAIGHT_DEGREES else "oblique"


def _alignment(axis: Sequence[float]) -> float:
    """Return the cosine between a direction and the axis nearest to it."""
    length = math.hypot(*axis)
    return max(map(abs, axis)) / length if length else 0.0
