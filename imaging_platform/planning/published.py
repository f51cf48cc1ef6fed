"""A plan as a table for programs, and as rows of reasons for people."""

from __future__ import annotations

from pathlib import Path

from imaging_platform.planning.plan import Plan
from imaging_platform.planning.reasons import join_sentences

COLUMNS = ("asset", "state", "reason", "results", "why")


def write_plan(plan: Plan, folder: Path) -> None:
    """
    Write ``plan.parquet``, a row a result.

    Costs are measured and differ from time to time, so they are not in it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "asset": cell.asset,
            "session": cell.partition,
            "state": str(cell.state),
            "failure": cell.failure,
            "kinds": ", ".join(dict.fromkeys(r.kind for r in cell.reasons)),
            "why": cell.note or join_sentences(cell.reasons),
        }
        for cell in plan.cells
    ]
    names = ("asset", "session", "state", "failure", "kinds", "why")
    schema = pa.schema([(name, pa.string()) for name in names])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "plan.parquet")


RELEASE_COLUMNS = ("release", "state", "sessions", "changed since")


def list_releases(plan: Plan) -> list[tuple[object, ...]]:
    """Return a row a release, in the order of `RELEASE_COLUMNS`."""
    return [(r.version, r.state, r.n_sessions, r.since or "-") for r in plan.releases]


def list_reasons(plan: Plan) -> list[tuple[object, ...]]:
    """Return a row a reason, in the order of `COLUMNS`."""
    return [(g.asset, g.state_name, g.kinds, g.n_results, g.why) for g in plan.group()]


ACCEPTED_COLUMNS = ("asset", "session", "who and why")


def list_accepted(plan: Plan) -> list[tuple[object, ...]]:
    """Return a row an accepted result, in the order of `ACCEPTED_COLUMNS`."""
    return [(cell.asset, cell.where, cell.note) for cell in plan.accepted]
