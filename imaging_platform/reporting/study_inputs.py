"""The tables of a study, and how far each value lies from the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imaging_platform.catalog import spread
from imaging_platform.catalog.tables import without_session
from imaging_platform.model.errors import MissingInput
from imaging_platform.reporting.markup import Html, escape

Row = Mapping[str, Any]
"""One row of a catalog table by column name."""

ENOUGH_SESSIONS = 4
"""Fewer values have no spread to compare with."""

OUTLIER_Z = 3.5
"""Absolute robust z above which a value is an outlier (Iglewicz and Hoaglin 1993)."""


@dataclass(frozen=True)
class Measure:
    """
    One metric of one kind of scan over the sessions of a study.

    Parameters
    ----------
    scan
        Entities and suffix without subject and session, such as ``task-rest_bold``.
    metric, unit, threshold
        As the quality stage names them.
    values, z
        Value and robust z by session key. A session without a number is absent; z
        is empty for fewer than `ENOUGH_SESSIONS` values.
    verdicts, reasons
        What the quality stage said, by session key.
    """

    scan: str
    metric: str
    unit: str
    threshold: str
    values: Mapping[str, float]
    z: Mapping[str, float]
    verdicts: Mapping[str, str]
    reasons: Mapping[str, str]

    @property
    def worst_z(self) -> float:
        """The largest absolute robust z, 0 without one."""
        return max((abs(z) for z in self.z.values()), default=0.0)


@dataclass(frozen=True)
class StudyTables:
    """
    The catalog of a study.

    Parameters
    ----------
    sessions, series
        Rows of the tables of these names, in order of the session key.
    measures
        One for each metric and kind of scan, by scan and metric.
    variants, deviations
        Rows of the tables of these names: how scans were acquired, what stands out.
    app_measures
        What BIDS Apps measured, one for each number; the app stands for the scan.
    """

    sessions: tuple[Row, ...]
    series: tuple[Row, ...]
    measures: tuple[Measure, ...]
    variants: tuple[Row, ...] = ()
    deviations: tuple[Row, ...] = ()
    app_measures: tuple[Measure, ...] = ()


def read_study(folder: Path) -> StudyTables:
    """
    Read the tables of a study (Parquet) from the catalog's folder.

    Raises
    ------
    MissingInput
        The table of sessions is absent; all others may be.
    """
    if not (folder / "sessions.parquet").is_file():
        raise MissingInput(
            "The catalog has no table of sessions.",
            fix="Materialize catalog before study_report.",
        )
    sessions = sorted(_read(folder, "sessions"), key=lambda r: str(r["session_key"]))
    series = sorted(
        _read(folder, "series"),
        key=lambda r: (str(r["session_key"]), int(r.get("series_number") or 0)),
    )
    measures = tuple(gather_measures(_read(folder, "metrics")))
    return StudyTables(
        tuple(sessions),
        tuple(series),
        measures,
        variants=tuple(_read(folder, "variants")),
        deviations=tuple(_read(folder, "deviations")),
        app_measures=tuple(gather_app_measures(sessions)),
    )


def gather_measures(rows: Iterable[Row]) -> Iterator[Measure]:
    """
    Yield one `Measure` for each scan and metric, in their order.

    Of a metric that a session has twice on the same kind of scan, the last counts.
    NaN and None are left out.
    """
    grouped: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        grouped[without_session(str(row["scan"])), str(row["metric"])].append(row)
    for (scan, metric), own in sorted(grouped.items()):
        values = {
            str(row["session_key"]): float(row["value"])
            for row in own
            if row.get("value") is not None and np.isfinite(row["value"])
        }
        yield Measure(
            scan=scan,
            metric=metric,
            unit=_first_text(own, "unit"),
            threshold=_first_text(own, "threshold"),
            values=values,
            z=robust_z(values),
            verdicts={str(r["session_key"]): str(r.get("verdict") or "") for r in own},
            reasons={str(r["session_key"]): str(r.get("reason") or "") for r in own},
        )


def gather_app_measures(sessions: Sequence[Row]) -> Iterator[Measure]:
    """Yield one `Measure` for each column ``<app>.<metric>`` of the sessions."""
    names = sorted(name for name in (sessions[0] if sessions else ()) if "." in name)
    for name in names:
        values = {
            str(row["session_key"]): float(row[name])
            for row in sessions
            if row.get(name) is not None
        }
        app, _, metric = name.partition(".")
        yield Measure(app, metric, "", "", values, robust_z(values), {}, {})


def robust_z(values: Mapping[str, float]) -> dict[str, float]:
    """
    Return `catalog.spread.robust_z` by session; empty for fewer than four.

    Examples
    --------
    >>> robust_z({"a": 1.0, "b": 2.0, "c": 3.0, "d": 100.0})["b"]
    -0.3372453797382976
    """
    if len(values) < ENOUGH_SESSIONS:
        return {}
    return dict(zip(values, spread.robust_z(list(values.values())), strict=True))


def rank_of(measure: Measure, key: str) -> int:
    """
    Return the share of the other sessions whose value is lower, in percent.

    Of equal values half count as lower.

    Examples
    --------
    >>> values = {"a": 1.0, "b": 2.0, "c": 3.0}
    >>> measure = Measure("T1w", "cjv", "", "", values, {}, {}, {})
    >>> [rank_of(measure, key) for key in values]
    [0, 50, 100]
    """
    own = measure.values[key]
    others = [value for other, value in measure.values.items() if other != key]
    if not others:
        return 50
    lower = sum((v < own) + 0.5 * (v == own) for v in others)
    return round(100 * lower / len(others))


def short_key(session_key: str) -> str:
    """
    Return subject and session without their prefixes, for labels in figures.

    Examples
    --------
    >>> short_key("sub-01_ses-2")
    '01/2'
    """
    return session_key.replace("sub-", "").replace("_ses-", "/")


def links_of(tables: StudyTables) -> dict[str, str]:
    """Return the relative address of each session's page that has one."""
    return {
        str(row["session_key"]): str(row["report"])
        for row in tables.sessions
        if row.get("report")
    }


def link_to(key: str, address: str) -> Html:
    """Return a session's short name, linked when `address` is not empty."""
    text = escape(short_key(key))
    return Html(f'<a href="{escape(address)}">{text}</a>' if address else text)


def _first_text(rows: Sequence[Row], name: str) -> str:
    texts = (str(row.get(name) or "") for row in rows)
    return next((text for text in texts if text not in ("", "n/a")), "")


def _read(folder: Path, name: str) -> list[Row]:
    import pyarrow.parquet

    path = folder / f"{name}.parquet"
    return pyarrow.parquet.read_table(path).to_pylist() if path.is_file() else []
