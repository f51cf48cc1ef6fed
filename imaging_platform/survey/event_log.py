"""Dagster's event log, asked in bulk over one connection."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import dagster as dg
import sqlalchemy
from dagster import DagsterEventType
from dagster._core.assets import AssetDetails
from dagster._core.storage.event_log.schema import AssetKeyTable as Keys
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from imaging_platform.assets.scope import Scope


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
    scope
        The study.
    wiped
        When a person wiped what is told of an asset, by key; what is older is void.
    """

    connection: sqlalchemy.Connection
    scope: Scope
    wiped: Mapping[str, datetime.datetime]

    def is_told(
        self, asset: str, *kinds: DagsterEventType
    ) -> sqlalchemy.ColumnElement[bool]:
        """Return what holds for the events of these kinds of an asset."""
        key = self.scope.key(asset).to_string()
        told = [
            Events.c.asset_key == key,
            Events.c.dagster_event_type.in_([kind.value for kind in kinds]),
        ]
        if key in self.wiped:
            told.append(Events.c.timestamp > self.wiped[key])
        return sqlalchemy.and_(*told)

    def latest(
        self, asset: str, partitions: Sequence[str] | None, *kinds: DagsterEventType
    ) -> sqlalchemy.Select[tuple[int]]:
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
        query = sqlalchemy.select(sqlalchemy.func.max(Events.c.id).label("id"))
        query = query.where(self.is_told(asset, *kinds)).group_by(Events.c.partition)
        if partitions is None:
            return query
        return query.where(Events.c.partition.in_(partitions))


@contextlib.contextmanager
def open_log(instance: dg.DagsterInstance, scope: Scope) -> Iterator[EventLog]:
    """Give the event log of a study for some questions, one after the other."""
    storage = cast(SqlEventLogStorage, instance.event_log_storage)
    with storage.index_connection() as connection:
        yield EventLog(connection, scope, _read_wiped(connection))


def _read_wiped(connection: sqlalchemy.Connection) -> dict[str, datetime.datetime]:
    """Return when each asset was wiped, as `event_logs` writes times: UTC, no zone."""
    query = sqlalchemy.select(Keys.c.asset_key, Keys.c.asset_details)
    rows = connection.execute(query.where(Keys.c.asset_details.is_not(None)))
    details = {key: AssetDetails.from_db_string(text) for key, text in rows}
    return {
        key: datetime.datetime.fromtimestamp(
            one.last_wipe_timestamp, datetime.UTC
        ).replace(tzinfo=None)
        for key, one in details.items()
        if one is not None and one.last_wipe_timestamp
    }
