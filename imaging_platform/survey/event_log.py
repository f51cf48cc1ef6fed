"""Dagster's event log, asked in bulk over one connection."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imaging_platform.survey.database import Connection, Database, marks

MADE = "ASSET_MATERIALIZATION"
PLANNED = "ASSET_MATERIALIZATION_PLANNED"


@dataclass(frozen=True)
class Clause:
    """
    A part of a question, and the values that its marks stand for.

    Parameters
    ----------
    text
        SQL.
    values
        One for each ``?``.
    """

    text: str
    values: tuple[object, ...]


@dataclass(frozen=True)
class EventLog:
    """
    The events of the assets of a study.

    Dagster's own questions take a connection each and are of one asset; on Postgres
    two hundred of them wait two seconds for connections alone.

    Parameters
    ----------
    connection
        To the database that holds the events of all runs.
    study
        Its name.
    wiped
        When a person wiped what is told of an asset, by key; what is older is void.
    """

    connection: Connection
    study: str
    wiped: Mapping[str, str]

    def is_told(self, asset: str, *kinds: str) -> Clause:
        """Return what holds for the events of these kinds of an asset."""
        key = asset_key(self.study, asset)
        text = f"asset_key = ? AND dagster_event_type IN ({marks(kinds)})"
        if key not in self.wiped:
            return Clause(text, (key, *kinds))
        return Clause(f"{text} AND timestamp > ?", (key, *kinds, self.wiped[key]))

    def latest(
        self, asset: str, partitions: Sequence[str] | None, *kinds: str
    ) -> Clause:
        """
        Return the question for the id of the latest event of each partition.

        Parameters
        ----------
        asset
            Its name.
        partitions
            Only these; all when None, and what has none.
        kinds
            The latest of all these kinds together.
        """
        told = self.is_told(asset, *kinds)
        text, values = f"SELECT max(id) AS id FROM event_logs WHERE {told.text}", ()
        if partitions is not None:
            text += f" AND partition IN ({marks(partitions)})"
            values = tuple(partitions)
        return Clause(f"{text} GROUP BY partition", (*told.values, *values))


def asset_key(study: str, asset: str) -> str:
    """Return the key of an asset as Dagster writes it into its tables."""
    return json.dumps([study, asset])


@contextlib.contextmanager
def open_log(database: Database, study: str) -> Iterator[EventLog]:
    """Give the event log of a study for some questions, one after the other."""
    with database.events() as connection:
        yield EventLog(connection, study, _read_wiped(connection))


def _read_wiped(connection: Connection) -> dict[str, str]:
    """Return when each asset was wiped, as `event_logs` writes times: UTC, no zone."""
    rows = connection.ask(
        "SELECT asset_key, asset_details FROM asset_keys "
        "WHERE asset_details IS NOT NULL"
    )
    found = {key: json.loads(text).get("last_wipe_timestamp") for key, text in rows}
    return {
        key: datetime.datetime.fromtimestamp(wiped_s, datetime.UTC)
        .replace(tzinfo=None)
        .isoformat(" ", "microseconds")
        for key, wiped_s in found.items()
        if wiped_s
    }
