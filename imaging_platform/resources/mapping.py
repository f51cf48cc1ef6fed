"""The mapping table of a study on disk: sealed, replaced in one step, never in part."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from imaging_platform.deid.labels import Labels, LabelSettings
from imaging_platform.deid.mapping import (
    NONCE_BYTES,
    MappingRow,
    PlacedRow,
    check_rows,
    open_table,
    seal_table,
)
from imaging_platform.files.staging import locked
from imaging_platform.files.writing import write_bytes
from imaging_platform.intake.ledger import subjects_of_patients
from imaging_platform.model.layout import Home
from imaging_platform.resources.keys import read_secret


def read_mapping(home: Home, study: str) -> tuple[MappingRow, ...]:
    """
    Return the mapping table of a study; no rows when there is none.

    Raises
    ------
    MissingKey
        The key is refused (`read_secret`), or does not open the table.
    """
    return _read(home, study, read_secret(home, study))


def change_mapping(
    home: Home,
    study: str,
    change: Callable[[Sequence[MappingRow]], list[PlacedRow]],
    *,
    announce: Callable[[], None],
) -> int:
    """
    Replace the mapping table of a study, and return how many rows it has now.

    Another process that changes it waits; one that reads sees the old table or the
    new one. The file is encrypted and readable by its owner only.

    Parameters
    ----------
    home, study
        Whose table it is.
    change
        Returns the new table for the present one, with where each row stands.
    announce
        Called when the new table is proved, before it is written.

    Raises
    ------
    MissingKey
        As `read_mapping`.
    BadInput
        The new table cannot hold together; the old one stays (`check_rows`).
    """
    secret = read_secret(home, study)
    file = home.mapping_file(study)
    with locked(file.with_name(f".{file.name}.lock")):
        rows = check_rows(
            change(_read(home, study, secret)),
            secret=secret,
            subjects=subjects_of_patients(home.zone("identified", study)),
        )
        announce()
        sealed = seal_table(
            rows, secret=secret, study=study, nonce=os.urandom(NONCE_BYTES)
        )
        write_bytes(file, sealed, mode=0o600)
    return len(rows)


def read_labels(home: Home, study: str, settings: LabelSettings) -> Labels:
    """
    Return what decides the labels of a study: its key, patterns and mapping table.

    Raises
    ------
    MissingKey
        As `read_mapping`.
    """
    secret = read_secret(home, study)
    return Labels(secret, settings, _read(home, study, secret))


def _read(home: Home, study: str, secret: bytes) -> tuple[MappingRow, ...]:
    file = home.mapping_file(study)
    if not file.exists():
        return ()
    return open_table(file.read_bytes(), secret=secret, study=study)
