"""The sessions of a study at a glance: the strangest ones as pictures, and drift."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from imaging_platform.reporting.markup import (
    Html,
    badge,
    data_uri,
    escape,
    join,
    sentence,
    words,
)
from imaging_platform.reporting.study_charts import draw_lines
from imaging_platform.reporting.study_comparison import chosen_measures
from imaging_platform.reporting.study_inputs import (
    Measure,
    StudyTables,
    link_to,
    links_of,
    rank_of,
)
from imaging_platform.reporting.thumbnail import THUMBNAIL

MOST_PICTURES = 20
"""What a page can carry: about 10 kB each."""

MOST_DRIFTS = 6
_MOST_Z = 50.0
"""Above this a z says how equal the others are, no longer how far one is."""


def show_sheet(tables: StudyTables, reports: Path) -> Html:
    """
    Return a picture of each session, the one that differs most first.

    Parameters
    ----------
    tables
        The catalog.
    reports
        Folder with the published report of each session by its key; a session
        without a picture is left out.
    """
    worst: dict[str, tuple[float, str]] = {}
    for measure in tables.measures:
        for key, z in measure.z.items():
            if abs(z) >= worst.get(key, (-1.0, ""))[0]:
                worst[key] = (abs(z), _say(measure, z))
    keys = [str(row["session_key"]) for row in tables.sessions]
    keys.sort(key=lambda key: (-worst.get(key, (0.0, ""))[0], key))
    found = [key for key in keys if (reports / key / THUMBNAIL).is_file()]
    if not found:
        return sentence("No session has a picture yet.")
    links = links_of(tables)
    verdicts = {str(r["session_key"]): r.get("verdict") for r in tables.sessions}
    cells = []
    for key in found[:MOST_PICTURES]:
        picture = (reports / key / THUMBNAIL).read_bytes()
        link = links.get(key, "")
        image = f'<img alt="Slices of {escape(key)}" src="{data_uri(picture)}">'
        image = f'<a href="{escape(link)}">{image}</a>' if link else image
        cells.append(
            f"<figure>{image}<figcaption>{link_to(key, link).markup} "
            f"{badge(verdicts.get(key))} {escape(worst.get(key, (0.0, ''))[1])}"
            "</figcaption></figure>"
        )
    rest = len(found) - MOST_PICTURES
    more = f" {rest} more sessions differ less." if rest > 0 else ""
    return sentence(
        "T1w near the brain, mean BOLD, temporal SNR and FA, as far as they were made; "
        f"the session that differs most from the others first.{more}"
    ) + Html(f'<div class="sheet">{"".join(cells)}</div>')


def show_drift(tables: StudyTables) -> Html:
    """
    Return how each subject's values change from session to session.

    Dates are moved by another number of days for each subject, so that only the
    order within a subject is known here.
    """
    sessions: dict[str, list[str]] = defaultdict(list)
    for row in tables.sessions:
        sessions[str(row["subject"])].append(str(row["session_key"]))
    repeated = {who: keys for who, keys in sessions.items() if len(keys) > 1}
    if not repeated:
        return sentence("No subject has two sessions.")
    chosen, _ = chosen_measures(tables)
    judged = [measure for measure in chosen if measure.threshold] or chosen
    judged.sort(key=lambda m: -m.worst_z)
    drawn = [
        draw_lines(measure, list(repeated.values()), links_of(tables))
        for measure in judged[:MOST_DRIFTS]
    ]
    grid = Html(f'<div class="strips">{join(drawn).markup}</div>')
    return (
        sentence(
            "A line a subject, from its first session to its last; the grey line is "
            "their median. Dates are moved for each subject, so the order of subjects "
            "in time is not known here."
        )
        + grid
    )


def say_ranks(tables: StudyTables, key: str) -> str:
    """Return where a session stands in what differs most, as percentiles."""
    told = [
        (abs(measure.z[key]), measure)
        for measure in tables.measures
        if key in measure.z
    ]
    told.sort(key=lambda each: -each[0])
    ranks = [f"{words(m.metric)} {rank_of(m, key)} %" for _, m in told[:3]]
    return ", ".join(each.replace(" ", "\N{NO-BREAK SPACE}") for each in ranks)


def _say(measure: Measure, z: float) -> str:
    strength = f"{z:+.1f}" if abs(z) < _MOST_Z else f"beyond {_MOST_Z:g}"
    return f"{words(measure.metric)} of {words(measure.scan)}, z {strength}"
