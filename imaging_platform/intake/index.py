"""The header facts of all accepted files of a drop, as one Parquet table."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from imaging_platform.dicom.headers import Header
from imaging_platform.files.digests import digest_json
from imaging_platform.files.writing import write_bytes
from imaging_platform.intake.marks import drops_with, mark_brought, mark_indexed
from imaging_platform.intake.zone import DropFolder, drop_folders, store_path

if TYPE_CHECKING:
    import pyarrow as pa

HEADER_FIELDS = tuple(field.name for field in dataclasses.fields(Header))


@dataclasses.dataclass(frozen=True)
class IndexRow:
    """
    One accepted file of a drop.

    Parameters
    ----------
    arrival
        Number of the arrival that brought it, from 1.
    sha256
        Digest of the content; its place in the store.
    n_bytes
        Size.
    session_key
        Text of the session it belongs to.
    header
        What its header says.
    """

    arrival: int
    sha256: str
    n_bytes: int
    session_key: str
    header: Header = dataclasses.field(repr=False)


def read_index(
    drop: DropFolder, *, session_key: str = "", only_without_pixels: bool = False
) -> tuple[IndexRow, ...]:
    """Return the rows of a drop's index, only those of one session when it is given."""
    if not drop.index.exists():
        return ()
    import pyarrow.parquet as pq

    only: list[tuple[str, str, object]] = []
    if session_key:
        only.append(("session_key", "==", session_key))
    if only_without_pixels:
        only.append(("has_pixels", "==", False))
    table = pq.read_table(drop.index, filters=only or None)
    return tuple(_row_of(record) for record in table.to_pylist())


def write_index(drop: DropFolder, rows: Sequence[IndexRow]) -> None:
    """Replace a drop's index with one rename; the same rows give the same bytes."""
    mark_brought(drop, (row.session_key for row in rows))
    mark_indexed(drop)
    ordered = sorted(rows, key=lambda row: (row.session_key, row.sha256))
    columns: dict[str, list[Any]] = {
        "arrival": [row.arrival for row in ordered],
        "sha256": [row.sha256 for row in ordered],
        "n_bytes": [row.n_bytes for row in ordered],
        "session_key": [row.session_key for row in ordered],
    }
    headers = [row.header for row in ordered]
    _write_parquet(drop.index, {**columns, **_header_columns(headers)})


def read_members(zone: Path, *, session_keys: frozenset[str]) -> dict[str, set[str]]:
    """Return the digests of all accepted files of some sessions, over all drops."""
    import pyarrow.parquet as pq

    members: dict[str, set[str]] = {key: set() for key in session_keys}
    if not session_keys:
        return members
    for drop in drops_with(zone, session_keys):
        if not drop.index.exists():
            continue
        table = pq.read_table(
            drop.index,
            columns=["session_key", "sha256"],
            filters=[("session_key", "in", session_keys)],
        )
        for record in table.to_pylist():
            members[record["session_key"]].add(record["sha256"])
    return members


def count_conflicts(zone: Path, session_key: str) -> int:
    """Return how many images of a session came with several contents."""
    import pyarrow.parquet as pq

    contents: defaultdict[str, set[str]] = defaultdict(set)
    for drop in drops_with(zone, [session_key]):
        if drop.index.exists():
            table = pq.read_table(
                drop.index,
                columns=["sop_uid", "sha256"],
                filters=[
                    ("session_key", "==", session_key),
                    ("has_pixels", "==", True),
                ],
            )
            for row in table.to_pylist():
                contents[row["sop_uid"]].add(row["sha256"])
    return sum(len(digests) > 1 for digests in contents.values())


def find_instances(zone: Path, sop_uids: Iterable[str]) -> frozenset[str]:
    """Return which SOP instances were accepted and lie in the store, newest first."""
    import pyarrow.parquet as pq

    wanted, found = set(sop_uids), set[str]()
    indexes = [drop.index for drop in drop_folders(zone) if drop.index.exists()]
    for index in sorted(indexes, key=lambda path: -path.stat().st_mtime_ns):
        if not wanted:
            break
        only = [("sop_uid", "in", wanted)]
        table = pq.read_table(index, columns=["sop_uid", "sha256"], filters=only)
        found |= {
            record["sop_uid"]
            for record in table.to_pylist()
            if store_path(zone, record["sha256"]).exists()
        }
        wanted -= found
    return frozenset(found)


def read_placed(drop: DropFolder) -> list[tuple[str, str]]:
    """Return digest and session key of each accepted file of a drop."""
    if not drop.index.exists():
        return []
    import pyarrow.parquet as pq

    table = pq.read_table(drop.index, columns=["sha256", "session_key"])
    return [(row["sha256"], row["session_key"]) for row in table.to_pylist()]


def digest_members(digests: Sequence[str] | set[str]) -> str:
    """Return one digest for the members of a session, whatever their order."""
    return digest_json(sorted(digests))


def _header_columns(headers: Sequence[Header]) -> dict[str, list[Any]]:
    """Return a list of values for each field of `Header`, in the given order."""
    # Any: columns are text, integers or booleans.
    return {
        name: [getattr(header, name) for header in headers] for name in HEADER_FIELDS
    }


def _write_parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    """Write equally long columns as a Parquet file with one rename, mode 0640."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(tuple(columns))
    table = pa.table(columns, schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(path, sink.getvalue().to_pybytes(), mode=0o640)


_OWN_TYPES = MappingProxyType({"arrival": "int", "n_bytes": "int"})


def _schema(names: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    kinds = {"int": pa.int64(), "int | None": pa.int64(), "bool": pa.bool_()}
    declared = {**Header.__annotations__, **_OWN_TYPES}
    return pa.schema(
        [(name, kinds.get(declared.get(name, "str"), pa.string())) for name in names]
    )


def _row_of(record: dict[str, Any]) -> IndexRow:
    # An index that an earlier version wrote lacks the fields that came later.
    told = {name: record[name] for name in HEADER_FIELDS if name in record}
    header = Header(**told)
    own = {name: record[name] for name in record if name not in HEADER_FIELDS}
    return IndexRow(**own, header=header)
