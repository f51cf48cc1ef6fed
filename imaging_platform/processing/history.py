"""What Dagster's event log says was made, read in bulk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.planning.state import Made
from imaging_platform.sensors.sessions import read_sessions

PAGE = 1000


def read_made(
    instance: dg.DagsterInstance, scope: Scope, asset: str
) -> dict[str | None, Made]:
    """Return the latest materialization of `asset` by partition (None: has none)."""
    latest: dict[str | None, Made] = {}
    for record in _newest_first(instance, scope.key(asset)):
        materialization = record.asset_materialization
        if materialization is None or record.partition_key in latest:
            continue
        tags = materialization.tags or {}
        inputs = materialization.metadata.get("inputs")
        latest[record.partition_key] = Made(
            code_version=tags.get("dagster/code_version", ""),
            data_version=tags.get("dagster/data_version", ""),
            inputs=cast(Mapping[str, str], inputs.value) if inputs else {},
        )
    return latest


def read_members(instance: dg.DagsterInstance, scope: Scope) -> dict[str, str]:
    """Return the newest members digest of each session that was ever indexed."""
    members: dict[str, str] = {}
    for record in _newest_first(instance, scope.key("drop_index")):
        for key, digest in read_sessions(record).items():
            members.setdefault(key, digest)
    return members


def _newest_first(
    instance: dg.DagsterInstance, key: dg.AssetKey
) -> Iterator[dg.EventLogRecord]:
    cursor = None
    while True:
        page = instance.fetch_materializations(key, limit=PAGE, cursor=cursor)
        yield from page.records
        if not page.has_more:
            return
        cursor = page.cursor
