"""What differs between two versions of one published tree, file by file."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.comparison.images import ImageDifference, compare_images
from imaging_platform.comparison.quality import MetricChange, compare_quality
from imaging_platform.comparison.values import (
    Difference,
    compare_json,
    compare_tables,
)
from imaging_platform.files.digests import digest_files
from imaging_platform.provenance.record import read_outputs, read_record

CHANGED = "changed"
ONLY_BEFORE = "only before"
ONLY_AFTER = "only now"
RENAMED = "renamed"

MOST_KEPT = 100
"""Differing values of one file that are listed; a shifted table differs in all."""

REPORT_SUFFIXES = (".html", ".ipynb")


@dataclass(frozen=True)
class FileChange:
    """
    One file that is not as it was.

    Parameters
    ----------
    path
        Path in the tree; of a renamed file, the one before.
    change
        `CHANGED`, `ONLY_BEFORE`, `ONLY_AFTER` or `RENAMED`.
    renamed_to
        The path now, of a renamed file.
    values
        Differing keys or cells, the first `MOST_KEPT`.
    n_values
        How many differ.
    image
        How far the images are apart; None for other files.
    note
        Why nothing was looked at inside; mostly empty.
    """

    path: str
    change: str
    renamed_to: str = ""
    values: tuple[Difference, ...] = ()
    n_values: int = 0
    image: ImageDifference | None = None
    note: str = ""


@dataclass(frozen=True)
class TreeComparison:
    """
    What differs between two versions of a tree.

    Parameters
    ----------
    n_same
        Files with the same content.
    files
        The others, sorted by path.
    metrics
        Quality metrics that differ.
    """

    n_same: int
    files: tuple[FileChange, ...] = ()
    metrics: tuple[MetricChange, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether every file has the content that it had."""
        return not self.files


def compare_trees(before: Path, after: Path) -> TreeComparison:
    """
    Return what differs between two versions of a tree; nothing is written.

    Contents are compared as data versions are: what carries no meaning, such as the
    header of a gzip file, does not count. A file with the content of one that is gone
    is renamed.

    Parameters
    ----------
    before, after
        Published trees of the same key.
    """
    first, second = _digest(before), _digest(after)
    shared = first.keys() & second.keys()
    changed = sorted(path for path in shared if first[path] != second[path])
    renamed = _find_renamed(first, second)
    changes = [_look_inside(before / path, after / path, path) for path in changed]
    changes += [FileChange(old, RENAMED, new) for old, new in renamed.items()]
    changes += [
        FileChange(path, ONLY_BEFORE)
        for path in first.keys() - second.keys() - renamed.keys()
    ]
    changes += [
        FileChange(path, ONLY_AFTER)
        for path in second.keys() - first.keys() - set(renamed.values())
    ]
    return TreeComparison(
        len(shared) - len(changed),
        tuple(sorted(changes, key=lambda change: change.path)),
        _compare_reports(before, after),
    )


def _digest(tree: Path) -> dict[str, str]:
    return read_outputs(tree) or digest_files(tree)


def _find_renamed(first: dict[str, str], second: dict[str, str]) -> dict[str, str]:
    gone = sorted(first.keys() - second.keys())
    come = sorted(second.keys() - first.keys())
    renamed: dict[str, str] = {}
    for old in gone:
        match = next((new for new in come if second[new] == first[old]), None)
        if match is not None:
            renamed[old] = match
            come.remove(match)
    return renamed


def _look_inside(before: Path, after: Path, path: str) -> FileChange:
    try:
        if path.endswith((".nii", ".nii.gz")):
            return FileChange(path, CHANGED, image=compare_images(before, after))
        if path.endswith(".json"):
            return _with_values(path, compare_json(before, after))
        if path.endswith((".tsv", ".tsv.gz")):
            return _with_values(path, compare_tables(before, after))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        kind = type(error).__name__
        return FileChange(path, CHANGED, note=f"cannot be read ({kind})")
    is_report = path.endswith(REPORT_SUFFIXES)
    return FileChange(path, CHANGED, note="report changed" if is_report else "")


def _with_values(path: str, values: tuple[Difference, ...]) -> FileChange:
    return FileChange(path, CHANGED, values=values[:MOST_KEPT], n_values=len(values))


def _compare_reports(before: Path, after: Path) -> tuple[MetricChange, ...]:
    first, second = read_record(before), read_record(after)
    if first is None or second is None:
        return ()
    return compare_quality(first.report, second.report)
