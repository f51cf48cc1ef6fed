"""
Who may read a session: only while its latest de-identification is proved.

Every store asks here on each fetch, so no run, job or person gets around it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from imaging_platform.model import layout
from imaging_platform.model.errors import Held, PlatformError
from imaging_platform.provenance.record import Record
from imaging_platform.storage.store import Store

UNDER_WAY = "its de-identification is under way, or was interrupted"
_FIX = "Materialize anonymized_dicom of this session again, or run `process`."


@contextlib.contextmanager
def attempted(store: Store, key: str) -> Iterator[None]:
    """
    Keep a key from being read until the attempt in this block has published it.

    The hold is written before the work begins, so it stays when the process is
    killed, runs out of memory or fails in any other way. An expected error
    replaces the reason by its own words, which are free of identity.
    """
    store.hold(key, UNDER_WAY)
    try:
        yield
    except PlatformError as error:
        store.hold(key, str(error))
        raise


def refuse_held(key: str, read_hold: Callable[[str], str | None]) -> None:
    """
    Refuse a key that is held, or whose session's de-identification is held.

    Parameters
    ----------
    key
        What is to be fetched.
    read_hold
        Returns the reason of a hold, None when there is none.

    Raises
    ------
    Held
        One of them is held.
    """
    for each in dict.fromkeys((key, layout.guarding(key) or key)):
        reason = read_hold(each)
        if reason is not None:
            raise Held(
                f"{each} is held and cannot be read: {reason}",
                fix="Resolve the reason, then materialize the asset that makes it.",
            )


def refuse_unproved(key: str, record: Record, tree: Path) -> None:
    """
    Refuse de-identified DICOM whose record does not prove it; other keys pass.

    The record must be of this session, say that the guard found nothing, and count
    the files that are there.

    Raises
    ------
    Held
        It is not proved.
    """
    if layout.guarding(key) != key:
        return
    n_files = sum(1 for path in tree.rglob("*.dcm") if path.is_file())
    proofs = {
        "it is not of anonymized_dicom": record.asset == "anonymized_dicom",
        "it is of another session": record.partition == key.split("/")[-1],
        "the guard did not pass it": record.report.get("proved") is True,
        "it has no data version": bool(record.data_version),
        "it counts other files": record.report.get("files_written") == n_files,
    }
    missing = [name for name, holds in proofs.items() if not holds]
    if missing:
        raise Held(
            f"{key} is not proved to be free of identity: by its record, {missing[0]}.",
            fix=_FIX,
        )
