"""Sections of the study report; each cell of the notebook shows one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from imaging_platform.reporting.markup import (
    Html,
    badge,
    details,
    escape,
    figures_row,
    join,
    known_verdict,
    sentence,
    table,
    words,
)
from imaging_platform.reporting.results import record
from imaging_platform.reporting.study_inputs import (
    Row,
    StudyTables,
    link_to,
    links_of,
    without_session,
)
from imaging_platform.reporting.study_sheet import say_ranks

MOST_ROWS = 40
"""Rows of a table before what needs no attention is folded away."""


def show_header(tables: StudyTables, study: str, title: str) -> Html:
    """Return title and headline numbers of a study."""
    verdicts = Counter(known_verdict(row.get("verdict")) for row in tables.sessions)
    subjects = {row["subject"] for row in tables.sessions}
    not_named = sum(
        row["outcome"] not in ("converted", "excluded") for row in tables.series
    )
    for verdict, count in sorted(verdicts.items()):
        record(f"n_{verdict}", count)
    record("n_sessions", len(tables.sessions))
    record("n_subjects", len(subjects))
    head = f"<header><h1>{escape(title or study)}</h1>"
    where = f'<p class="where">Study {escape(study)}</p></header>'
    items = [
        (str(len(subjects)), "subjects"),
        (str(len(tables.sessions)), "sessions"),
        *(
            (str(verdicts[v]), word)
            for v, word in _VERDICT_TITLES.items()
            if verdicts[v]
        ),
        (str(len(tables.series)), "series"),
        (str(not_named), "series without a place"),
    ]
    return Html(head + where) + figures_row(items)


def show_sessions(tables: StudyTables) -> Html:
    """
    Return each session with its verdict, worst first, linked to its own report.

    Where it stands in what differs most is told in percent of the other sessions
    that have a lower value.
    """
    if not tables.sessions:
        return sentence("This study has no session yet.")
    order = {"fail": 0, "look": 1, "none": 2, "pass": 3}
    rows = sorted(tables.sessions, key=lambda r: order[known_verdict(r.get("verdict"))])
    passed = [row for row in rows if known_verdict(row.get("verdict")) == "pass"]
    if len(passed) <= MOST_ROWS:
        return _session_table(tables, rows)
    rest = _session_table(tables, rows[: len(rows) - len(passed)])
    return rest + Html(f"<h3>{len(passed)} sessions pass</h3>") + _session_grid(passed)


def _session_table(tables: StudyTables, rows: Sequence[Row]) -> Html:
    if not rows:
        return Html("")
    body = [
        (
            _anchored(row),
            Html(badge(row.get("verdict"))),
            str(row.get("n_series", "")),
            str(row.get("n_instances", "")),
            say_ranks(tables, str(row["session_key"])),
            _own_words(row),
        )
        for row in rows
    ]
    head = ["Session", "Verdict", "Series", "Instances", "Percentile", "Reasons"]
    return table(head, body, numeric=(2, 3), kind="sessions")


def _own_words(row: Row) -> str:
    """Return why a session is judged so, without its own name in each scan's."""
    return str(row.get("reasons") or "").replace(f"{row['session_key']}_", "")


def _anchored(row: Row) -> Html:
    """Return a session's name, linked to its report, which links back to here."""
    key = str(row["session_key"])
    link = link_to(key, str(row.get("report") or "")).markup
    return Html(f'<span id="{escape(key)}">{link}</span>')


def _session_grid(rows: Sequence[Row]) -> Html:
    cells = "".join(f"<li>{_anchored(row).markup}</li>" for row in rows)
    return Html(f'<ul class="grid">{cells}</ul>')


def show_exclusions(tables: StudyTables) -> Html:
    """Return which sessions failed and which series got no BIDS name, each with why."""
    failed = [r for r in tables.sessions if known_verdict(r.get("verdict")) == "fail"]
    record("n_excluded_sessions", len(failed))
    pieces = [
        table(
            ["Session", "Why"],
            [(str(r["session_key"]), _own_words(r)) for r in failed],
            kind="sessions",
            caption="Sessions that failed",
        )
        if failed
        else sentence("No session failed.")
    ]
    left_out = Counter(
        (str(r["outcome"]), str(r.get("description") or ""), str(r.get("why") or ""))
        for r in tables.series
        if r["outcome"] != "converted"
    )
    if left_out:
        rows = [
            (outcome, description, str(count), why)
            for (outcome, description, why), count in sorted(
                left_out.items(),
                key=lambda item: (_rank(item[0][0]), -item[1], item[0]),
            )
        ]
        listed = table(
            ["Outcome", "Series", "Sessions", "Why"],
            rows,
            numeric=(2,),
            kind="sessions",
        )
        pieces.append(details(f"Series that were not converted ({len(rows)})", listed))
    return join(pieces)


def show_completeness(tables: StudyTables) -> Html:
    """
    Return session by kind of scan: how many there are, and which are missing.

    A kind is expected when at least half of the sessions have it.
    """
    counts: dict[str, Counter[str]] = {
        str(row["session_key"]): Counter() for row in tables.sessions
    }
    for row in tables.series:
        if row["outcome"] == "converted":
            counts.setdefault(str(row["session_key"]), Counter()).update(_kinds(row))
    kinds = sorted({kind for found in counts.values() for kind in found})
    if not kinds:
        return sentence("No series has been converted.")
    usual = {kind: sum(kind in c for c in counts.values()) for kind in kinds}
    expected = {kind for kind, n in usual.items() if 2 * n >= len(counts)}
    links = links_of(tables)
    whole: list[list[str | Html]] = []
    lacking: list[list[str | Html]] = []
    for key, found in counts.items():
        cells = [_count_cell(found[kind], kind in expected) for kind in kinds]
        lacks = any(kind in expected and not found[kind] for kind in kinds)
        (lacking if lacks else whole).append([link_to(key, links.get(key, "")), *cells])
    record(
        "n_missing_scans",
        sum(not c[kind] for c in counts.values() for kind in expected),
    )
    head = ["Session", *(words(kind) for kind in kinds)]
    if len(whole) <= MOST_ROWS:
        return table(head, [*lacking, *whole], kind="complete")
    shown = table(head, lacking, kind="complete") if lacking else Html("")
    rest = table(head, whole, kind="complete")
    return shown + details(f"{len(whole)} sessions lack nothing", rest, printed=False)


def show_dataset(root: Path) -> Html:
    """
    Return how many files of each datatype the BIDS dataset has, by its pybids index.

    Parameters
    ----------
    root
        Folder of the inputs; ``layout.db`` is looked for in it and one level below.
    """
    found = sorted([*root.glob("layout.db"), *root.glob("*/layout.db")])
    pieces = [_validations(root)]
    if not found:
        return join([*pieces, sentence("The dataset has no pybids index yet.")])
    counts = _count_datatypes(found[0])
    if counts is None:
        return join(
            [*pieces, sentence("The indexed dataset is not where it was indexed.")]
        )
    rows = [(kind, str(n)) for kind, n in sorted(counts.items())]
    return join(
        [*pieces, table(["Datatype", "Images"], rows, numeric=(1,), kind="facts")]
    )


_VERDICT_TITLES = {
    "pass": "sessions pass",
    "look": "sessions to look at",
    "fail": "sessions fail",
    "none": "sessions without verdict",
}


def _count_cell(count: int, expected: bool) -> str | Html:  # private
    if expected and not count:
        return Html('<span class="lacks">missing</span>')
    return str(count or "·")


def _kinds(row: Mapping[str, object]) -> Counter[str]:
    files = [f.strip() for f in str(row.get("files") or "").split(",")]
    images = [f for f in files if f.endswith((".nii.gz", ".nii"))]
    return Counter(_kind(Path(f)) for f in images)


def _kind(file: Path) -> str:
    scan, datatype = without_run(without_session(file.name)), file.parent.name
    return scan if scan == datatype else f"{datatype}_{scan}".lstrip("_")


def without_run(scan: str) -> str:
    """
    Return a scan's name without its run, so that repetitions are counted together.

    Examples
    --------
    >>> without_run("task-rest_run-2_bold")
    'task-rest_bold'
    """
    return "_".join(part for part in scan.split("_") if not part.startswith("run-"))


def _validations(root: Path) -> Html:
    rows = []
    for path in sorted(root.glob("*/validation_*.json")):
        found = json.loads(path.read_bytes())
        errors = len(found.get("errors", ()))
        rows.append(
            (
                path.stem.removeprefix("validation_"),
                str(found.get("files", "")),
                Html(
                    badge(
                        "fail" if errors else "pass",
                        words=f"{errors} error{'' if errors == 1 else 's'}",
                    )
                ),
                ", ".join(map(str, found.get("warnings", ()))) or "none",
            )
        )
    head = ["Dataset", "Files", "BIDS validator", "Kinds of warning"]
    return table(head, rows, numeric=(1,), kind="sessions") if rows else Html("")


def _count_datatypes(database: Path) -> Counter[str] | None:
    """Return images by datatype; None when the dataset has moved away."""
    from bids import BIDSLayout

    try:
        layout = BIDSLayout(database_path=database, validate=False)
    except (ValueError, OSError):
        # Beyond what a notebook may read counts as away, too.
        return None
    images = layout.get(extension=[".nii.gz", ".nii"], return_type="object")
    return Counter(image.get_entities().get("datatype", "other") for image in images)


def _rank(outcome: str) -> int:
    return {"failed": 0, "incomplete": 1, "unknown": 2}.get(outcome, 3)
