"""What Dagster shows of a BIDS App."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.metering import tell_cost
from imaging_platform.resources.zones import PublishedZone

if TYPE_CHECKING:
    from imaging_platform.apps.run import AppReport

CHECK = "expected_outputs_present"
MOST_METRICS = 200
"""Numbers of one result that Dagster is told; all are in the record and the catalog."""


def add(
    result: Mapping[str, Any],  # keyword arguments of MaterializeResult
    report: AppReport,
    published: PublishedZone,
    place: str,
) -> dg.MaterializeResult:
    """Show each metric as a curve, the pages as links, and what was left out."""
    pages = {
        name: dg.MetadataValue.url(published.link(f"{place}/{name}"))
        for name in report.pages
    }
    metadata = {
        **dict(itertools.islice(report.metrics.items(), MOST_METRICS)),
        **pages,
        "files": report.n_files,
        "outputs": shown.table(["pattern", "files"], report.outputs.items()),
        "left out": shown.table(["file"], [(name,) for name in report.left_out]),
    }
    return shown.add(result, metadata, [_check({"": report})])


def summary(
    version: str,
    *,
    inputs: Mapping[str, str],
    reports: Mapping[str, AppReport],
    place: str,
) -> dg.MaterializeResult:
    """
    Show what was made now of an app that spans sessions.

    Parameters
    ----------
    version
        Data version of all its parts.
    inputs
        Data version of each input.
    reports
        What was made now, by subject, or of the study as one.
    place
        Key of its dataset.
    """
    names = sorted({name for report in reports.values() for name in report.metrics})
    names = names[:MOST_METRICS]
    rows = [
        (label, report.n_files, *(report.metrics.get(name, "") for name in names))
        for label, report in reports.items()
    ]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "inputs": dg.MetadataValue.json(dict(inputs)),
            "published": dg.MetadataValue.text(place),
            "made now": shown.table(["part", "files", *names], rows),
            **tell_cost(0),
        },
        check_results=[_check(reports)],
    )


def _check(reports: Mapping[str, AppReport]) -> dg.AssetCheckResult:
    """State whether each declared output has a file; required ones always have."""
    absent = [
        f"{label} {pattern}".strip()
        for label, report in reports.items()
        for pattern, n_files in report.outputs.items()
        if not n_files
    ]
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not absent,
        severity=dg.AssetCheckSeverity.WARN,
        description="No file for: " + ", ".join(absent[:20])
        if absent
        else "Each declared output is there.",
    )
