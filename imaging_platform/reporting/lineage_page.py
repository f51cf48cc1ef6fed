"""A lineage as one HTML file that needs nothing else: columns, arrows, facts."""

from __future__ import annotations

import html
import json
from collections import defaultdict
from collections.abc import Mapping

from imaging_platform.provenance.lineage import Edge, Lineage, Node

MOST_NODES = 400
"""Above this, results of one asset are drawn as one box with their number."""

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 230, 46, 70, 16
_COLOURS = {
    "result": "#e0ecf8",
    "series": "#e7f3e3",
    "drop": "#fbeedd",
    "decision": "#f0eaf7",
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 14px/1.45 sans-serif; margin: 1.5rem; color: #111827; }}
svg {{ max-width: none; }}
.scroll {{ overflow-x: auto; }}
text {{ font: 11px sans-serif; }}
summary {{ cursor: pointer; font-weight: 600; }}
pre {{ background: #f3f4f6; padding: .6rem; overflow-x: auto; }}
details {{ margin: .3rem 0; }}
.old {{ color: #b3480b; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{words}</p>
<div class="scroll">{drawing}</div>
<h2>What is known of each</h2>
{facts}
</body>
</html>
"""


def render_lineage(
    lineage: Lineage, *, title: str, runs: Mapping[str, str] | None = None
) -> str:
    """
    Return a page with the graph, from left to right, and the facts of each node.

    A dashed arrow leads from something that has been made anew since. Above
    `MOST_NODES`, the results of one asset share a box.

    Parameters
    ----------
    title
        What was asked.
    runs
        Run by `Node.id`, as far as it is known.
    """
    drawn = lineage if len(lineage.nodes) <= MOST_NODES else _group(lineage)
    columns = _place(drawn)
    old = sum(not edge.is_current for edge in lineage.edges)
    words = f"{len(lineage.nodes)} things, {len(lineage.edges)} steps between them."
    if old:
        words += f" Dashed: {old} of them used what has been made anew since."
    return _PAGE.format(
        title=html.escape(title),
        words=html.escape(words),
        drawing=_draw(drawn, columns),
        facts="\n".join(_tell(node, runs or {}) for node in drawn.nodes),
    )


def _group(lineage: Lineage) -> Lineage:
    """Return one node for all results of an asset, all series, all drops."""
    names = {node.id: _group_of(node) for node in lineage.nodes}
    members: defaultdict[str, list[Node]] = defaultdict(list)
    for node in lineage.nodes:
        members[names[node.id]].append(node)
    nodes = tuple(
        each[0]
        if len(each) == 1
        else Node(name, each[0].kind, details={"results": [node.id for node in each]})
        for name, each in members.items()
    )
    ids = {
        name: each[0].id if len(each) == 1 else name for name, each in members.items()
    }
    edges: dict[tuple[str, str], bool] = {}
    for edge in lineage.edges:
        pair = ids[names[edge.source]], ids[names[edge.target]]
        if pair[0] != pair[1]:
            edges[pair] = edges.get(pair, True) and edge.is_current
    found = tuple(Edge(*pair, is_current=current) for pair, current in edges.items())
    return Lineage(lineage.start, nodes, found)


def _group_of(node: Node) -> str:
    if node.kind == "result":
        return str(node.details["asset"])
    return {"series": "series", "drop": "drops"}.get(
        node.kind, node.id.split(" of ")[0]
    )


def _place(lineage: Lineage) -> dict[str, tuple[int, int]]:
    """Return column and row of each node: everything stands right of what it used."""
    depth = dict.fromkeys((node.id for node in lineage.nodes), 0)
    for _ in lineage.nodes:
        moved = False
        for edge in lineage.edges:
            if depth[edge.target] <= depth[edge.source]:
                depth[edge.target] = depth[edge.source] + 1
                moved = True
        if not moved:
            break
    _move_beside_users(lineage, depth)
    rows: defaultdict[int, int] = defaultdict(int)
    places = {}
    for name, column in depth.items():
        places[name] = column, rows[column]
        rows[column] += 1
    return places


def _move_beside_users(lineage: Lineage, depth: dict[str, int]) -> None:
    """Move what was made from nothing right beside the first that used it."""
    made = {edge.target for edge in lineage.edges}
    users: defaultdict[str, list[int]] = defaultdict(list)
    for edge in lineage.edges:
        users[edge.source].append(depth[edge.target])
    for name, columns in users.items():
        if name not in made:
            depth[name] = min(columns) - 1


def _draw(lineage: Lineage, places: Mapping[str, tuple[int, int]]) -> str:
    width = (max((c for c, _ in places.values()), default=0) + 1) * (_WIDTH + _GAP_X)
    height = (max((r for _, r in places.values()), default=0) + 1) * (_HEIGHT + _GAP_Y)
    parts = [
        f'<svg width="{width}" height="{height}" role="img" '
        'aria-label="What was made from what">'
    ]
    parts += [_draw_edge(edge, places) for edge in lineage.edges]
    parts += [_draw_node(node, places[node.id], lineage) for node in lineage.nodes]
    return "".join([*parts, "</svg>"])


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    column, row = place
    return column * (_WIDTH + _GAP_X), row * (_HEIGHT + _GAP_Y)


def _draw_edge(edge: Edge, places: Mapping[str, tuple[int, int]]) -> str:
    x1, y1 = _corner(places[edge.source])
    x2, y2 = _corner(places[edge.target])
    x1, y1, y2 = x1 + _WIDTH, y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
    middle = (x1 + x2) // 2
    dashes = "" if edge.is_current else ' stroke-dasharray="6 4"'
    colour = "#6b7280" if edge.is_current else "#b3480b"
    return (
        f'<path d="M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}" fill="none" '
        f'stroke="{colour}"{dashes}/>'
    )


def _draw_node(node: Node, place: tuple[int, int], lineage: Lineage) -> str:
    x, y = _corner(place)
    name, _, rest = node.id.partition("[") if "[" in node.id else (node.id, "", "")
    below = rest.rstrip("]")
    if "results" in node.details:
        below = f"{len(node.details['results'])} of them"
    elif node.kind == "series":
        below = str(node.details.get("description", ""))
    elif len(node.files) == 1:
        below = node.files[0].rpartition("/")[2]
    edge = "#111827" if node.id in lineage.start else "#9ca3af"
    return (
        f"<g><title>{html.escape(node.id)}</title>"
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" '
        f'fill="{_COLOURS[node.kind]}" stroke="{edge}"/>'
        f'<text x="{x + 8}" y="{y + 19}">{_short(name)}</text>'
        f'<text x="{x + 8}" y="{y + 36}" fill="#4b5563">{_short(below)}</text></g>'
    )


def _short(text: str) -> str:
    return html.escape(text if len(text) <= 38 else f"{text[:18]}…{text[-18:]}")


def _tell(node: Node, runs: Mapping[str, str]) -> str:
    facts = dict(node.details)
    if node.files:
        facts["files"] = list(node.files)
    if node.id in runs:
        facts["run"] = runs[node.id]
    text = html.escape(json.dumps(facts, indent=2, sort_keys=True))
    return (
        f"<details><summary>{html.escape(node.id)}</summary><pre>{text}</pre></details>"
    )
