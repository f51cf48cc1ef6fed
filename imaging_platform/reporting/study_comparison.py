"""How the sessions of a study compare: scatter, heat map and strips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imaging_platform.reporting.markup import (
    Html,
    details,
    escape,
    join,
    known_verdict,
    number,
    sentence,
    words,
)
from imaging_platform.reporting.study_charts import (
    Point,
    draw_scatter,
    draw_strip,
    read_limits,
)
from imaging_platform.reporting.study_inputs import (
    ENOUGH_SESSIONS,
    OUTLIER_Z,
    Measure,
    StudyTables,
    link_to,
    links_of,
)

MOST_COLUMNS = 40
"""Columns of the heat map and strips shown at once: what fits a page."""

MOST_ROWS = 40
"""Rows of the heat map before sessions without an outlier are folded away."""

_BINS = (-OUTLIER_Z, -2.0, -1.0, 1.0, 2.0, OUTLIER_Z)
_BIN_NAMES = "abcdefg"
_BIN_WORDS = (
    "▼ below −3.5",
    "−3.5 to −2",
    "−2 to −1",
    "−1 to 1",
    "1 to 2",
    "2 to 3.5",
    "▲ above 3.5",
)


def show_movement(tables: StudyTables) -> Html:
    """Return mean framewise displacement against temporal SNR of each BOLD run."""
    pairs = [
        (moved, steady)
        for moved in tables.measures
        if _is_mean_fd(moved.metric)
        for steady in tables.measures
        if steady.scan == moved.scan and _is_tsnr(steady.metric)
    ]
    if not pairs:
        return sentence("No run has both framewise displacement and temporal SNR.")
    links = links_of(tables)
    pieces = []
    for moved, steady in pairs:
        keys = [key for key in moved.values if key in steady.values]
        far = sorted(
            keys, key=lambda k: -max(moved.z.get(k, 0.0), -steady.z.get(k, 0.0))
        )[:6]
        points = [
            Point(
                key,
                moved.values[key],
                steady.values[key],
                _worse(moved.verdicts.get(key), steady.verdicts.get(key)),
                links.get(key, ""),
                label=len(keys) <= 12 or key in far,
            )
            for key in keys
        ]
        if not points:
            continue
        unit = f" ({moved.unit})" if moved.unit else ""
        pieces.append(Html(f"<h3>{escape(words(moved.scan))}</h3>"))
        pieces.append(
            draw_scatter(
                points,
                (f"Mean framewise displacement{unit}", "Temporal SNR"),
                limits=(read_limits(moved.threshold), read_limits(steady.threshold)),
            )
        )
    return join(pieces) if pieces else sentence("No run has been measured.")


def show_heat_map(tables: StudyTables) -> Html:
    """
    Return session by metric as robust z: where a session differs from the others.

    The most deviant session stands on top; an outlier has a sign, not a colour alone.
    """
    measures, left_out = chosen_measures(tables)
    if not any(measure.z for measure in measures):
        return sentence(
            f"A robust z needs {ENOUGH_SESSIONS} sessions; the values stand below."
        )
    links = links_of(tables)
    keys = [str(row["session_key"]) for row in tables.sessions]
    worst = {
        k: max((abs(m.z[k]) for m in measures if k in m.z), default=0.0) for k in keys
    }
    keys.sort(key=lambda k: (-worst[k], k))
    head = "".join(
        f'<th scope="col"><span>{escape(_column(m))}</span></th>' for m in measures
    )
    rows = [
        f'<tr><th scope="row">{link_to(key, links.get(key, "")).markup}</th>'
        + "".join(_heat_cell(measure, key) for measure in measures)
        + "</tr>"
        for key in keys
    ]
    # At least the worst ones, and every session that has an outlier.
    shown = max(MOST_ROWS, sum(worst[key] > OUTLIER_Z for key in keys))
    shown = shown if len(keys) > shown + 10 else len(keys)
    main = _heat_table(head, rows[:shown])
    if rest := rows[shown:]:
        main += details(
            f"{len(rest)} more sessions", _heat_table(head, rest), printed=False
        )
    more = f" {left_out} more metrics are in the catalog." if left_out else ""
    legend = "".join(
        f'<span class="{name}">{escape(text)}</span>'
        for name, text in zip(_BIN_NAMES, _BIN_WORDS, strict=True)
    )
    return (
        Html(
            '<p class="note">Robust z against the median of the study; '
            f"worst session first.{more}</p>"
            f'<p class="legend">{legend}</p>'
        )
        + main
    )


def show_distributions(tables: StudyTables) -> Html:
    """Return one strip a metric: each session a point, outliers named and linked."""
    measures, _ = chosen_measures(tables)
    measures.sort(key=lambda m: (not m.threshold, m.scan, m.metric))
    if not measures:
        return sentence("No metric has been published.")
    links = links_of(tables)
    strips = "".join(draw_strip(measure, links).markup for measure in measures)
    return Html(
        '<p class="note">Dashed: threshold. Thin line: median. '
        "Circle pass, triangle look, square fail.</p>"
        f'<div class="strips">{strips}</div>'
    ) + _show_apps(tables)


def _show_apps(tables: StudyTables) -> Html:
    """Return one strip a number of a BIDS App; nothing when apps measured nothing."""
    measures, left_out = _choose(tables.app_measures)
    if not measures:
        return Html("")
    links = links_of(tables)
    strips = "".join(draw_strip(measure, links).markup for measure in measures)
    more = f" {left_out} more are in the catalog." if left_out else ""
    return Html(
        "<h3>Measured by BIDS Apps</h3>"
        f'<p class="note">Not judged; the widest spread first.{more}</p>'
        f'<div class="strips">{strips}</div>'
    )


def chosen_measures(tables: StudyTables) -> tuple[list[Measure], int]:
    """
    Return the measures to show and how many are left out.

    Those with a threshold come first, then the ones with the largest deviation.
    """
    return _choose(tables.measures)


def _choose(measures: Sequence[Measure]) -> tuple[list[Measure], int]:
    measured = [measure for measure in measures if measure.values]
    ranked = sorted(measured, key=lambda m: (not m.threshold, -m.worst_z))
    kept = ranked[:MOST_COLUMNS]
    kept.sort(key=lambda m: (m.scan, m.metric))
    return kept, len(measured) - len(kept)


def _heat_table(head: str, rows: Sequence[str]) -> Html:
    body = "\n".join(rows)
    return Html(
        f'<div class="wide"><table class="heat"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _heat_cell(measure: Measure, key: str) -> str:
    z = measure.z.get(key)
    if z is None:
        return "<td></td>"
    name = _BIN_NAMES[int(np.searchsorted(_BINS, z, side="right"))]
    if abs(z) <= 2:
        return f"<td class={name}></td>"
    sign = {"a": "▼", "g": "▲"}.get(name, "")
    hint = f"{key} {_column(measure)}: {number(measure.values[key])} (z {z:+.1f})"
    return f'<td class={name} title="{escape(hint)}">{sign}</td>'


def _column(measure: Measure) -> str:
    return f"{words(measure.metric)} · {words(measure.scan)}"


def _worse(*verdicts: str | None) -> str:
    order = ("fail", "look", "pass", "none")
    return min((known_verdict(v) for v in verdicts), key=order.index)


def _is_mean_fd(metric: str) -> bool:
    return metric.lower() in ("fd_mean", "mean_fd", "fd_mean_mm", "mean_fd_mm", "fd")


def _is_tsnr(metric: str) -> bool:
    return metric.lower() in ("tsnr", "tsnr_median", "median_tsnr", "tsnr_mean")
