"""``imaging-platform trace`` and ``impact``: back to the scans, forward to results."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from imaging_platform.cli.printing import json_option, print_json, print_table
from imaging_platform.files.writing import write_text
from imaging_platform.intake.origins import read_drop_sessions, read_origins
from imaging_platform.model.errors import BadConfig, BadInput, MissingInput
from imaging_platform.model.ids import SessionKey, parse_drop_id
from imaging_platform.model.layout import TO_BIDS, Home
from imaging_platform.provenance.finding import Found, find_result, find_row
from imaging_platform.provenance.lineage import (
    Lineage,
    Node,
    Origin,
    find_impact,
    trace_back,
)
from imaging_platform.provenance.sources import Files, SourceReader
from imaging_platform.provenance.stamps import digest_origin
from imaging_platform.provenance.trees import (
    Tree,
    read_releases,
    read_tree,
    read_trees,
    sees_originals,
)
from imaging_platform.settings import enter_home, find_home, load_study

MOST_ROWS = 60
"""Above this, the table shows how many results of each asset there are."""

_CHANGED = "The file was changed after it was published; shown is what was published."
_UNSEEN = "You may not read the identified zone: series and drops are left out."

STUDY = click.option("--study", "name", help="Look in this study only.")
HTML = click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    help="Write the graph as one HTML file.",
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """
    What is said of a lineage beside the graph.

    Parameters
    ----------
    study
        The study.
    found_by
        How the start was found (`Found.by`).
    note
        What a reader must know first; empty when there is nothing.
    lineage
        The graph.
    runs
        Run by `Node.id`, as far as Dagster knows it.
    """

    study: str
    found_by: str
    note: str
    lineage: Lineage
    runs: Mapping[str, str]


@click.command()
@click.argument("target")
@STUDY
@click.option("--row", type=int, help="A row of the table TARGET, from 1.")
@HTML
@json_option
def trace(
    target: str, name: str | None, row: int | None, page: Path | None, as_json: bool
) -> None:
    """
    Show what TARGET was made from, back to the series and drops.

    TARGET is a path in the home, a file that left it (figure, page, notebook, table,
    image), or the name of a result, such as motion[sub-01_ses-1].
    """
    home = find_home()
    studies = _studies(home, name)
    found = (
        find_result(home.root, studies, target)
        if row is None
        else find_row(home.root, studies, Path(target), row)
    )
    load_study(home, found.study)
    tree, note = _start(home, found)
    read = functools.cache(functools.partial(_read, home.root, found.study))
    lineage = trace_back(
        tree,
        found.files,
        read=read,
        sources=SourceReader(home.root, found.study),
        origins=_origins(home, found.study, tree.partition),
    )
    runs = _find_runs(home, found.study, lineage)
    if not sees_originals(home.root, found.study):
        note = f"{note} {_UNSEEN}".strip()
    answer = Answer(found.study, found.by, note, lineage, runs)
    _show(answer, f"{tree.id} was made from", page, as_json=as_json)


@click.command()
@click.argument("target")
@STUDY
@click.option("--series", type=int, help="Number of a series of the session TARGET.")
@HTML
@json_option
def impact(
    target: str, name: str | None, series: int | None, page: Path | None, as_json: bool
) -> None:
    """
    Show everything that was made from TARGET.

    TARGET is a session key, a drop, a path in the home, a file that left it, or the
    name of a result, such as motion[sub-01_ses-1].
    """
    home = find_home()
    study, by, starts = _starts(home, _studies(home, name), target, series)
    load_study(home, study)
    # Sessions do not depend on each other but through what spans them all.
    partitions = {each.partition("[")[2].rstrip("]") for each in starts}
    trees = read_trees(home.root, study, partitions) | read_releases(home.root, study)
    known = {each: files for each, files in starts.items() if each in trees}
    if not known:
        raise MissingInput(
            f"Nothing of {target} is published.",
            fix=f"imaging-platform process --study {study}",
        )
    lineage = find_impact(trees, known, SourceReader(home.root, study))
    runs = _find_runs(home, study, lineage)
    answer = Answer(study, by, "", lineage, runs)
    _show(answer, f"Made from {target}", page, as_json=as_json)


def _studies(home: Home, name: str | None) -> list[str]:
    studies = [name] if name else home.studies()
    if not studies:
        raise BadConfig(
            "This home has no study.", fix="imaging-platform study new NAME"
        )
    return studies


def _read(home: Path, study: str, tree: str) -> Tree | None:
    name, _, partition = tree.partition("[")
    return read_tree(home, study, name, partition.rstrip("]"))


def _start(home: Home, found: Found) -> tuple[Tree, str]:
    """Return the result that was found, as it was, and what a reader must know."""
    tree = read_tree(home.root, found.study, found.name, found.partition)
    if tree is None:
        raise MissingInput(
            f"{found.name} of {found.partition or found.study} is not published.",
            fix=f"imaging-platform process --study {found.study}",
        )
    if found.is_changed:
        return tree, _CHANGED
    record, stamp = tree.record, found.stamp
    if stamp is None or stamp.origin == digest_origin(
        record.code_version, record.inputs
    ):
        return tree, ""
    enter_home(home)
    from imaging_platform.processing.plans import open_database
    from imaging_platform.processing.runs import find_stamped

    with open_database(home) as database:
        earlier = find_stamped(database, found.study, stamp)
    if earlier is None:
        note = "It is of an earlier state that nobody knows any more; shown is today's."
        return tree, note
    made, run_id = earlier
    then = dataclasses.replace(
        record,
        code_version=made.code_version,
        data_version=made.data_version,
        inputs=made.inputs,
        software={},
        parameters={},
    )
    note = f"It has been made anew since; shown is the state of then, run {run_id}."
    return dataclasses.replace(tree, record=then), note


def _origins(
    home: Home, study: str, partition: str
) -> Callable[[str], Sequence[Origin]]:
    zone = home.zone("identified", study)
    if partition:
        return lambda key: read_origins(zone, {key}).get(key, ())

    @functools.cache
    def everything() -> dict[str, tuple[Origin, ...]]:
        return read_origins(zone, None)

    return lambda key: everything().get(key, ())


def _starts(
    home: Home, studies: Sequence[str], target: str, series: int | None
) -> tuple[str, str, dict[str, Files]]:
    """Return study, how it was found, and files by `Tree.id` to start from."""
    try:
        key = str(SessionKey.parse(target))
    except BadInput:
        key = ""
    if key:
        return _starts_of_session(home, studies, key, series)
    if series is not None:
        raise BadConfig(
            "A series is one of a session.", fix="Give a session key and --series."
        )
    if target.startswith("drop-"):
        return _starts_of_drop(home, studies, parse_drop_id(target))
    found = find_result(home.root, studies, target)
    tree = read_tree(home.root, found.study, found.name, found.partition)
    return found.study, found.by, {tree.id: found.files} if tree else {}


def _starts_of_session(
    home: Home, studies: Sequence[str], key: str, series: int | None
) -> tuple[str, str, dict[str, Files]]:
    for study in studies:
        for name in TO_BIDS:
            tree = read_tree(home.root, study, name, key)
            if tree is not None and (series is None or name != "bids_session"):
                files = frozenset() if series is None else frozenset({str(series)})
                return study, "session", {tree.id: files}
    raise MissingInput(
        f"There is no {key}, or it has no DICOM and so no series.",
        fix="Take the key from `status` or from the dataset, case and all.",
    )


def _starts_of_drop(
    home: Home, studies: Sequence[str], drop_id: str
) -> tuple[str, str, dict[str, Files]]:
    for study in studies:
        if keys := read_drop_sessions(home.zone("identified", study), drop_id):
            ids = {f"raw_session[{key}]": frozenset[str]() for key in sorted(keys)}
            return study, "drop", ids
    raise MissingInput(
        f"No session came in {drop_id}.",
        fix="Take the name from the partitions shown by Dagster or `status`.",
    )


def _find_runs(home: Home, study: str, lineage: Lineage) -> dict[str, str]:
    enter_home(home)
    from imaging_platform.processing.plans import open_database
    from imaging_platform.processing.runs import find_runs

    with open_database(home) as database:
        return find_runs(database, study, lineage)


def _show(answer: Answer, title: str, page: Path | None, *, as_json: bool) -> None:
    if page is not None:
        from imaging_platform.reporting.lineage_page import render_lineage

        drawn = render_lineage(answer.lineage, title=title, runs=answer.runs)
        write_text(page, drawn)
    if as_json:
        print_json(dataclasses.asdict(answer))
        return
    if answer.note:
        click.echo(answer.note)
    nodes = answer.lineage.nodes
    old = {edge.source for edge in answer.lineage.edges if not edge.is_current}
    if len(nodes) > MOST_ROWS:
        _print_counts(title, nodes, old)
    else:
        _print_nodes(title, nodes, old, answer.runs)
    _print_software(nodes)


def _print_nodes(
    title: str, nodes: Sequence[Node], old: set[str], runs: Mapping[str, str]
) -> None:
    click.echo(title)
    width = max(len(node.id) for node in nodes)
    for node in nodes:
        said = node.details
        facts = [
            str(said.get("data_version", said.get("version", "")))[:12],
            f"code {said['code_version']}" if "code_version" in said else "",
            f"run {runs[node.id]}" if node.id in runs else "",
            _files_of(node),
            "has been made anew since" if node.id in old else "",
        ]
        click.echo(f"  {node.id:<{width}}  {'  '.join(f for f in facts if f)}")
    start = nodes[0].details.get("parameters")
    if start:
        click.echo(f"Parameters of {nodes[0].id}: {json.dumps(start, sort_keys=True)}")


def _files_of(node: Node) -> str:
    if node.kind == "series":
        description = node.details.get("description", "")
        return f"{node.details['files']} files {description}".strip()
    if node.kind == "drop":
        return str(node.details["receipt"])
    if node.kind == "decision":
        return ""
    return (
        node.files[0] if len(node.files) == 1 else f"{len(node.files) or 'all'} files"
    )


def _print_counts(title: str, nodes: Sequence[Node], old: set[str]) -> None:
    counts: dict[str, list[int]] = {}
    for node in nodes:
        name = str(node.details.get("asset", node.kind))
        count = counts.setdefault(name, [0, 0])
        count[0] += 1
        count[1] += node.id in old
    rows = [(name, *count) for name, count in counts.items()]
    print_table(title, ["what", "how many", "made anew since"], rows)
    click.echo("Each of them: --json or --html.")


def _print_software(nodes: Sequence[Node]) -> None:
    told: dict[str, dict[str, Any]] = {}
    for node in nodes:
        software = node.details.get("software") or {}
        if software:
            told[f"{software['version']} {software['revision']}"] = software
    for software in told.values():
        click.echo(
            f"Software: {software['name']} {software['version']}, revision "
            f"{software['revision'][:12]}, Python {software['python']}, "
            f"{software['system']} {software['machine']}, "
            f"{len(software['packages'])} packages (--json)."
        )
