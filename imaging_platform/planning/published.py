"""A plan as a table for programs and a page for people."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from imaging_platform.files.writing import write_text
from imaging_platform.planning.plan import Plan
from imaging_platform.planning.reasons import join_sentences

COLUMNS = ("asset", "state", "reason", "results", "why")


def write_plan(plan: Plan, folder: Path) -> None:
    """
    Write ``plan.parquet``, a row a result, and ``plan.html``, a row a reason.

    Costs are measured and differ from time to time, so they are in neither.
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
    write_text(folder / "plan.html", _write_page(plan))


def list_reasons(plan: Plan) -> list[tuple[object, ...]]:
    """Return a row a reason, in the order of `COLUMNS`."""
    return [(g.asset, g.state_name, g.kinds, g.n_results, g.why) for g in plan.group()]


def _write_page(plan: Plan) -> str:
    states = [(state, n) for state, n in plan.count_states().items() if n]
    title = html.escape(f"Plan of {plan.study}")
    frozen = f"<p>The study is {html.escape(plan.frozen)}</p>\n" if plan.frozen else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<h1>{title}</h1>\n{frozen}"
        f"{_table(('state', 'results'), states)}\n"
        f"{_table(COLUMNS, list_reasons(plan))}\n</html>\n"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def line(tag: str, values: Sequence[object]) -> str:
        cells = (f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values)
        return f"<tr>{''.join(cells)}</tr>"

    body = [line("th", columns), *(line("td", row) for row in rows)]
    return "<table>\n" + "\n".join(body) + "\n</table>"
