"""Sessions, series, metrics and versions of a study, one Parquet file each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from imaging_platform.catalog.app_metrics import AppColumn, describe_columns
from imaging_platform.catalog.rows import (
    CohortRow,
    DeviationRow,
    IssueRow,
    MetricRow,
    SeriesRow,
    SessionRow,
    VariantRow,
    VersionRow,
)
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.rating import Rating
from imaging_platform.provenance.record import Record

Records = Mapping[tuple[str, str], Record]


def write_issues(path: Path, rows: Iterable[IssueRow]) -> None:
    """Write what the validator said of the datasets as one Parquet file."""
    _write_parquet(path, IssueRow, list(rows))


def write_tables(
    records: Records,
    target: Path,
    *,
    ratings: Mapping[str, Rating],
    variants: Iterable[VariantRow] = (),
    deviations: Iterable[DeviationRow] = (),
    cohort: Iterable[CohortRow] = (),
    apps: Sequence[AppColumn] = (),
) -> dict[str, int]:
    """
    Write each table of a study as Parquet and return its number of rows.

    Parameters
    ----------
    records
        Record of each published session tree by (asset, session key).
    target
        Existing folder; gets ``sessions``, ``series``, ``metrics``, ``cohort``,
        ``versions``, ``variants`` and ``deviations`` with the ending ``.parquet``.
    ratings
        Verdicts of people, by session key.
    variants, deviations
        How the scans of the study were acquired.
    cohort
        How metrics stand among the sessions; what stands out joins the verdicts of
        the metrics and of the sessions.
    apps
        What apps measured: columns of ``sessions``, described in ``sessions.json``.
    """
    standings = list(cohort)
    tables: dict[str, tuple[type, list[object]]] = {
        "sessions": (SessionRow, list(session_rows(records, ratings, standings))),
        "series": (SeriesRow, list(series_rows(records))),
        "metrics": (MetricRow, list(metric_rows(records, standings))),
        "cohort": (CohortRow, list(standings)),
        "versions": (VersionRow, list(version_rows(records))),
        "variants": (VariantRow, list(variants)),
        "deviations": (DeviationRow, list(deviations)),
    }
    for name, (kind, rows) in tables.items():
        _write_parquet(target / f"{name}.parquet", kind, rows)
    if apps:
        _add_columns(target / "sessions.parquet", apps)
        write_json(target / "sessions.json", describe_columns(apps))
    return {name: len(rows) for name, (_, rows) in tables.items()}


def session_rows(
    records: Records,
    ratings: Mapping[str, Rating],
    cohort: Iterable[CohortRow] = (),
) -> Iterable[SessionRow]:
    """
    Return a row for each session that has any published tree, by session key.

    What stands out in the cohort makes the measured verdict worse and joins its
    reasons; a person's verdict stands before both.
    """
    series = list(series_rows(records))
    outliers = [row for row in cohort if row.verdict in ("look", "fail")]
    for text in sorted({partition for _, partition in records}):
        key = SessionKey.parse(text)
        quality = records.get(("session_quality", text))
        own = [row for row in series if row.session_key == text]
        apart = [row for row in outliers if row.session_key == text] if quality else []
        measured = worse_verdict(
            quality.report["verdict"] if quality else "",
            *(row.verdict for row in apart),
        )
        rating = ratings.get(text)
        counts = rating is not None and not rating.is_expired
        reasons = [rating.sentence] if rating and counts else []
        reasons += quality.report["reasons"] if quality else []
        reasons += [f"{row.verdict}: {row.scan} {row.reason}" for row in apart]
        yield SessionRow(
            session_key=text,
            subject=key.subject,
            session=key.session,
            n_series=len({row.series_number for row in own}),
            n_instances=sum(row.n_instances for row in own),
            verdict=rating.verdict if rating and counts else measured,
            reasons="; ".join(reasons),
            measured=measured,
            rating=(rating.verdict if counts else "expired") if rating else "",
            flagged=_join(
                [
                    *(
                        row["metric"]
                        for row in (quality.report["metrics"] if quality else ())
                        if row["verdict"] in ("look", "fail")
                    ),
                    *(row.metric for row in apart),
                ]
            ),
            report=f"../sessions/{text}/report.html"
            if ("session_report", text) in records
            else "",
        )


def write_exclusions(
    records: Records, ratings: Mapping[str, Rating], path: Path
) -> int:
    """
    Write which sessions an analysis should leave out, and return how many.

    A person's verdict stands before the measured one; sessions that a person should
    look at are not on the list.

    Parameters
    ----------
    records
        Record of each published session tree by (asset, session key).
    ratings
        Verdicts of people, by session key.
    path
        TSV with the columns ``participant_id``, ``session_id``, ``decided_by``
        (``metrics`` or the author) and ``reason``.
    """
    lines = ["participant_id\tsession_id\tdecided_by\treason"]
    for row in session_rows(records, ratings):
        if row.verdict == "fail":
            by = ratings[row.session_key].author if row.rating == "fail" else "metrics"
            reason = " ".join(row.reasons.split())
            cells = (f"sub-{row.subject}", f"ses-{row.session}", by, reason)
            lines.append("\t".join(cells))
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines) - 1


def series_rows(records: Records) -> Iterable[SeriesRow]:
    """Return a row for each series of each converted session."""
    for (asset, key), record in sorted(records.items()):
        if asset == "bids_session":
            for row in record.report["series"]:
                scans = row["scans"]
                yield SeriesRow(
                    session_key=key,
                    series_number=row["series_number"],
                    description=row["description"],
                    n_instances=row["instances"],
                    outcome=row["outcome"],
                    datatype=_join(scan["datatype"] for scan in scans),
                    suffix=_join(scan["suffix"] for scan in scans),
                    files=_join(file for scan in scans for file in scan["files"]),
                    why=row["why"],
                )


def metric_rows(
    records: Records, cohort: Iterable[CohortRow] = ()
) -> Iterable[MetricRow]:
    """
    Return a row for each metric of each measured session.

    What stands out in the cohort makes the verdict worse and joins its reason.
    """
    standings = {(row.session_key, row.scan, row.metric): row for row in cohort}
    for (asset, key), record in sorted(records.items()):
        if asset == "session_quality":
            for row in record.report["metrics"]:
                other = standings.get((key, row["scan"], row["metric"]))
                yield MetricRow(
                    session_key=key,
                    scan=row["scan"],
                    metric=row["metric"],
                    value=float("nan") if row["value"] is None else row["value"],
                    unit=row["unit"],
                    verdict=worse_verdict(
                        row["verdict"], other.verdict if other else ""
                    ),
                    threshold=row["threshold"],
                    reason="; ".join(
                        part
                        for part in (row["reason"], other.reason if other else "")
                        if part
                    ),
                )


def version_rows(records: Records) -> Iterable[VersionRow]:
    """Return a row for each published tree."""
    for (asset, key), record in sorted(records.items()):
        yield VersionRow(key, asset, record.data_version, record.code_version)


def without_session(scan: str) -> str:
    """
    Return a scan's name without subject, session and extension.

    Examples
    --------
    >>> without_session("sub-01_ses-2_task-rest_bold.nii.gz")
    'task-rest_bold'
    """
    parts = Path(scan).name.split(".")[0].split("_")
    return "_".join(p for p in parts if not p.startswith(("sub-", "ses-")))


def worse_verdict(first: str, *others: str) -> str:
    """
    Return the worst of some verdicts.

    A first one that is not judged (empty or ``none``) becomes only ``look`` or
    ``fail``.

    Examples
    --------
    >>> worse_verdict("pass", "look", "none"), worse_verdict("none", "pass")
    ('look', 'none')
    """
    order = ("look", "fail")
    worst = max((o for o in others if o in order), key=order.index, default=first)
    return first if first == "fail" else worst


def _join(values: Iterable[str]) -> str:
    """Join what differs, in the order of the scans."""
    return ", ".join(dict.fromkeys(value for value in values if value))


def _write_parquet(path: Path, kind: type, rows: list[object]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
    types["bool"] = pa.bool_()
    fields = dataclasses.fields(kind)
    schema = pa.schema([(field.name, types[str(field.type)]) for field in fields])
    plain = [dataclasses.asdict(row) for row in rows]  # pyright: ignore[reportArgumentType] - rows are dataclasses
    pq.write_table(pa.Table.from_pylist(plain, schema=schema), path)


def _add_columns(path: Path, columns: Sequence[AppColumn]) -> None:
    """Add what apps measured to the table of sessions; null where it is absent."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    keys = table.column("session_key").to_pylist()
    for column in columns:
        values = [column.values.get(key) for key in keys]
        table = table.append_column(column.name, pa.array(values, pa.float64()))
    pq.write_table(table, path)
