"""What became of each file of a drop: one line a file, for ever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from imaging_platform.files.writing import write_text
from imaging_platform.intake.zone import DropFolder


class Verdict(StrEnum):
    """What was done with a file."""

    ACCEPTED = "accepted"
    ATTACHED = "attached"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    ROUTED = "routed"
    DISCARDED = "discarded"
    QUARANTINED = "quarantined"


USED = frozenset({Verdict.ACCEPTED, Verdict.ATTACHED})
"""Verdicts of files that belong to a session."""

_LEFT = frozenset({Verdict.ACCEPTED, Verdict.ROUTED})


@dataclass(frozen=True)
class ReceiptLine:
    """
    What became of one file.

    Parameters
    ----------
    arrival
        Number of the arrival of this drop, from 1.
    name
        Relative name as it came; members of an archive follow ``!/``. May
        identify the subject.
    sha256
        Digest of the content, "" for what is no regular file.
    n_bytes
        Size of the content.
    verdict
        What was done with it.
    reason
        Why, from a closed list; "" when accepted at once.
    """

    arrival: int
    name: str = field(repr=False)
    sha256: str
    n_bytes: int
    verdict: Verdict
    reason: str


def read_receipt(drop: DropFolder) -> tuple[ReceiptLine, ...]:
    """Return all lines of a drop's receipt, oldest first; none when there is none."""
    if not drop.receipt.exists():
        return ()
    lines = drop.receipt.read_text("utf-8").splitlines()
    entries = (json.loads(line) for line in lines)
    return tuple(
        ReceiptLine(**{**entry, "verdict": Verdict(entry["verdict"])})
        for entry in entries
    )


def extend_receipt(drop: DropFolder, lines: Sequence[ReceiptLine]) -> None:
    """
    Add lines to a drop's receipt, all or none of them.

    The caller holds the drop's lock. A reader sees the old receipt or the new.
    """
    before = drop.receipt.read_text("utf-8") if drop.receipt.exists() else ""
    # ASCII: a name that is no UTF-8 has lone surrogates, which only escapes carry.
    added = "".join(json.dumps(vars(line), sort_keys=True) + "\n" for line in lines)
    write_text(drop.receipt, before + added, mode=0o640)


def list_waiting(lines: Sequence[ReceiptLine]) -> dict[str, ReceiptLine]:
    """Return the last quarantine line of each content that was never used."""
    accepted = {line.sha256 for line in lines if line.verdict in _LEFT}
    # By name: files of several sessions may have one content.
    attached = {(x.arrival, x.name) for x in lines if x.verdict is Verdict.ATTACHED}
    return {
        line.sha256 or f"{line.arrival}/{line.name}": line
        for line in lines
        if line.verdict is Verdict.QUARANTINED
        and line.sha256 not in accepted
        and (line.arrival, line.name) not in attached
    }
