"""Numbers that BIDS Apps measured, as columns of the table of sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imaging_platform.model.ids import SessionKey
from imaging_platform.provenance.record import Record


@dataclass(frozen=True)
class AppResult:
    """
    One published tree of an app.

    Parameters
    ----------
    app, version
        The app.
    label
        Session key, ``sub-<label>``, or empty for a tree of the whole study.
    record
        Its report holds ``metrics``.
    """

    app: str
    version: str
    label: str
    record: Record


@dataclass(frozen=True)
class AppColumn:
    """
    One number of an app over the sessions of a study.

    Parameters
    ----------
    app, version
        What measured it.
    file, metric
        Name of the file without labels, such as ``T1w``, and of the number in it.
    values
        By session key; a session without the number is absent.
    """

    app: str
    version: str
    file: str
    metric: str
    values: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name of the column, such as ``mriqc.T1w_cjv``."""
        return f"{self.app}.{'_'.join(filter(None, (self.file, self.metric)))}"

    @property
    def description(self) -> dict[str, str]:
        """Return what a data dictionary says of it."""
        of = f" of {self.file}" if self.file else ""
        return {
            "Description": f"{self.metric}{of}, as {self.app} {self.version} has it.",
            "App": self.app,
            "AppVersion": self.version,
            "File": self.file,
            "Metric": self.metric,
        }


def gather_columns(
    results: Iterable[AppResult], sessions: Iterable[str]
) -> list[AppColumn]:
    """
    Return the numbers of apps by column, sorted by name.

    A number is of the session that its file or its row of a table names. One of a
    subject stands in each of its sessions; one that names no subject in none.

    Parameters
    ----------
    results
        What apps have published.
    sessions
        Session keys of the study.
    """
    keys = [SessionKey.parse(text) for text in sorted(sessions)]
    columns: dict[str, AppColumn] = {}
    for result in results:
        for name, value in result.record.report.get("metrics", {}).items():
            subject, session, file, metric = _read_name(result.label, name)
            column = AppColumn(result.app, result.version, file, metric)
            own = columns.setdefault(column.name, column)
            for key in keys:
                if key.subject == subject and session in ("", key.session):
                    own.values[str(key)] = value
    return [columns[name] for name in sorted(columns) if columns[name].values]


def describe_columns(columns: Iterable[AppColumn]) -> Mapping[str, dict[str, str]]:
    """Return the data dictionary of these columns."""
    return {column.name: column.description for column in columns}


def _read_name(label: str, name: str) -> tuple[str, str, str, str]:
    """
    Return subject, session, file and metric of a number of an app.

    Examples
    --------
    >>> _read_name("sub-01", "ses-2_T1w cjv")
    ('01', '2', 'T1w', 'cjv')
    """
    stem, _, metric = name.partition(" ")
    labels: dict[str, str] = {}
    others = []
    for part in [*label.split("_"), *stem.split("_")]:
        entity, _, value = part.partition("-")
        if entity in ("sub", "ses"):
            labels.setdefault(entity, value)
        elif part:
            others.append(part)
    where = labels.get("sub", ""), labels.get("ses", "")
    return *where, "_".join(others), metric.replace(" ", "_")
