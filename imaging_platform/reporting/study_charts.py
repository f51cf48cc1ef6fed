"""Charts of a study as inline SVG: sharp in print, small, linked to the sessions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imaging_platform.reporting.markup import (
    VERDICT_COLOURS,
    Html,
    escape,
    known_verdict,
    number,
    words,
)
from imaging_platform.reporting.study_inputs import OUTLIER_Z, Measure, short_key

STRIP_WIDTH, STRIP_HEIGHT = 340, 116
_DOT = 5.0
_LABELS = 4
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Point:
    """
    One session in a chart.

    Parameters
    ----------
    session_key
        Names the point and gives its label.
    x, y
        Values on the axes.
    verdict
        Decides the shape.
    link
        Address of the session's page; empty for none.
    label
        Whether its name is written beside it.
    """

    session_key: str
    x: float
    y: float
    verdict: str
    link: str
    label: bool


@dataclass(frozen=True)
class Axis:
    """
    A linear axis with round ticks.

    Parameters
    ----------
    low, high
        Values at its ends.
    start, stop
        Pixels of these ends.
    ticks
        Values that carry a number.
    """

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Return the pixel of a value, rounded to a tenth; it stays on the axis."""
        share = (value - self.low) / (self.high - self.low)
        share = min(max(share, 0.0), 1.0)
        return round(self.start + share * (self.stop - self.start), 1)


def make_axis(values: Sequence[float], start: float, stop: float) -> Axis:
    """
    Return an axis that holds all `values`, with about four round ticks.

    Equal values get a range around them; no values get 0 to 1.
    """
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        reach = abs(low) * 0.1 or 1.0
        low, high = low - reach, high + reach
    margin = 0.05 * (high - low)
    low, high = low - (0 if low == 0 else margin), high + margin
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((s * power for s in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough))
    first = math.ceil(low / step)
    last = math.floor(high / step)
    return Axis(
        low,
        high,
        start,
        stop,
        tuple(round(n * step, 12) for n in range(first, last + 1)),
    )


def draw_strip(measure: Measure, links: Mapping[str, str]) -> Html:
    """
    Return one metric over all sessions: a point each, the outliers named and linked.

    Ordinary points that pass are one path, so that a study of many sessions stays
    a small page; every other point has its own shape, name and link.
    """
    limits = read_limits(measure.threshold)
    near = [v for v in limits if _is_near(v, list(measure.values.values()))]
    axis = make_axis([*measure.values.values(), *near], 10, STRIP_WIDTH - 10)
    heights = _swarm({k: axis.place(v) for k, v in measure.values.items()})
    quiet, loud = [], []
    for key, value in measure.values.items():
        x, y = axis.place(value), heights[key]
        z = abs(measure.z.get(key, 0.0))
        verdict = known_verdict(measure.verdicts.get(key))
        if verdict in ("look", "fail") or z > OUTLIER_Z or len(measure.values) <= 12:
            loud.append(Point(key, x, y, verdict, links.get(key, ""), label=False))
        else:
            quiet.append(f"M{x:g} {y:g}h0")
    parts = [
        f'<svg class="strip" viewBox="0 0 {STRIP_WIDTH} {STRIP_HEIGHT}" role="img" '
        f'aria-label="{escape(_name(measure))}">',
        _ticks(axis, STRIP_HEIGHT - 24),
        *(_limit(axis.place(value)) for value in near),
        _median(axis, measure),
        f'<path class="dots" d="{"".join(quiet)}"/>' if quiet else "",
        *(draw_point(p, _hint(p.session_key, measure)) for p in loud),
        *_outlier_names(measure, axis, links),
        "</svg>",
    ]
    return _small(measure, parts)


def draw_lines(
    measure: Measure, subjects: Sequence[Sequence[str]], links: Mapping[str, str]
) -> Html:
    """
    Return one metric over the sessions of each subject, a line each.

    Parameters
    ----------
    measure
        The metric.
    subjects
        Session keys of each subject, in their order.
    links
        Address of each session's page.
    """
    longest = max((len(keys) for keys in subjects), default=1)
    top, bottom = 14.0, STRIP_HEIGHT + 20.0
    near = [
        v
        for v in read_limits(measure.threshold)
        if _is_near(v, list(measure.values.values()))
    ]
    axis = make_axis([*measure.values.values(), *near], bottom, top)
    step = (STRIP_WIDTH - 70) / max(longest - 1, 1)

    def place(n: int, value: float) -> tuple[float, float]:
        return round(48 + n * step, 1), axis.place(value)

    lines, points = [], []
    for keys in subjects:
        own = [(n, k) for n, k in enumerate(keys) if k in measure.values]
        track = [place(n, measure.values[k]) for n, k in own]
        if len(track) > 1:
            lines.append("M" + "L".join(f"{x:g} {y:g}" for x, y in track))
        points += [
            draw_point(
                Point(k, x, y, str(measure.verdicts.get(k)), links.get(k, ""), False),
                _hint(k, measure),
            )
            for (_, k), (x, y) in zip(own, track, strict=True)
        ]
    columns = [
        [measure.values[keys[n]] for keys in subjects if _has(measure, keys, n)]
        for n in range(longest)
    ]
    middle = [place(n, float(np.median(v))) for n, v in enumerate(columns) if v]
    median = "M" + "L".join(f"{x:g} {y:g}" for x, y in middle)
    numbers = "".join(
        f'<text x="{place(n, axis.low)[0]:g}" y="{bottom + 16:g}" '
        f'text-anchor="middle">{n + 1}</text>'
        for n in range(longest)
    )
    parts = [
        f'<svg class="strip" viewBox="0 0 {STRIP_WIDTH} {bottom + 22:g}" role="img" '
        f'aria-label="{escape(_name(measure))}">',
        _side_ticks(axis, 40),
        f'<g class="ticks">{numbers}</g>',
        *(_level(axis.place(v), 40, STRIP_WIDTH - 8) for v in near),
        f'<path class="track" d="{"".join(lines)}"/>' if lines else "",
        f'<path class="median wide-median" d="{median}"/>' if middle else "",
        *points,
        "</svg>",
    ]
    return _small(measure, parts)


def _small(measure: Measure, parts: Sequence[str]) -> Html:
    """Return a small chart below the name of its metric."""
    title = escape(words(measure.metric))
    unit = f" ({escape(measure.unit)})" if measure.unit else ""
    said = escape(words(measure.scan))
    return Html(
        f'<figure class="small"><figcaption><b>{title}</b>{unit}<br>{said}</figcaption>'
        + "".join(parts)
        + "</figure>"
    )


def _has(measure: Measure, keys: Sequence[str], n: int) -> bool:
    return n < len(keys) and keys[n] in measure.values


def draw_scatter(
    points: Sequence[Point],
    labels: tuple[str, str],
    *,
    limits: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> Html:
    """
    Return two metrics against each other, a linked point each session and scan.

    Parameters
    ----------
    points
        Values; those with ``label`` are named.
    labels
        Title of the x and of the y axis.
    limits
        Thresholds on x and y, drawn as dashed lines when they are near the values.
    """
    width, height = 760, 400
    xs, ys = [p.x for p in points], [p.y for p in points]
    x_near = [v for v in limits[0] if _is_near(v, xs)]
    y_near = [v for v in limits[1] if _is_near(v, ys)]
    x_axis = make_axis([*xs, *x_near], 64, width - 20)
    y_axis = make_axis([*ys, *y_near], height - 52, 14)
    parts = [
        f'<svg class="scatter" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(labels[1])} against {escape(labels[0])}">',
        _ticks(x_axis, height - 52),
        _side_ticks(y_axis, 64),
        *(_limit(x_axis.place(v), top=14, bottom=height - 52) for v in x_near),
        *(_level(y_axis.place(v), 64, width - 20) for v in y_near),
        f'<text class="axis" x="{(64 + width) / 2:g}" y="{height - 10}" '
        f'text-anchor="middle">{escape(labels[0])}</text>',
        f'<text class="axis" transform="translate(16 {height / 2 - 18:g}) rotate(-90)" '
        f'text-anchor="middle">{escape(labels[1])}</text>',
    ]
    taken: list[tuple[float, float]] = []
    for point in points:
        x, y = x_axis.place(point.x), y_axis.place(point.y)
        hint = f"{point.session_key}: {number(point.x)}, {number(point.y)}"
        placed = Point(point.session_key, x, y, point.verdict, point.link, label=False)
        parts.append(draw_point(placed, hint))
        if point.label:
            at_right = x > width - 90
            anchor = "end" if at_right else "start"
            shift = -7 if at_right else 7
            level = _free_level(taken, x + shift, y - 5)
            taken.append((x + shift, level))
            parts.append(
                f'<text class="name" x="{x + shift:g}" y="{level:g}" '
                f'text-anchor="{anchor}">{escape(short_key(point.session_key))}</text>'
            )
    return Html("<figure>" + "".join(parts) + "</svg></figure>")


def draw_point(point: Point, hint: str) -> str:
    """Return the markup of one point: shape and colour by verdict, hint, link."""
    kind = known_verdict(point.verdict)
    x, y = point.x, point.y
    shapes = {
        "look": f'<path d="M{x:g} {y - 5.2:g}l5 9h-10z"',
        "fail": f'<path d="M{x - 4.2:g} {y - 4.2:g}h8.4v8.4h-8.4z"',
    }
    shape = shapes.get(kind, f'<circle cx="{x:g}" cy="{y:g}" r="3.4"')
    body = f'{shape} fill="{VERDICT_COLOURS[kind]}"><title>{escape(hint)}</title>'
    body += "</path>" if kind in shapes else "</circle>"
    return f'<a href="{escape(point.link)}">{body}</a>' if point.link else body


def read_limits(threshold: str) -> list[float]:
    """
    Return the numbers in the text of a threshold.

    Examples
    --------
    >>> read_limits("look above 0.3, fail above 0.5")
    [0.3, 0.5]
    """
    return [float(found) for found in _NUMBER.findall(threshold)]


def _free_level(taken: Sequence[tuple[float, float]], x: float, y: float) -> float:
    """Return the nearest height at or below `y` where no name is written yet."""
    while any(abs(x - u) < 62 and abs(y - v) < 12 for u, v in taken):
        y += 12
    return y


def _swarm(places: Mapping[str, float]) -> dict[str, float]:
    """Return a height for each point so that points at one place stand apart."""
    middle, reach = 58.0, 26.0
    columns: dict[int, list[str]] = {}
    for key in sorted(places):
        columns.setdefault(int(places[key] // _DOT), []).append(key)
    heights = {}
    for keys in columns.values():
        step = min(_DOT, 2 * reach / max(len(keys), 1))
        for n, key in enumerate(keys):
            side = 1 if n % 2 else -1
            heights[key] = round(middle + side * ((n + 1) // 2) * step, 1)
    return heights


def _outlier_names(measure: Measure, axis: Axis, links: Mapping[str, str]) -> list[str]:
    named = [k for k, z in measure.z.items() if abs(z) > OUTLIER_Z]
    named += [
        k
        for k, v in measure.verdicts.items()
        if v == "fail" and k in measure.values and k not in named
    ]
    named.sort(key=lambda k: -abs(measure.z.get(k, 0.0)))
    chosen = sorted(named[:_LABELS], key=lambda k: measure.values[k])
    parts, ends = [], [-math.inf, -math.inf]
    for key in chosen:
        text = short_key(key)
        half = 3.3 * len(text)
        x = min(max(axis.place(measure.values[key]), half + 2), STRIP_WIDTH - half - 2)
        row = 0 if x - half > ends[0] else 1
        if x - half <= ends[row]:
            continue
        ends[row] = x + half + 4
        name = (
            f'<text class="name" x="{x:g}" y="{22 - 11 * row}" '
            f'text-anchor="middle">{escape(text)}</text>'
        )
        link = links.get(key)
        parts.append(f'<a href="{escape(link)}">{name}</a>' if link else name)
    return parts


def _ticks(axis: Axis, y: float) -> str:
    marks = "".join(
        f'<path d="M{axis.place(t):g} {y:g}v4"/>'
        f'<text x="{axis.place(t):g}" y="{y + 16:g}" text-anchor="middle">'
        f"{number(t)}</text>"
        for t in axis.ticks
    )
    return (
        f'<g class="ticks"><path d="M{axis.start:g} {y:g}H{axis.stop:g}"/>{marks}</g>'
    )


def _side_ticks(axis: Axis, x: float) -> str:
    marks = "".join(
        f'<path d="M{x:g} {axis.place(t):g}h-4"/>'
        f'<text x="{x - 8:g}" y="{axis.place(t) + 4:g}" text-anchor="end">'
        f"{number(t)}</text>"
        for t in axis.ticks
    )
    return (
        f'<g class="ticks"><path d="M{x:g} {axis.start:g}V{axis.stop:g}"/>{marks}</g>'
    )


def _limit(x: float, *, top: float = 28, bottom: float = STRIP_HEIGHT - 24) -> str:
    return f'<path class="limit" d="M{x:g} {top:g}V{bottom:g}"/>'


def _level(y: float, left: float, right: float) -> str:
    return f'<path class="limit" d="M{left:g} {y:g}H{right:g}"/>'


def _median(axis: Axis, measure: Measure) -> str:
    if len(measure.values) < 2:
        return ""
    x = axis.place(float(np.median(list(measure.values.values()))))
    return f'<path class="median" d="M{x:g} 30V{STRIP_HEIGHT - 24}"/>'


def _is_near(limit: float, values: Sequence[float]) -> bool:
    """Whether a threshold can be drawn without pressing the values together."""
    if not values:
        return False
    low, high = min(values), max(values)
    reach = (high - low) or abs(low) or 1.0
    return low - 1.5 * reach <= limit <= high + 1.5 * reach


def _hint(key: str, measure: Measure) -> str:
    z = measure.z.get(key)
    away = f", robust z {z:+.1f}" if z is not None else ""
    return f"{key}: {number(measure.values[key])} {measure.unit}".strip() + away


def _name(measure: Measure) -> str:
    return f"{words(measure.metric)} of {words(measure.scan)} over the sessions"
