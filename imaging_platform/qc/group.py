"""Quality of many scans as a BIDS derivative: files a scan, tables a kind, an index."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from imaging_platform.files.writing import write_json, write_text
from imaging_platform.qc.definitions import define
from imaging_platform.qc.metric import VERDICTS, Metric, worst
from imaging_platform.qc.session import format_table

IGNORED = ("*_desc-quality_*", "group_*.tsv", "failed.tsv", "index.html")
"""What BIDS has no names for."""

SHOWN = ("cjv", "cnr", "efc", "snr_total", "fd_mean", "fd_perc", "tsnr", "ndc_images")
"""Metrics that the index shows; the tables have all."""


@dataclass(frozen=True)
class ScanQuality:
    """
    The metrics of one scan.

    Parameters
    ----------
    folder
        Such as ``sub-01/ses-1/anat``.
    name
        Name of the scan in its dataset, without extension.
    suffix
        Such as ``T1w``.
    metrics
        Its judged metrics.
    """

    folder: str
    name: str
    suffix: str
    metrics: tuple[Metric, ...]

    @property
    def verdict(self) -> str:
        """The worst verdict of the metrics."""
        return worst(metric.verdict for metric in self.metrics)

    @property
    def reasons(self) -> str:
        """Why the verdict is not ``pass``."""
        doubtful = [m for m in self.metrics if m.verdict in ("look", "fail")]
        return "; ".join(f"{m.metric}: {m.reason}" for m in doubtful)

    @property
    def base(self) -> str:
        """Path of its files below the dataset, without extension."""
        stem = self.name.rsplit("_", 1)[0]
        return f"{self.folder}/{stem}_desc-quality_{self.suffix}"


def write_quality(
    target: Path, scans: Sequence[ScanQuality], failed: Mapping[str, str]
) -> None:
    """
    Write the files of each scan, ``group_<suffix>.tsv``, ``failed.tsv``, an index.

    Parameters
    ----------
    target
        Folder of the derivative dataset.
    scans
        In order of their names.
    failed
        Reason by name of each scan that was not measured.
    """
    for scan in scans:
        write_text(target / f"{scan.base}.tsv", format_table(scan.metrics))
        values = {metric.metric: metric.value for metric in scan.metrics}
        said = {"verdict": scan.verdict, "reasons": scan.reasons}
        write_json(target / f"{scan.base}.json", {**values, **said})
    for suffix, own in group_by_suffix(scans).items():
        write_text(target / f"group_{suffix}.tsv", format_group(own))
    rows = [f"{name}\t{reason}" for name, reason in sorted(failed.items())]
    write_text(target / "failed.tsv", "\n".join(["scan\treason", *rows]) + "\n")
    write_text(target / "index.html", format_index(scans, failed))


def group_by_suffix(scans: Iterable[ScanQuality]) -> dict[str, list[ScanQuality]]:
    """Return scans by their suffix, in alphabetic order."""
    groups: dict[str, list[ScanQuality]] = defaultdict(list)
    for scan in scans:
        groups[scan.suffix].append(scan)
    return dict(sorted(groups.items()))


def format_group(scans: Sequence[ScanQuality]) -> str:
    """
    Return scans of one kind as a table: a row a scan, a column a metric.

    The first column is ``bids_name``, as in MRIQC's group tables; what a scan does
    not have reads ``n/a``.
    """
    names = sorted({metric.metric for scan in scans for metric in scan.metrics})
    lines = ["\t".join(["bids_name", "verdict", "reasons", *names])]
    for scan in scans:
        values = {metric.metric: metric.value for metric in scan.metrics}
        cells = [_cell(values.get(name)) for name in names]
        reasons = scan.reasons or "n/a"
        lines.append("\t".join([scan.name, scan.verdict, reasons, *cells]))
    return "\n".join(lines) + "\n"


def format_index(scans: Sequence[ScanQuality], failed: Mapping[str, str]) -> str:
    """Return a page that lists all scans, worst first, with links to their files."""
    parts = [_HEAD]
    for suffix, own in group_by_suffix(scans).items():
        present = {metric.metric for scan in own for metric in scan.metrics}
        shown = [name for name in SHOWN if name in present]
        heads = ["scan", "verdict", *map(_title, shown), "why"]
        parts.append(f"<h2>{escape(suffix)}: {len(own)}</h2><table><tr>")
        parts.append("".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>")
        ordered = sorted(own, key=lambda scan: -VERDICTS.index(scan.verdict))
        parts += [_index_row(scan, shown) for scan in ordered]
        parts.append("</table>")
    if failed:
        rows = [
            f"<tr><td>{escape(name)}</td><td>{escape(reason)}</td></tr>"
            for name, reason in sorted(failed.items())
        ]
        parts.append(f"<h2>Not measured: {len(failed)}</h2><table>")
        parts += [*rows, "</table>"]
    return "\n".join(parts) + "\n"


_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Quality</title>
<style>
body { font: 15px/1.4 sans-serif; margin: 2em; }
table { border-collapse: collapse; }
th, td { padding: .3em .8em; text-align: left; border-bottom: 1px solid #ccc; }
.fail td:nth-child(2) { font-weight: bold; }
</style>
<h1>Quality</h1>"""


def _index_row(scan: ScanQuality, shown: Sequence[str]) -> str:
    values = {metric.metric: metric.value for metric in scan.metrics}
    link = f'<a href="{escape(scan.base)}.tsv">{escape(scan.name)}</a>'
    cells = [link, scan.verdict, *(_cell(values.get(name)) for name in shown)]
    inside = "".join(f"<td>{cell}</td>" for cell in (*cells, escape(scan.reasons)))
    return f'<tr class="{scan.verdict}">{inside}</tr>'


def _title(metric: str) -> str:
    unit = define(metric).unit
    return f"{metric} ({unit})" if unit else metric


def _cell(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.6g}"
