"""Words and tables of the session report; each cell of the notebook shows one."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imaging_platform.reporting.markup import (
    VERDICTS,
    Html,
    badge,
    details,
    escape,
    figures_row,
    join,
    known_verdict,
    number,
    scan_words,
    sentence,
    table,
    words,
)
from imaging_platform.reporting.results import record
from imaging_platform.reporting.session_deid import show_deidentification
from imaging_platform.reporting.session_inputs import (
    TREES,
    SessionInputs,
)

__all__ = [
    "read_metrics",
    "read_verdict",
    "show_deidentification",
    "show_header",
    "show_metrics",
    "show_provenance",
    "show_series",
]

_OUTCOMES = {
    "converted": "pass",
    "excluded": "none",
    "unknown": "look",
    "incomplete": "look",
    "failed": "fail",
}


def show_header(inputs: SessionInputs, study: str, subject: str, session: str) -> Html:
    """
    Return title, verdict with its reasons and headline numbers of a session.

    Parameters
    ----------
    inputs
        The published trees of the session.
    study, subject, session
        Labels as in the partition key.
    """
    verdict, reasons = read_verdict(inputs)
    record("verdict", verdict)
    visit = f" / {session}" if session else ""
    title = f"<h1>Session {escape(subject + visit)}</h1>"
    among = f"../../study/report.html#sub-{subject}_ses-{session or 'none'}"
    where = (
        f'<p class="where">Study {escape(study)} · <a href="{escape(among)}">this '
        "session among the others</a></p>"
        if study
        else ""
    )
    own = f"sub-{subject}_ses-{session}_"
    said = "".join(f"<li>{escape(r.replace(own, ''))}</li>" for r in reasons)
    strip = (
        f'<div class="verdict {known_verdict(verdict)}">{badge(verdict)}'
        f"<ul>{said or '<li>' + _silence(verdict) + '</li>'}</ul></div>"
    )
    return Html(f"<header>{title}{where}</header>{strip}") + _headline(inputs)


def show_series(inputs: SessionInputs) -> Html:
    """
    Return what did not arrive, and every series of the session.

    Of a series: what became of it, as which file, and why.
    """
    return join([*_missing(inputs.report("anonymized_dicom")), _series(inputs)])


def _missing(report: Mapping[str, Any]) -> Iterator[Html]:
    """Yield which slices and volumes did not come, by the counts in the headers."""
    lacks = report.get("shortfalls", [])
    record("n_series_incomplete", len({lack["series_number"] for lack in lacks}))
    if not lacks:
        return
    yield sentence(
        "By the scanner's own counts not everything arrived. "
        "Send the missing images again: what comes later joins the session."
    )
    yield table(
        ["No.", "Files", "What is wrong", "Missing"],
        [
            (
                "" if lack["series_number"] is None else str(lack["series_number"]),
                str(lack["n_instances"]),
                str(lack["why"]),
                "; ".join(lack["missing"]) or "which, the headers do not say",
            )
            for lack in lacks
        ],
        numeric=(0, 1),
        kind="missing",
    )


def _series(inputs: SessionInputs) -> Html:
    rows = list(_series_rows(inputs.report("bids_session")))
    if not rows:
        return sentence("No series list: this session was not converted here.")
    record("n_series", len(rows))
    left_out = sum(str(row.get("outcome")) != "converted" for row in rows)
    record("n_series_not_converted", left_out)
    body = [
        (
            str(row.get("series_number", "")),
            str(row.get("description", "")),
            str(row.get("instances", "")),
            Html(_outcomes(row)),
            Html(_file_list(row)),
            str(row.get("why", "")),
        )
        for row in rows
    ]
    return table(
        ["No.", "Series", "Files", "Outcome", "BIDS file", "Why"],
        body,
        numeric=(0, 2),
        kind="series",
    )


def show_metrics(inputs: SessionInputs) -> Html:
    """Return each quality metric with its threshold and verdict, worst first."""
    rows = read_metrics(inputs)
    if not rows:
        return sentence("No quality metric has been published for this session.")
    order = {verdict: n for n, verdict in enumerate(reversed(VERDICTS))}
    judged = [row for row in rows if known_verdict(row.get("verdict")) != "none"]
    other = [row for row in rows if known_verdict(row.get("verdict")) == "none"]
    judged.sort(key=lambda row: order[known_verdict(row["verdict"])])
    pieces = [_metric_table(judged)] if judged else []
    if other:
        listed = _metric_table(other)
        pieces.append(
            details(f"{len(other)} more metrics without a threshold", listed)
            if judged
            else listed
        )
    return join(pieces)


def show_provenance(inputs: SessionInputs) -> Html:
    """Return the version of each input tree and the tools that made it."""
    rows = []
    for tree in TREES:
        made = inputs.record(tree)
        if made is None:
            rows.append((tree, "not published", "", ""))
            continue
        tools = ", ".join(f"{name} {v}" for name, v in sorted(made.tools.items()))
        rows.append(
            (
                tree,
                made.data_version[:12] or "–",
                made.code_version or "–",
                tools or "–",
            )
        )
    return table(
        ["Input", "Data version", "Code version", "Tools"], rows, kind="versions"
    )


def read_verdict(inputs: SessionInputs) -> tuple[str, list[str]]:
    """Return the verdict on the session, ``none`` without one, and its reasons."""
    published = inputs.quality("verdict.json")
    if not isinstance(published, Mapping):
        return "none", []
    verdict = known_verdict(published.get("verdict"))
    return verdict, [str(reason) for reason in published.get("reasons", ())]


def read_metrics(inputs: SessionInputs) -> list[dict[str, str]]:
    """Return the rows of the session's ``metrics.tsv``; empty when there is none."""
    path = inputs.root / "session_quality" / "metrics.tsv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _silence(verdict: str) -> str:
    if verdict == "none":
        return "The quality of this session has not been judged."
    return "Every metric with a threshold lies within it."


def _headline(inputs: SessionInputs) -> Html:
    rows = list(_series_rows(inputs.report("bids_session")))
    metrics = read_metrics(inputs)
    items = []
    if rows:
        converted = sum(str(row.get("outcome")) == "converted" for row in rows)
        items.append((f"{converted} of {len(rows)}", "series converted"))
    written = inputs.report("anonymized_dicom").get("files_written")
    if written is not None:
        items.append((str(written), "DICOM instances"))
    for row in _key_metrics(metrics):
        text = f"{number(_float(row['value']))} {_unit(row)}".strip()
        items.append((text, f"{words(row['metric'])}, {scan_words(row['scan'])}"))
    return figures_row(items[:7]) if items else Html("")


def _key_metrics(rows: Sequence[Mapping[str, str]]) -> Iterator[Mapping[str, str]]:
    wanted = ("fd_mean", "tsnr", "cjv", "cnr", "snr_total")
    for name in wanted:
        for row in rows:
            if row.get("metric", "").startswith(name) and row.get("value"):
                yield row
                break


def _series_rows(report: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from report.get("series", ())


def _outcomes(row: Mapping[str, Any]) -> str:
    """Return what became of a series, with counts where files had several fates."""
    counts: Counter[str] = Counter()
    for fate in row.get("fates", ()):
        counts[str(fate["outcome"])] += len(fate["instances"])
    if len(counts) < 2:
        return _outcome(str(row.get("outcome", "")))
    return "<br>".join(f"{_outcome(name)} {n}" for name, n in sorted(counts.items()))


def _outcome(outcome: str) -> str:
    return badge(_OUTCOMES.get(outcome, "fail"), words=outcome or "unknown")


def _file_list(row: Mapping[str, Any]) -> str:
    scans = row.get("scans") or [row]
    names = [name for scan in scans for name in scan.get("files", ())]
    volumes = [name for name in map(str, names) if name.endswith((".nii.gz", ".nii"))]
    shown = volumes or [str(name) for name in names]
    return "<br>".join(f"<code>{escape(Path(n).name)}</code>" for n in shown) or "–"


def _metric_table(rows: Sequence[Mapping[str, str]]) -> Html:
    body = [
        (
            scan_words(row.get("scan", "")),
            words(row.get("metric", "")),
            number(_float(row.get("value", ""))),
            _unit(row),
            _dash(row.get("threshold", "")),
            Html(badge(row.get("verdict", ""))),
            row.get("reason", "") if row.get("reason") not in (None, "n/a") else "",
        )
        for row in rows
    ]
    head = ["Scan", "Metric", "Value", "Unit", "Threshold", "Verdict", "Reason"]
    return table(head, body, numeric=(2,), kind="metrics")


def _unit(row: Mapping[str, str]) -> str:
    unit = row.get("unit") or row.get("units") or ""
    return "" if unit in ("n/a", "1", "arbitrary", "none") else unit


def _dash(text: str | None) -> str:
    return "–" if text in (None, "", "n/a") else str(text)


def _float(text: object) -> object:
    try:
        return float(str(text))
    except ValueError:
        return text or None
