"""Which sessions may leave, and why the others may not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model.rating import Rating
from imaging_platform.planning.cells import Cell, State
from imaging_platform.planning.reasons import join_sentences

REPORT = "release_report"
BEFORE = ("raw_session", "anonymized_dicom", "bids_session")
"""What a session must have, whatever else leaves; an imported one has no DICOM."""


@dataclass(frozen=True)
class SessionVerdict:
    """
    Whether a session leaves with a release.

    Parameters
    ----------
    session
        Session key.
    verdict
        ``released`` or ``left out``.
    reason
        Why it is left out; of a released one, what a reader must know.
    n_files
        How many of its files leave.
    left_out
        Files that do not leave although the session does, each with the reason.
    """

    session: str
    verdict: str
    reason: str = ""
    n_files: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def leaves(self) -> bool:
        """Whether it is part of the release."""
        return self.verdict == "released"

    @property
    def why(self) -> str:
        """Its reason, and what is left out of it."""
        return "; ".join(filter(None, [self.reason, *self.left_out]))


def refuse_session(session: str, reason: str) -> SessionVerdict:
    """Return the verdict on a session that may not leave."""
    return SessionVerdict(session, "left out", reason)


def find_objection(
    cells: Mapping[str, Cell], rating: Rating | None, assets: Sequence[str]
) -> str:
    """
    Return why a session may not leave; empty when nothing speaks against it.

    Parameters
    ----------
    cells
        State of each of its results, by asset.
    rating
        The verdict of a person; an expired one says nothing.
    assets
        What leaves of it, beside `BEFORE`.

    Examples
    --------
    >>> stale = Cell("motion", "sub-1_ses-1", State.STALE)
    >>> find_objection({"motion": stale}, None, ["motion"])
    'motion is stale'
    >>> find_objection({"motion": stale}, None, ["pet"])
    ''
    """
    if rating is not None and rating.verdict == "fail" and not rating.is_expired:
        return rating.sentence
    for asset in (*BEFORE, *assets):
        cell = cells.get(asset)
        if cell is not None and cell.state is not State.FRESH:
            return _say(cell)
    return ""


def write_report(folder: Path, verdicts: Iterable[SessionVerdict]) -> None:
    """Write ``release_report.json`` and ``release_report.tsv``, a row a session."""
    rows = sorted(verdicts, key=lambda row: row.session)
    write_json(folder / f"{REPORT}.json", [asdict(row) for row in rows])
    lines = ["session\tverdict\treason\tn_files\tleft_out"]
    for row in rows:
        left_out = "; ".join(row.left_out) or "n/a"
        cells = (row.session, row.verdict, row.reason or "n/a", row.n_files, left_out)
        lines.append("\t".join(" ".join(str(cell).split()) for cell in cells))
    write_text(folder / f"{REPORT}.tsv", "\n".join(lines) + "\n")


def _say(cell: Cell) -> str:
    state = f"{cell.state} ({cell.failure})" if cell.failure else str(cell.state)
    verb = "" if cell.state is State.WAITS else "is "
    why = cell.note or join_sentences(cell.reasons)
    return f"{cell.asset} {verb}{state}" + (f": {why}" if why else "")
