"""Numbers and words that a notebook hands back to whoever ran it."""

from __future__ import annotations

import json
import math
from pathlib import Path

from imaging_platform.files.writing import write_json
from imaging_platform.model.errors import BadInput, InvalidOutput

RESULTS_NAME = "results.json"
"""Where `record` collects, in the working directory of the notebook."""


def record(name: str, value: float | int | str, *, folder: Path = Path()) -> None:
    """
    Keep `value` under `name` as a result of the notebook that is running.

    Parameters
    ----------
    name
        A Python identifier that says its unit, such as ``mean_fd_mm``. A name
        that was recorded before takes the new value.
    value
        A finite number or a short text. A numpy scalar is taken as a number;
        NaN and infinity are left out, since JSON has no word for them.
    folder
        Where `RESULTS_NAME` stands; the working directory by default.

    Raises
    ------
    BadInput
        The name is no identifier or the value is neither number nor text.
    """
    if not name.isidentifier():
        raise BadInput(
            f"A result is named by letters, digits and underscores, got {name!r}.",
            fix="Rename the result in the notebook, for example mean_fd_mm.",
        )
    plain = value.item() if hasattr(value, "item") else value  # type: ignore[union-attr]  # numpy scalar
    if not isinstance(plain, int | float | str):
        raise BadInput(
            f"The result {name} is a {type(plain).__name__}, expected number or text.",
            fix="Record one number or text at a time.",
        )
    if isinstance(plain, float) and not math.isfinite(plain):
        return
    write_json(folder / RESULTS_NAME, {**read_results(folder), name: plain})


def read_results(folder: Path) -> dict[str, float | int | str]:
    """
    Return what was recorded in `folder`, by name; empty when nothing was.

    Raises
    ------
    InvalidOutput
        The file is not the JSON object that `record` writes.
    """
    path = folder / RESULTS_NAME
    if not path.is_file():
        return {}
    try:
        results = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidOutput(
            f"{RESULTS_NAME} of the notebook is not JSON.",
            fix="Write results with imaging_platform.reporting.results.record only.",
        ) from error
    if not isinstance(results, dict) or not all(
        isinstance(value, int | float | str) for value in results.values()
    ):
        raise InvalidOutput(
            f"{RESULTS_NAME} of the notebook is not an object of numbers and texts.",
            fix="Write results with imaging_platform.reporting.results.record only.",
        )
    return results
