"""The report of a session as files: JSON with everything, TSV with a row a series."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from imaging_platform.deid.session import DeidReport
from imaging_platform.files.writing import write_json, write_text

COLUMNS: tuple[str, ...] = (
    "verdict",
    "series",
    "kind",
    "files",
    "reason",
    "mask",
    "released",
    "can_be_released",
)


def write_deid_report(report: DeidReport, folder: Path, name: str) -> None:
    """
    Write ``<name>.json`` and ``<name>.tsv``; the same report gives the same bytes.

    Parameters
    ----------
    report
        What was done; it holds no original value.
    folder
        Made if it is not there.
    name
        File name without suffix; a pseudonym.
    """
    write_json(folder / f"{name}.json", asdict(report))
    write_text(folder / f"{name}.tsv", table_of(report))


def table_of(report: DeidReport) -> str:
    """Return a row for each series, kind and verdict, with tabs between cells."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, COLUMNS, restval="n/a", delimiter="\t", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(_rows_of(report))
    return text.getvalue()


def _rows_of(report: DeidReport) -> Iterator[dict[str, str | int]]:
    for row in report.written:
        yield {
            "verdict": "written",
            "series": row.series,
            "kind": row.sop_class,
            "files": row.n_files,
            "mask": row.mask or "n/a",
            "released": _yes(row.is_released),
        }
    for kept in report.quarantined:
        yield {
            "verdict": "quarantined",
            "series": kept.series or "n/a",
            "kind": kept.sop_class or "n/a",
            "files": kept.n_files,
            "reason": kept.reason,
            "can_be_released": _yes(kept.can_be_released),
        }
    if report.files_duplicate:
        yield {"verdict": "duplicate", "files": report.files_duplicate}


def _yes(value: bool) -> str:  # a private predicate in words
    return "yes" if value else "no"
