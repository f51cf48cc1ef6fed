"""What Dagster's event log says was made, read in bulk."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import dagster as dg
import sqlalchemy
from dagster import DagsterEventType
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from pydantic_core import from_json

from imaging_platform.assets.metering import BYTES, CPU_S
from imaging_platform.assets.scope import Scope
from imaging_platform.planning.cost import Cost, measure
from imaging_platform.planning.state import Made
from imaging_platform.survey.event_log import EventLog, open_log

CHUNK = 1000
MEASURED = 50
"""How many of the latest materializations an estimate rests on."""

MADE = DagsterEventType.ASSET_MATERIALIZATION
Item = TypeVar("Item")


def read_made(
    instance: dg.DagsterInstance,
    scope: Scope,
    asset: str,
    partitions: Sequence[str] | None = None,
) -> dict[str | None, Made]:
    """
    Return the latest materialization of `asset` by partition (None: has none).

    Parameters
    ----------
    partitions
        Only these; all when None.
    """
    return read_makings(instance, scope, [asset], partitions)[asset]


def read_makings(
    instance: dg.DagsterInstance,
    scope: Scope,
    assets: Iterable[str],
    partitions: Sequence[str] | None = None,
) -> dict[str, dict[str | None, Made]]:
    """Return the same as `read_made` for each of many assets."""
    with open_log(instance, scope) as log:
        return {asset: _read_latest(log, asset, partitions) for asset in assets}


def read_members(instance: dg.DagsterInstance, scope: Scope) -> dict[str, str]:
    """Return the newest members digest of each session that was ever indexed."""
    members = dict[str, str]()
    of_drops = sqlalchemy.and_(
        Events.c.asset_key == scope.key("drop_index").to_string(),
        Events.c.dagster_event_type == MADE.value,
    )
    query = sqlalchemy.select(Events.c.id).where(of_drops)
    with open_log(instance, scope) as log:
        ids = log.connection.scalars(query.order_by(Events.c.id.desc())).all()
        for chunk in chunks(ids):
            told = sqlalchemy.select(Events.c.event).where(Events.c.id.in_(chunk))
            newest_first = told.order_by(Events.c.id.desc())
            for text in log.connection.scalars(newest_first):
                sessions = _metadata(_parse(text)).get("sessions", {})
                for key, digest in sessions.items():
                    members.setdefault(key, digest)
    # A session without a digest lost its last file.
    return {key: digest for key, digest in members.items() if digest}


def read_costs(
    instance: dg.DagsterInstance, scope: Scope, assets: Iterable[str]
) -> dict[str, Cost]:
    """Return what the latest materializations of each of these assets cost."""
    with open_log(instance, scope) as log:
        return {asset: _read_cost(log, asset) for asset in assets}


def _read_cost(log: EventLog, asset: str) -> Cost:
    query = sqlalchemy.select(Events.c.event).where(log.is_told(asset, MADE))
    latest = query.order_by(Events.c.id.desc()).limit(MEASURED)
    told = [_metadata(_parse(text)) for text in log.connection.scalars(latest)]
    cpu_s = [float(each[CPU_S]) for each in told if CPU_S in each]
    n_bytes = [int(each[BYTES]) for each in told if BYTES in each]
    return measure(cpu_s, n_bytes)


def chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """Yield the items in lists that a database takes in one question."""
    rest = iter(items)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


def _read_latest(
    log: EventLog, asset: str, partitions: Sequence[str] | None
) -> dict[str | None, Made]:
    latest = log.latest(asset, partitions, MADE).subquery()
    query = sqlalchemy.select(Events.c.partition, Events.c.event)
    rows = log.connection.execute(query.join(latest, Events.c.id == latest.c.id))
    made = {partition: _read_event(_parse(text)) for partition, text in rows}
    if len(made) > 1:
        # Told without a partition by a person's hand: of no session.
        made.pop(None, None)
    return made


def _parse(text: str) -> dict[str, Any]:  # what Dagster wrote, as JSON
    """Return what a materialization says; Dagster's own objects take ten times that."""
    try:
        told = from_json(text)
    except ValueError:
        # Half of a surrogate pair: the quicker parser takes none, Dagster writes it.
        told = json.loads(text)
    return told["dagster_event"]["event_specific_data"]["materialization"]


def _read_event(event: Mapping[str, Any]) -> Made:  # see `_parse`
    tags, metadata = event["tags"] or {}, _metadata(event)
    return Made(
        code_version=tags.get("dagster/code_version", ""),
        data_version=tags.get("dagster/data_version", ""),
        inputs=metadata.get("inputs", {}),
        policy=metadata.get("policy", ""),
    )


def _metadata(event: Mapping[str, Any]) -> dict[str, Any]:  # see `_parse`
    """Return texts, numbers and JSON by label."""
    values = dict[str, Any]()
    for entry in event["metadata_entries"]:
        data = entry["entry_data"]
        for name in ("data", "text", "value"):
            if data.get(name) is not None:
                values[entry["label"]] = data[name]
                break
    return values
