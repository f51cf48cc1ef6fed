"""Whether the database in which Dagster keeps its events is lost."""

from __future__ import annotations

import sys

_DRIVERS = ("sqlalchemy.exc", "psycopg2", "sqlite3")
"""Modules that ask databases; one that was not imported has asked nothing yet."""


def is_database_loss(error: BaseException) -> bool:
    """Return whether an error, or its cause, is that the database cannot be reached."""
    kinds = tuple(
        kind
        for name in _DRIVERS
        if (module := sys.modules.get(name)) is not None
        for kind in (module.OperationalError, module.InterfaceError)
    )
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, kinds):
            return True
        found = found.__cause__ or found.__context__
    return False
