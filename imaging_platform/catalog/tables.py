"""Sessions, series, metrics and versions of a study, one Parquet file each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.files.writing import write_text
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.rating import Rating
from imaging_platform.provenance.record import Record

Records = Mapping[tuple[str, str], Record]


@dataclass(frozen=True)
class SessionRow:
    """
    One session.

    Parameters
    ----------
    session_key, subject, session
        Partition key and BIDS labels.
    n_series, n_instances
        Series, and DICOM instances in them.
    verdict
        ``pass``, ``look`` or ``fail``: a person's, while it has not expired, else the
        measured one; empty when there is neither.
    reasons
        Why it is not ``pass``, and who rated it.
    measured
        The verdict of the metrics.
    rating
        ``pass`` or ``fail`` of a person, ``expired``, or empty.
    flagged
        Names of the metrics that are not ``pass``.
    report
        Page of the session, relative to the study report; empty without one.
    """

    session_key: str
    subject: str
    session: str
    n_series: int
    n_instances: int
    verdict: str
    reasons: str
    measured: str
    rating: str
    flagged: str
    report: str


@dataclass(frozen=True)
class SeriesRow:
    """
    One series of a session and what became of it.

    Parameters
    ----------
    session_key
        The session.
    series_number, description
        As the scanner named it, de-identified.
    n_instances
        DICOM instances.
    outcome
        ``converted``, ``excluded``, ``unknown``, ``incomplete`` or ``failed``.
    datatype, suffix, files, why
        The decision: label, files (comma separated) and reason.
    """

    session_key: str
    series_number: int
    description: str
    n_instances: int
    outcome: str
    datatype: str
    suffix: str
    files: str
    why: str


@dataclass(frozen=True)
class MetricRow:
    """
    One quality metric of one scan.

    Parameters
    ----------
    session_key, scan, metric
        What was measured on what.
    value
        NaN when it cannot be measured.
    unit, threshold, verdict, reason
        Its unit, its limits, and what follows.
    """

    session_key: str
    scan: str
    metric: str
    value: float
    unit: str
    verdict: str
    threshold: str
    reason: str


@dataclass(frozen=True)
class VersionRow:
    """
    One published tree.

    Parameters
    ----------
    session_key, asset
        Which tree.
    data_version
        Its content digest.
    code_version
        The code and settings that made it.
    """

    session_key: str
    asset: str
    data_version: str
    code_version: str


@dataclass(frozen=True)
class VariantRow:
    """
    Scans of one kind that were acquired with the same parameters.

    Parameters
    ----------
    scan
        Datatype and name without subject, session and run.
    variant
        1 for the most frequent one.
    is_dominant
        Whether more scans are of this variant than of any other.
    n_scans, n_sessions
        How many scans, and sessions, are of it.
    differs
        In which parameters it differs from the most frequent one, in words.
    parameters
        All its parameters, as JSON.
    session_keys
        Its sessions, comma separated.
    """

    scan: str
    variant: int
    is_dominant: bool
    n_scans: int
    n_sessions: int
    differs: str
    parameters: str
    session_keys: str


@dataclass(frozen=True)
class DeviationRow:
    """
    One parameter of one scan that is not as it should be.

    Parameters
    ----------
    session_key, scan, file
        Which scan; the file is empty for one that is missing.
    against
        ``majority`` or ``protocol``.
    parameter, expected, found
        Which parameter (or ``count``), and both values in words.
    """

    session_key: str
    scan: str
    file: str
    against: str
    parameter: str
    expected: str
    found: str


@dataclass(frozen=True)
class IssueRow:
    """
    One rule of the BIDS validator that a dataset of the study does not keep.

    Parameters
    ----------
    dataset
        ``bids`` or the name of a derivative dataset.
    severity, code, n_findings, message
        What the validator says, and how often.
    places
        The first files, comma separated.
    """

    dataset: str
    severity: str
    code: str
    n_findings: int
    message: str
    places: str


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
) -> dict[str, int]:
    """
    Write each table of a study as Parquet and return its number of rows.

    Parameters
    ----------
    records
        Record of each published session tree by (asset, session key).
    target
        Existing folder; gets ``sessions``, ``series``, ``metrics``, ``versions``,
        ``variants`` and ``deviations`` with the ending ``.parquet``.
    ratings
        Verdicts of people, by session key.
    variants, deviations
        How the scans of the study were acquired.
    """
    tables: dict[str, tuple[type, list[object]]] = {
        "sessions": (SessionRow, list(session_rows(records, ratings))),
        "series": (SeriesRow, list(series_rows(records))),
        "metrics": (MetricRow, list(metric_rows(records))),
        "versions": (VersionRow, list(version_rows(records))),
        "variants": (VariantRow, list(variants)),
        "deviations": (DeviationRow, list(deviations)),
    }
    for name, (kind, rows) in tables.items():
        _write_parquet(target / f"{name}.parquet", kind, rows)
    return {name: len(rows) for name, (_, rows) in tables.items()}


def session_rows(
    records: Records, ratings: Mapping[str, Rating]
) -> Iterable[SessionRow]:
    """Return a row for each session that has any published tree, by session key."""
    series = list(series_rows(records))
    for text in sorted({partition for _, partition in records}):
        key = SessionKey.parse(text)
        quality = records.get(("session_quality", text))
        own = [row for row in series if row.session_key == text]
        measured = quality.report["verdict"] if quality else ""
        rating = ratings.get(text)
        counts = rating is not None and not rating.is_expired
        reasons = [rating.sentence] if rating and counts else []
        reasons += quality.report["reasons"] if quality else []
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
                row["metric"]
                for row in (quality.report["metrics"] if quality else ())
                if row["verdict"] in ("look", "fail")
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


def metric_rows(records: Records) -> Iterable[MetricRow]:
    """Return a row for each metric of each measured session."""
    for (asset, key), record in sorted(records.items()):
        if asset == "session_quality":
            for row in record.report["metrics"]:
                yield MetricRow(
                    session_key=key,
                    scan=row["scan"],
                    metric=row["metric"],
                    value=float("nan") if row["value"] is None else row["value"],
                    unit=row["unit"],
                    verdict=row["verdict"],
                    threshold=row["threshold"],
                    reason=row["reason"],
                )


def version_rows(records: Records) -> Iterable[VersionRow]:
    """Return a row for each published tree."""
    for (asset, key), record in sorted(records.items()):
        yield VersionRow(key, asset, record.data_version, record.code_version)


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
