"""From a result back to the scans, and from scans forward to every result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from imaging_platform.model import layout
from imaging_platform.provenance.sources import Files, SourceReader
from imaging_platform.provenance.trees import Tree, resolve_input

Kind = Literal["result", "series", "drop", "decision"]
WHOLE: Files = frozenset()
"""All files of a result: nothing says which."""


@dataclass(frozen=True)
class Origin:
    """
    Files of one series of a session that one drop brought.

    Parameters
    ----------
    drop_id
        Pseudonymous name of the drop; its receipt stands under it.
    series_number
        As the scanner counted; None for files without one.
    n_files
        How many it brought.
    receipt
        Where the drop's receipt stands, below the home.
    """

    drop_id: str
    series_number: int | None
    n_files: int
    receipt: str


@dataclass(frozen=True)
class Node:
    """
    One result, series, drop or decision.

    Parameters
    ----------
    id
        Unique in the graph, such as ``motion[sub-01_ses-1]``.
    kind
        What it is.
    files
        Which of its files are concerned; empty for all of them.
    details
        What is known of it: versions, parameters, software, counts. No identity.
    """

    id: str
    kind: Kind
    files: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)  # JSON


@dataclass(frozen=True)
class Edge:
    """
    One thing that was made from another.

    Parameters
    ----------
    source, target
        The `Node.id` that was used, and of what was made from it.
    version
        Version of the source that was used.
    is_current
        False when the source has been made anew since.
    """

    source: str
    target: str
    version: str = ""
    is_current: bool = True


@dataclass(frozen=True)
class Lineage:
    """
    A graph of what was made from what.

    Parameters
    ----------
    start
        What was asked about, by `Node.id`.
    nodes
        Nodes in the order in which they were met.
    edges
        Edges between them.
    """

    start: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def trace_back(
    start: Tree,
    files: Files,
    *,
    read: Callable[[str], Tree | None],
    sources: SourceReader,
    origins: Callable[[str], Iterable[Origin]],
) -> Lineage:
    """
    Return all that a result was made from, down to series and drops.

    Parameters
    ----------
    start, files
        The result, and which of its files; empty for all.
    read
        Returns a tree by its `Tree.id`, None when it is not published.
    sources
        Knows which files a file was made from.
    origins
        Returns what brought a session, by session key; nothing when unknown.
    """
    graph = _Graph()
    wanted: deque[tuple[Tree, Files]] = deque([(start, files)])
    while wanted:
        tree, chosen = wanted.popleft()
        if not graph.add_tree(tree, chosen):
            continue
        for name, version in tree.record.inputs.items():
            source_id = resolve_input(tree, name)
            source = read(source_id) if source_id != name or _is_tree(name) else None
            if source is not None:
                used = sources.files_in(tree, chosen, source)
                if used is None:
                    continue
                wanted.append((source, used))
                is_current = version == source.record.data_version
                graph.edges[source.id, tree.id] = (version, is_current)
            elif name != "drop_index":
                graph.add_decision(tree, name, version)
        if tree.name == "raw_session":
            graph.add_origins(tree, sources.series_of(tree), origins(tree.partition))
    return graph.lineage((start.id,))


def find_impact(
    trees: Mapping[str, Tree],
    start: Mapping[str, Files],
    sources: SourceReader,
) -> Lineage:
    """
    Return all that was made from some results, or from some files of them.

    A result that says which files it was made from counts only when it names one
    of them; one that does not say counts.

    Parameters
    ----------
    trees
        Every tree of the study, by `Tree.id`.
    start
        Files by `Tree.id`; empty for all files of that tree.
    sources
        Knows which files a file was made from.
    """
    users: dict[str, list[Tree]] = {}
    for tree in trees.values():
        for name in tree.record.inputs:
            users.setdefault(resolve_input(tree, name), []).append(tree)
    graph = _Graph()
    wanted = deque((trees[each], files) for each, files in start.items())
    while wanted:
        tree, chosen = wanted.popleft()
        if not graph.add_tree(tree, chosen):
            continue
        for user in users.get(tree.id, ()):
            made = sources.files_from(user, tree, chosen)
            if made is None:
                continue
            version = _version_of(user, tree)
            is_current = version == tree.record.data_version
            graph.edges[tree.id, user.id] = (version, is_current)
            wanted.append((user, made))
    return graph.lineage(tuple(start))


class _Graph:
    """A lineage that grows."""

    def __init__(self) -> None:
        self._trees: dict[str, tuple[Tree, Files]] = {}
        self._others: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], tuple[str, bool]] = {}

    def add_tree(self, tree: Tree, files: Files) -> bool:
        """Return whether this says more of a tree than was known."""
        known = self._trees.get(tree.id)
        if known is None:
            self._trees[tree.id] = (tree, files)
            return True
        before = known[1]
        both = WHOLE if WHOLE in (before, files) else before | files
        self._trees[tree.id] = (tree, both)
        return both != before

    def add_decision(self, tree: Tree, name: str, version: str) -> None:
        node = Node(f"{name} of {tree.id}", "decision", details={"version": version})
        self._others[node.id] = node
        self.edges[node.id, tree.id] = (version, True)

    def add_origins(
        self, raw: Tree, described: Mapping[int, str], origins: Iterable[Origin]
    ) -> None:
        _, files = self._trees[raw.id]
        numbers = {int(name) for name in files}
        for origin in origins:
            if numbers and origin.series_number not in numbers:
                continue
            number = origin.series_number
            said = "without number" if number is None else str(number)
            series = f"series {said} of {raw.partition}"
            known = self._others.get(series)
            n_files = origin.n_files + (known.details["files"] if known else 0)
            details = {"files": n_files}
            if number is not None and number in described:
                details["description"] = described[number]
            self._others[series] = Node(series, "series", details=details)
            receipt = {"receipt": origin.receipt}
            self._others[origin.drop_id] = Node(origin.drop_id, "drop", details=receipt)
            self.edges[series, raw.id] = ("", True)
            self.edges[origin.drop_id, series] = ("", True)

    def lineage(self, start: tuple[str, ...]) -> Lineage:
        nodes = [
            Node(tree.id, "result", _name_files(files), describe_tree(tree))
            for tree, files in self._trees.values()
        ]
        edges = [Edge(*pair, *said) for pair, said in self.edges.items()]
        return Lineage(start, (*nodes, *self._others.values()), tuple(edges))


def describe_tree(tree: Tree) -> dict[str, Any]:  # JSON
    """Return what a record says of how a tree was made, without its report."""
    record = tree.record
    return {
        "asset": tree.name,
        "partition": tree.partition,
        "published": tree.key,
        "data_version": record.data_version,
        "code_version": record.code_version,
        "inputs": dict(record.inputs),
        "parameters": dict(record.parameters),
        "tools": {
            name: {"version": version, "digest": record.tool_digests.get(name, "")}
            for name, version in record.tools.items()
        },
        "software": dict(record.software),
    }


def _name_files(files: Files) -> tuple[str, ...]:
    """Return files for people; original and de-identified ones go by series."""
    return tuple(sorted(f"series {f}" if f.isdecimal() else f for f in files))


def _is_tree(name: str) -> bool:
    return name in layout.STUDY_TREES or name.endswith("]")


def _version_of(user: Tree, tree: Tree) -> str:
    inputs = user.record.inputs.items()
    return next((v for name, v in inputs if resolve_input(user, name) == tree.id), "")
