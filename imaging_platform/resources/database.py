"""Dagster's own database, as the survey asks it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

from imaging_platform.survey.database import Connection, Database

if TYPE_CHECKING:
    import dagster as dg
    import sqlalchemy


def find_database(instance: dg.DagsterInstance) -> Database:
    """Return where an instance keeps what happened; it stays the instance's."""
    events = cast(SqlEventLogStorage, instance.event_log_storage)
    runs = cast(SqlRunStorage, instance.run_storage)
    return Database(
        lambda: _lend(events.index_connection()),
        lambda: _lend(runs.connect()),
        lambda run_id: _lend(events.run_connection(run_id)),
    )


@contextlib.contextmanager
def _lend(
    opening: AbstractContextManager[sqlalchemy.Connection],
) -> Iterator[Connection]:
    with opening as connection:
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        yield Connection(connection.connection.dbapi_connection, mark)
