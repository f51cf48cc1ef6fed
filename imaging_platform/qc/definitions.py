"""What each quality metric is called, means and comes from: one table."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Definition:
    """
    One metric, or some that differ by tissue, axis or shell.

    Parameters
    ----------
    name
        MRIQC's name where it has one; ``*`` stands for a tissue, axis or shell.
    kinds
        Suffixes of the scans that have it, parted by spaces.
    unit
        Empty for a ratio or count; ``signal`` is the image's own unit.
    better
        The better side, ``high`` or ``low``; ``neither`` for what only describes.
    meaning
        One line.
    source
        Publication or tool.
    function
        Where it is computed, below ``imaging_platform.qc``.
    """

    name: str
    kinds: str
    unit: str
    better: str
    meaning: str
    source: str
    function: str


@cache
def read_definitions() -> tuple[Definition, ...]:
    """Return the definitions of all metrics."""
    text = (
        resources.files("imaging_platform.qc")
        .joinpath("data/definitions.tsv")
        .read_text()
    )
    return tuple(Definition(*line.split("\t")) for line in text.splitlines()[1:])


@cache
def define(metric: str) -> Definition:
    """
    Return the definition of a metric: the longest name that fits.

    Raises
    ------
    KeyError
        The table does not know the metric.

    Examples
    --------
    >>> define("spacing_tr").unit, define("spacing_x").unit, define("fd_mean").unit
    ('s', 'mm', 'mm')
    """
    found = [each for each in read_definitions() if fnmatchcase(metric, each.name)]
    if not found:
        raise KeyError(metric)
    return max(found, key=lambda each: len(each.name))
