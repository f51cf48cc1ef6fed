"""Whether the database in which Dagster keeps its events is lost."""

from __future__ import annotations

import sys


def is_database_loss(error: BaseException) -> bool:
    """Return whether an error, or its cause, is that the database cannot be reached."""
    module = sys.modules.get("sqlalchemy.exc")
    if module is None:
        # Nothing has asked a database yet.
        return False
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, module.OperationalError | module.InterfaceError):
            return True
        found = found.__cause__ or found.__context__
    return False
