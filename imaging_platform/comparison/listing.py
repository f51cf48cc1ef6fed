"""A trial as the tables that terminal and page show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imaging_platform.comparison.trees import (
    CHANGED,
    ONLY_AFTER,
    ONLY_BEFORE,
    RENAMED,
    FileChange,
)
from imaging_platform.comparison.trial import Trial

Row = tuple[object, ...]


@dataclass(frozen=True)
class Listing:
    """
    One table of a trial.

    Parameters
    ----------
    title, columns
        What stands above it.
    rows
        Gives the rows of a trial; none when there is nothing to say.
    """

    title: str
    columns: tuple[str, ...]
    rows: Callable[[Trial], Iterator[Row]]


def show(value: object) -> str:
    """Return a value of a difference as text; what is absent reads as a dash."""
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def show_share(value: float | None) -> str:
    """
    Return a relative difference in percent; a dash where it has no meaning.

    Examples
    --------
    >>> show_share(0.0123), show_share(None)
    ('1.23 %', '–')
    """
    return "–" if value is None else f"{100 * value:.3g} %"


def _list_results(trial: Trial) -> Iterator[Row]:
    for result in trial.results:
        yield (
            result.asset,
            result.session,
            result.outcome,
            result.n_same,
            *(result.count(c) for c in (CHANGED, RENAMED, ONLY_BEFORE, ONLY_AFTER)),
            result.why,
        )


def _list_metrics(trial: Trial) -> Iterator[Row]:
    for result in trial.results:
        for tree in result.trees.values():
            for each in tree.metrics:
                yield (
                    each.scan or result.session,
                    each.metric,
                    show(each.before),
                    show(each.after),
                    show_share(each.relative),
                    f"{each.verdict_before or '–'} → {each.verdict_after or '–'}",
                    _arrow(each.threshold_before, each.threshold_after),
                )


def _list_images(trial: Trial) -> Iterator[Row]:
    for where, file in _files(trial):
        if (image := file.image) is None:
            continue
        is_same_grid = image.shape_before == image.shape_after and image.same_affine
        yield (
            where,
            _arrow(_shape(image.shape_before), _shape(image.shape_after)),
            "same" if is_same_grid else "differs",
            f"{image.n_differing} ({show_share(image.share)})",
            show(image.max_difference),
            show(image.mean_difference),
            show(image.correlation),
            ", ".join(difference.where for difference in image.header),
        )


def _list_values(trial: Trial) -> Iterator[Row]:
    for where, file in _files(trial, besides_metrics=True):
        for each in file.values:
            relative = show_share(each.relative)
            yield where, each.where, show(each.before), show(each.after), relative
        if more := file.n_values - len(file.values):
            yield where, f"and {more} more", "", "", ""


def _list_files(trial: Trial) -> Iterator[Row]:
    instances: Counter[tuple[str, str]] = Counter()
    for where, file in _files(trial):
        if file.path.endswith(".dcm"):
            # One line for hundreds; what is decided otherwise stands in their report.
            instances[where.partition(":")[0], file.change] += 1
        elif file.image is None and not file.values:
            yield where, file.change, file.renamed_to or file.note
    for (where, change), n_files in instances.items():
        yield where, change, f"{n_files} DICOM files"


def _files(
    trial: Trial, *, besides_metrics: bool = False
) -> Iterator[tuple[str, FileChange]]:
    """Yield each file that differs; or not those whose metrics say the same."""
    for result in trial.results:
        for name, tree in result.trees.items():
            for file in tree.files if not (besides_metrics and tree.metrics) else ():
                yield f"{name} {result.session}: {file.path}", file


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before or '–'} → {after or '–'}"


TABLES = (
    Listing(
        "Made again",
        (
            "asset",
            "session",
            "outcome",
            "same files",
            "changed",
            "renamed",
            "only before",
            "only now",
            "why",
        ),
        _list_results,
    ),
    Listing(
        "Quality metrics that differ",
        ("scan", "metric", "before", "now", "relative", "verdict", "limit"),
        _list_metrics,
    ),
    Listing(
        "Images that differ",
        (
            "file",
            "shape",
            "grid",
            "voxels",
            "max",
            "mean",
            "correlation",
            "header",
        ),
        _list_images,
    ),
    Listing(
        "Values that differ",
        ("file", "key or cell", "before", "now", "relative"),
        _list_values,
    ),
    Listing("Other files that differ", ("file", "change", "what"), _list_files),
)
"""In the order in which they are read."""
