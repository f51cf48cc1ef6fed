"""Which drops brought which series of a session; no word of a header."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

from imaging_platform.intake.marks import drops_with
from imaging_platform.intake.zone import drop_folders
from imaging_platform.provenance.lineage import Origin


def read_origins(
    zone: Path, sessions: set[str] | None
) -> dict[str, tuple[Origin, ...]]:
    """
    Return what brought each of some sessions, by session key.

    Parameters
    ----------
    zone
        The study's identified zone.
    sessions
        Session keys, None for all; those that came in no drop are left out.

    Returns
    -------
    dict
        Empty for a caller who may not read the zone.
    """
    import pyarrow.parquet as pq

    found: defaultdict[str, list[Origin]] = defaultdict(list)
    if not os.access(zone, os.R_OK | os.X_OK):
        return {}
    for drop in drop_folders(zone) if sessions is None else drops_with(zone, sessions):
        if not drop.index.exists():
            continue
        table = pq.read_table(
            drop.index,
            columns=["session_key", "series_number"],
            filters=None if sessions is None else [("session_key", "in", sessions)],
        )
        receipt = drop.receipt.relative_to(zone.parents[1]).as_posix()
        counted = Counter(
            (row["session_key"], row["series_number"]) for row in table.to_pylist()
        )
        for (session, number), n_files in sorted(counted.items(), key=str):
            found[session].append(Origin(drop.drop_id, number, n_files, receipt))
    return {session: tuple(origins) for session, origins in found.items()}


def read_drop_sessions(zone: Path, drop_id: str) -> set[str]:
    """Return the keys of the sessions that a drop brought something of."""
    import pyarrow.parquet as pq

    return {
        key
        for drop in drop_folders(zone)
        if drop.drop_id == drop_id and drop.index.exists()
        for key in pq.read_table(drop.index, columns=["session_key"])
        .column("session_key")
        .unique()
        .to_pylist()
    }
