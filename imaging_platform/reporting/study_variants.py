"""How the scans of a study were acquired, and which stand out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from imaging_platform.reporting.markup import (
    Html,
    details,
    figures_row,
    join,
    scan_words,
    sentence,
    table,
)
from imaging_platform.reporting.results import record
from imaging_platform.reporting.study_inputs import (
    Row,
    StudyTables,
    link_to,
    links_of,
    short_key,
)

MOST_DEVIATIONS = 60
"""Rows of deviations before the rest is folded away."""

MOST_SESSIONS = 6
"""Sessions of a variant that are named; of a larger one the number is enough."""


def show_acquisition(tables: StudyTables) -> Html:
    """Return deviations from the protocol or the majority, then every variant."""
    if not tables.variants:
        return sentence("Nothing is known of how the scans were acquired.")
    kinds = {str(row["scan"]) for row in tables.variants}
    deviating = {str(row["session_key"]) for row in tables.deviations}
    record("n_variants", len(tables.variants))
    record("n_deviating_sessions", len(deviating))
    varied = {str(row["scan"]) for row in tables.variants if int(row["variant"]) > 1}
    return join(
        [
            figures_row(
                [
                    (str(len(kinds)), "kinds of scan"),
                    (str(len(varied)), "acquired in more than one way"),
                    (str(len(deviating)), "sessions that deviate"),
                ]
            ),
            _show_deviations(tables),
            _show_variants(tables),
        ]
    )


def _show_deviations(tables: StudyTables) -> Html:
    if not tables.deviations:
        return sentence("Every scan is as the protocol says, or as most of its kind.")
    links = links_of(tables)
    rows = [
        (
            link_to(key := str(row["session_key"]), links.get(key, "")),
            _scan_of(row),
            str(row["parameter"]),
            str(row["found"]),
            str(row["expected"]),
            str(row["against"]),
        )
        for row in tables.deviations
    ]
    head = ["Session", "Scan", "Parameter", "Found", "Expected", "By"]
    shown = table(head, rows[:MOST_DEVIATIONS], kind="sessions")
    rest = rows[MOST_DEVIATIONS:]
    if not rest:
        return shown
    folded = table(head, rest, kind="sessions")
    return shown + details(f"{len(rest)} more deviations", folded)


def _show_variants(tables: StudyTables) -> Html:
    """Return the kinds with several variants, then those with one, folded."""
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in tables.variants:
        kinds[str(row["scan"])].append(row)
    varied = [row for rows in kinds.values() if len(rows) > 1 for row in rows]
    single = [rows[0] for rows in kinds.values() if len(rows) == 1]
    pieces = []
    if varied:
        pieces += [Html("<h3>Acquired in more than one way</h3>"), _variants(varied)]
    if single:
        listed = _variants(single)
        what = "kind" if len(single) == 1 else "kinds"
        pieces.append(details(f"{len(single)} {what} acquired in one way", listed))
    return join(pieces)


def _variants(rows: Sequence[Row]) -> Html:
    body = [
        (
            str(row["scan"]).replace("/", " ").replace("_", " "),
            str(row["variant"]),
            str(row["n_scans"]),
            _sessions_of(row),
            str(row["differs"]) or _usual(row),
        )
        for row in rows
    ]
    head = ["Scan", "Variant", "Scans", "Sessions", "Parameters"]
    return table(head, body, numeric=(1, 2), kind="sessions")


def _usual(row: Row) -> str:
    """Return the parameters that people compare first, of the most frequent variant."""
    values = json.loads(str(row["parameters"]))
    units = {"RepetitionTime": "s", "EchoTime": "s", "InversionTime": "s"}
    units |= {"FlipAngle": "degrees", "VoxelSize": "mm"}
    said = []
    for name, unit in units.items():
        value = values.get(name)
        if value is not None:
            parts = value if isinstance(value, list) else [value]
            said.append(f"{name} {' x '.join(f'{part:.6g}' for part in parts)} {unit}")
    volumes = values.get("Volumes") or 1
    said += [f"{volumes} volumes"] if volumes > 1 else []
    lead = "The most frequent: " if row["is_dominant"] else "No majority: "
    return lead + ", ".join(said) if said else lead.rstrip(": ")


def _sessions_of(row: Row) -> str:
    named = str(row["session_keys"]).split(", ")
    if len(named) > MOST_SESSIONS:
        return f"{row['n_sessions']} sessions"
    return ", ".join(map(short_key, named))


def _scan_of(row: Row) -> str:
    """Return a scan in words; of one that is missing its kind, datatype included."""
    file = str(row["file"]).rsplit("/", 1)[-1]
    return scan_words(file) if file else str(row["scan"]).replace("/", " ")
