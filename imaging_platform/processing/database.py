"""Whether the database in which Dagster keeps its events is lost."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_DRIVERS = ("sqlalchemy.exc", "psycopg2", "sqlite3")
"""Modules that ask databases; one that was not imported has asked nothing yet."""


def is_database_loss(error: BaseException) -> bool:
    """Return whether an error, or its cause, is that the database cannot be reached."""
    return _find(error, _DRIVERS) is not None


def explain_loss(error: BaseException) -> tuple[str, str]:
    """
    Return what to tell of a lost database, and what to do.

    The embedded one is a file, which no one can start: its disk is full, or gone.
    """
    again = (
        "call the same command, such as `reprocess` or `process`: it goes on, and what "
        "was published stays."
    )
    of_file = _find(error, ("sqlite3",))
    if of_file is None:
        what = "The database in which Dagster keeps its events does not answer."
        return what, f"Start it again, then {again}"
    what = f"The database in which Dagster keeps its events cannot be used: {of_file}."
    return what, f"Look whether the disk of the home is full, or gone; then {again}"


def _find(error: BaseException, drivers: Sequence[str]) -> BaseException | None:
    """Return the error of a driver that an error is, or was caused by."""
    kinds = tuple(
        kind
        for name in drivers
        if (module := sys.modules.get(name)) is not None
        for kind in (module.OperationalError, module.InterfaceError)
    )
    found: BaseException | None = error
    while found is not None and not isinstance(found, kinds):
        found = found.__cause__ or found.__context__
    return found
