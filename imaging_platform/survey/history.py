"""What Dagster's event log says was made, read in bulk."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic_core import from_json

from imaging_platform.pipeline.names import BYTES, CPU_S, DROP_INDEX
from imaging_platform.planning.cost import Cost, measure
from imaging_platform.planning.state import Made
from imaging_platform.survey.database import Database, marks
from imaging_platform.survey.event_log import MADE, EventLog, asset_key, open_log

CHUNK = 1000
MEASURED = 50
"""How many of the latest materializations an estimate rests on."""

Item = TypeVar("Item")


def read_made(
    database: Database,
    study: str,
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
    return read_makings(database, study, [asset], partitions)[asset]


def read_makings(
    database: Database,
    study: str,
    assets: Iterable[str],
    partitions: Sequence[str] | None = None,
) -> dict[str, dict[str | None, Made]]:
    """Return the same as `read_made` for each of many assets."""
    with open_log(database, study) as log:
        return {asset: _read_latest(log, asset, partitions) for asset in assets}


def read_past(log: EventLog, asset: str, partition: str) -> Iterator[tuple[Made, str]]:
    """
    Yield each materialization of a result and its run, newest first.

    Parameters
    ----------
    partition
        Session key; empty for what spans all sessions.

    Yields
    ------
    tuple
        The run is empty for what was told without one.
    """
    told = log.is_told(asset, MADE)
    text, values = told.text, told.values
    if partition:
        text, values = f"{text} AND partition = ?", (*values, partition)
    rows = log.connection.ask(
        f"SELECT event, run_id FROM event_logs WHERE {text} ORDER BY id DESC", values
    )
    return ((_read_event(_parse(event)), run_id) for event, run_id in rows)


def read_members(
    database: Database, study: str, session: str | None = None
) -> dict[str, str]:
    """
    Return the newest members digest of each session that was ever indexed.

    Parameters
    ----------
    session
        Only of this one; of all when None.
    """
    members = dict[str, str]()
    question = (
        "SELECT id FROM event_logs WHERE asset_key = ? AND dagster_event_type = ?"
    )
    values = [asset_key(study, DROP_INDEX), MADE]
    if session is not None:
        question += " AND event LIKE ?"
        values.append(f'%"{session}"%')
    with open_log(database, study) as log:
        ids = list(log.connection.ask(f"{question} ORDER BY id DESC", values))
        for chunk in chunks(each for (each,) in ids):
            newest_first = log.connection.ask(
                f"SELECT event FROM event_logs WHERE id IN ({marks(chunk)}) "
                "ORDER BY id DESC",
                chunk,
            )
            for (text,) in newest_first:
                sessions = _metadata(_parse(text)).get("sessions", {})
                for key, digest in sessions.items():
                    members.setdefault(key, digest)
    # A session without a digest lost its last file.
    return {
        key: digest
        for key, digest in members.items()
        if digest and session in (None, key)
    }


def read_costs(
    database: Database, study: str, assets: Iterable[str]
) -> dict[str, Cost]:
    """Return what the latest materializations of each of these assets cost."""
    with open_log(database, study) as log:
        return {asset: _read_cost(log, asset) for asset in assets}


def _read_cost(log: EventLog, asset: str) -> Cost:
    told = log.is_told(asset, MADE)
    latest = log.connection.ask(
        f"SELECT event FROM event_logs WHERE {told.text} ORDER BY id DESC LIMIT ?",
        (*told.values, MEASURED),
    )
    costs = [_metadata(_parse(text)) for (text,) in latest]
    cpu_s = [float(each[CPU_S]) for each in costs if CPU_S in each]
    n_bytes = [int(each[BYTES]) for each in costs if BYTES in each]
    return measure(cpu_s, n_bytes)


def chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """Yield the items in lists that a database takes in one question."""
    rest = iter(items)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


def _read_latest(
    log: EventLog, asset: str, partitions: Sequence[str] | None
) -> dict[str | None, Made]:
    latest = log.latest(asset, partitions, MADE)
    rows = log.connection.ask(
        "SELECT event_logs.partition, event_logs.event FROM event_logs "
        f"JOIN ({latest.text}) AS latest ON event_logs.id = latest.id",
        latest.values,
    )
    made = {partition: _read_event(_parse(text)) for partition, text in rows}
    if len(made) > 1:
        # Told without a partition by a person's hand: of no session.
        made.pop(None, None)
    return made


def parse_event(text: str) -> dict[str, Any]:  # what Dagster wrote, as JSON
    """Return an event of Dagster; its own objects take ten times that."""
    try:
        told = from_json(text)
    except ValueError:
        # Half of a surrogate pair: the quicker parser takes none, Dagster writes it.
        told = json.loads(text)
    return told["dagster_event"]


def _parse(text: str) -> dict[str, Any]:  # see `parse_event`
    """Return what a materialization says."""
    return parse_event(text)["event_specific_data"]["materialization"]


def _read_event(event: Mapping[str, Any]) -> Made:  # see `parse_event`
    tags, metadata = event["tags"] or {}, _metadata(event)
    return Made(
        code_version=tags.get("dagster/code_version", ""),
        data_version=tags.get("dagster/data_version", ""),
        inputs=metadata.get("inputs", {}),
        policy=metadata.get("policy", ""),
    )


def _metadata(event: Mapping[str, Any]) -> dict[str, Any]:  # see `parse_event`
    """Return texts, numbers and JSON by label."""
    values = dict[str, Any]()
    for entry in event["metadata_entries"]:
        data = entry["entry_data"]
        for name in ("data", "text", "value"):
            if data.get(name) is not None:
                values[entry["label"]] = data[name]
                break
    return values
