"""Noting where a person may be needed, when a drop is indexed or its files move."""

from __future__ import annotations

from imaging_platform.intake.index import count_conflicts, read_placed
from imaging_platform.intake.marks import mark_held
from imaging_platform.intake.receipt import list_waiting, read_receipt
from imaging_platform.intake.zone import DropFolder


def note_held(drop: DropFolder) -> None:
    """Mark a drop of which files wait, and its sessions with images of two contents."""
    if list_waiting(read_receipt(drop)):
        mark_held(drop.zone, [drop.drop_id])
    sessions = {key for _, key in read_placed(drop)}
    mark_held(drop.zone, (key for key in sessions if count_conflicts(drop.zone, key)))
