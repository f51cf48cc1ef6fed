"""Pieces of a page: what the cells of a notebook show."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

VERDICTS = ("pass", "look", "fail")
"""From good to bad; each has a word, a shape and a colour, never a colour alone."""

VERDICT_COLOURS = {
    "pass": "#007a59",
    "look": "#b26a00",
    "fail": "#c23b00",
    "none": "#6b7280",
}
"""Okabe-Ito green, orange and vermillion, darkened to 4.5:1 against white."""

_SHAPES = {
    "pass": '<circle cx="8" cy="8" r="6.5"/>',
    "look": '<path d="M8 1.2 15 14.4H1z"/>',
    "fail": '<rect x="2" y="2" width="12" height="12"/>',
    "none": '<path d="M2 6.5h12v3H2z"/>',
}
_VERDICT_WORDS = {
    "pass": "pass",
    "look": "look",
    "fail": "fail",
    "none": "no verdict",
}


_FIELD_WORDS = {
    word.lower(): word
    for line in (
        "AOR AQI BIDS CC CJV CNR CSF DICOM DVARS DWI EFC FA FBER FD FWHM GCOR GM GSR",
        "ICV ID INU MD NDC QI1 QI2 rPVE SNR SNRd T1w T2w tSNR UID UIDs WM WM2MAX",
    )
    for word in line.split()
}


@dataclass(frozen=True, repr=False)
class Html:
    """
    Markup that a notebook shows and a page contains as it stands.

    Parameters
    ----------
    markup
        Well-formed HTML; text from data has been escaped.
    """

    markup: str

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return f"Html of {len(self.markup)} characters"

    def __add__(self, other: Html) -> Html:
        return Html(self.markup + other.markup)


def escape(value: object) -> str:
    """Return `value` as text that is safe in HTML, also inside an attribute."""
    return html.escape(str(value), quote=True)


def sentence(text: str) -> Html:
    """Return a plain paragraph, for what is absent or has to be explained."""
    return Html(f'<p class="note">{escape(text)}</p>')


def join(pieces: Iterable[Html]) -> Html:
    """Return the pieces one below the other."""
    return Html("\n".join(piece.markup for piece in pieces))


def known_verdict(verdict: object) -> str:
    """Return `verdict` in lower case when it is one of `VERDICTS`, else ``none``."""
    text = str(verdict).strip().lower()
    return text if text in VERDICTS else "none"


def badge(verdict: object, *, words: str = "") -> str:
    """
    Return the markup of a verdict: shape, colour and word.

    Parameters
    ----------
    verdict
        One of `VERDICTS`; anything else reads "no verdict".
    words
        Said instead of the verdict's own word.
    """
    kind = known_verdict(verdict)
    return (
        f'<span class="badge {kind}"><svg viewBox="0 0 16 16" width="13" height="13" '
        f'aria-hidden="true">{_SHAPES[kind]}</svg>'
        f"{escape(words or _VERDICT_WORDS[kind])}</span>"
    )


def figure(picture: bytes, caption: str, *, alt: str) -> Html:
    """
    Return a picture with its caption, inside the page.

    Parameters
    ----------
    picture
        JPEG or PNG.
    caption
        What to see, as sentences.
    alt
        What is shown, for a reader who cannot see it.
    """
    return Html(
        f'<figure class="whole"><img alt="{escape(alt)}" src="{data_uri(picture)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def data_uri(picture: bytes) -> str:
    """Return a JPEG or PNG as a ``data:`` address."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str | Html]],
    *,
    numeric: Iterable[int] = (),
    caption: str = "",
    kind: str = "",
) -> Html:
    """
    Return a table that scrolls inside itself when it is wider than the page.

    Parameters
    ----------
    head
        Column titles.
    rows
        Cells: text is escaped, `Html` is taken as it stands.
    numeric
        Columns (from 0) that are set flush right in figures of equal width.
    caption
        A sentence above the table; empty for none.
    kind
        Class of the table, for the style sheet.
    """
    right = set(numeric)
    titles = "".join(
        f'<th scope="col"{_right(n in right)}>{escape(title)}</th>'
        for n, title in enumerate(head)
    )
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{_right(n in right)}>{_cell(c)}</td>" for n, c in enumerate(row))
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Html(
        f'<div class="wide"><table class="{escape(kind)}">{title}'
        f"<thead><tr>{titles}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def figures_row(items: Iterable[tuple[str, str]]) -> Html:
    """Return headline numbers side by side: each a value and what it counts."""
    cells = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>"
        for value, label in items
    )
    return Html(f'<dl class="headline">{cells}</dl>')


def details(summary: str, inside: Html, *, printed: bool = True) -> Html:
    """
    Return `inside` folded under `summary`.

    Parameters
    ----------
    summary
        What is folded away.
    inside
        Shown when a reader opens it.
    printed
        True: paper shows it open; False: paper leaves it out but for the summary.
    """
    kind = "" if printed else ' class="unprinted"'
    return Html(
        f"<details{kind}><summary>{escape(summary)}</summary>{inside.markup}</details>"
    )


def words(name: str) -> str:
    """
    Return an identifier as people of the field write it.

    Examples
    --------
    >>> words("fd_mean"), words("task-rest_bold"), words("tsnr")
    ('FD mean', 'task-rest bold', 'tSNR')
    """
    parts = str(name).replace("_", " ").split()
    return " ".join(_FIELD_WORDS.get(part, part) for part in parts)


def scan_words(scan: str) -> str:
    """
    Return a scan's name in words, without subject, session and extension.

    Examples
    --------
    >>> scan_words("sub-01_ses-2_task-rest_bold.nii.gz")
    'task-rest bold'
    """
    parts = PurePosixPath(scan).name.split(".")[0].split("_")
    kept = [part for part in parts if not part.startswith(("sub-", "ses-"))]
    return " ".join(kept) or "session"


def number(value: object, *, digits: int = 3) -> str:
    """
    Return a number with `digits` significant digits, no exponent between 1e-4 and 1e6.

    NaN and None read as a dash; text is returned as it is.

    Examples
    --------
    >>> number(0.123456), number(41.0), number(1234.5), number(float("nan"))
    ('0.123', '41', '1234', '–')
    """
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 10**digits:
        return f"{value:.0f}" if abs(value) < 1e9 else f"{value:.{digits}g}"
    return f"{value:.{digits}g}"


def _right(yes: bool) -> str:  # a private predicate
    return ' class="right"' if yes else ""


def _cell(value: str | Html) -> str:
    return value.markup if isinstance(value, Html) else escape(value)
