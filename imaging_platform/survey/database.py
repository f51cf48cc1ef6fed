"""The database in which Dagster keeps events and runs, asked in plain SQL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging_platform.model.errors import BadConfig
from imaging_platform.model.layout import Home
from imaging_platform.settings import fill_in, read_yaml

BUSY_S = 30
"""How long a question waits for who writes."""

POSTGRES_PORT = 5432
_OUTDATED = ("42P01", "42703")
"""What Postgres says of a table, or a column, that is not there."""

_NOT_WRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says where it may make no file beside the database."""

_FOREIGN = frozenset(
    {
        "event_log_storage",
        "instance_class",
        "local_artifact_storage",
        "run_storage",
        "schedule_storage",
    }
)
"""Keys of ``dagster.yaml`` that put events or runs elsewhere, as only Dagster knows."""

_OF_POSTGRES = {
    "hostname": "host",
    "port": "port",
    "username": "user",
    "password": "password",
    "db_name": "dbname",
}
"""What Dagster calls the address of a database, and what Postgres calls it."""


@dataclass(frozen=True)
class Connection:
    """
    A connection, whichever module of Python made it (PEP 249).

    Parameters
    ----------
    raw
        The connection.
    mark
        What stands for a value in its questions.
    """

    raw: Any  # of any module
    mark: str = "?"

    def ask(
        self, question: str, values: Sequence[object] = ()
    ) -> Iterator[tuple[Any, ...]]:  # whatever the columns hold
        """
        Return the rows that answer a question.

        Parameters
        ----------
        question
            In SQL, with ``?`` for each value; nothing else in it is a ``?``.
        values
            Are never written into the question.

        Raises
        ------
        BadConfig
            The tables are those of another version of Dagster.
        """
        cursor = self.raw.cursor()
        try:
            cursor.execute(question.replace("?", self.mark), tuple(values))
        except (self.raw.ProgrammingError, self.raw.OperationalError) as error:
            if not _is_outdated(error):
                raise
            raise BadConfig(
                "The database in which Dagster keeps its events has the tables of "
                "another version of Dagster.",
                fix="Bring it up to date, with DAGSTER_HOME set to the folder "
                "`dagster` of the home: dagster instance migrate",
            ) from None
        return iter(cursor)


def marks(values: Sequence[object]) -> str:
    """Return the places of values in a question, as ``?, ?``."""
    return ", ".join("?" for _ in values)


Open = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True)
class Database:
    """
    Where Dagster keeps what happened.

    Parameters
    ----------
    events
        Opens the events of assets, of all runs, and the partitions.
    runs
        Opens the runs and their tags.
    run_log
        Opens all events of one run; None where they were removed.
    """

    events: Open
    runs: Open
    run_log: Callable[[str], AbstractContextManager[Connection | None]]


@contextlib.contextmanager
def open_known(home: Home) -> Iterator[Database | None]:
    """
    Give the database of a home, read only, without a line of Dagster.

    It is None where only Dagster knows what there is: where its settings name
    another storage, and where it has made nothing yet.
    """
    settings = read_yaml((home.dagster / "dagster.yaml").read_text("utf-8")) or {}
    if not isinstance(settings, Mapping) or not _FOREIGN.isdisjoint(settings):
        yield None
    elif settings.get("storage") is None:
        with _open_sqlite(home) as database:
            yield database
    else:
        with _open_postgres(_find_address(settings["storage"])) as database:
            yield database


@contextlib.contextmanager
def _open_sqlite(home: Home) -> Iterator[Database | None]:
    if not (home.event_index.exists() and home.run_index.exists()):
        yield None
        return
    with (
        contextlib.closing(_connect(home.event_index)) as events,
        contextlib.closing(_connect(home.run_index)) as runs,
    ):
        yield Database(
            lambda: nullcontext(Connection(events)),
            lambda: nullcontext(Connection(runs)),
            lambda run_id: _open_log(home, run_id),
        )


@contextlib.contextmanager
def _open_log(home: Home, run_id: str) -> Iterator[Connection | None]:
    file = home.run_log(run_id)
    if not file.exists():
        yield None
        return
    with contextlib.closing(_connect(file)) as log:
        yield Connection(log)


def _connect(file: Path) -> sqlite3.Connection:
    uri = f"{file.as_uri()}?mode=ro"
    raw = sqlite3.connect(uri, uri=True, timeout=BUSY_S)
    try:
        raw.execute("SELECT 1 FROM sqlite_master")
    except sqlite3.OperationalError as error:
        raw.close()
        log = file.with_name(f"{file.name}-wal")
        is_whole = not (log.exists() and log.stat().st_size)
        if error.sqlite_errorcode & 0xFF not in _NOT_WRITABLE or not is_whole:
            raise
        # Readers share a file beside it, which cannot be made in a snapshot or on a
        # disk of others. Without a log nothing is missing (sqlite.org/wal.html).
        raw = sqlite3.connect(f"{uri}&immutable=1", uri=True, timeout=BUSY_S)
    return raw


def _find_address(storage: object) -> dict[str, object] | None:
    """Return where a Postgres is; None when it is said in a way not known here."""
    if not isinstance(storage, Mapping) or set(storage) != {"postgres"}:
        return None
    match storage["postgres"]:
        case {"postgres_url": told, **others} if not others:
            url = fill_in(told)
            is_plain = str(url).startswith(("postgresql://", "postgres://"))
            return {"dsn": url} if is_plain else None
        case {"postgres_db": {**parts}, **others} if not others:
            # Such as `sslmode`; Postgres itself has the same names for them.
            options = parts.pop("params", {})
            if not {*parts} <= {*_OF_POSTGRES} or not isinstance(options, Mapping):
                return None
        case _:
            return None
    told = {_OF_POSTGRES[name]: value for name, value in parts.items()}
    address = {name: fill_in(value) for name, value in {**told, **options}.items()}
    return None if None in address.values() else {"port": POSTGRES_PORT, **address}


@contextlib.contextmanager
def _open_postgres(address: Mapping[str, object] | None) -> Iterator[Database | None]:
    if address is None:
        yield None
        return
    import psycopg2

    # Its only use of a dict is as keyword arguments of the C library.
    with contextlib.closing(psycopg2.connect(**address)) as raw:  # type: ignore[call-overload]
        raw.set_session(readonly=True, autocommit=True)
        connection = Connection(raw, mark="%s")
        ((is_there,),) = connection.ask("SELECT to_regclass('event_logs') IS NOT NULL")
        if not is_there:
            yield None
            return
        yield Database(
            lambda: nullcontext(connection),
            lambda: nullcontext(connection),
            lambda _: nullcontext(connection),
        )


def _is_outdated(error: Exception) -> bool:
    code = getattr(error, "pgcode", None)
    return code in _OUTDATED if code else str(error).startswith("no such ")
