"""An action and its ground: what the policy answers for one element."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NUMERIC_VRS = frozenset(["FD", "FL", "SL", "SS", "UL", "US", "SV", "UV", "AT"])
TEXT_VRS = frozenset(["AE", "AS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
DATE_VRS = frozenset(["DA", "DT", "TM"])
LUT_TAGS = frozenset(
    {0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223, 0x00283006}
)
SET_TAGS = frozenset({0x00080005, 0x00120062, 0x00120063, 0x00120064, 0x00280303})
"""Elements that say what was done; the engine writes them."""


class Action(StrEnum):
    """What happens to an element."""

    REMOVE = "remove"
    EMPTY = "empty"
    DUMMY = "replace by a dummy"
    PSEUDONYM = "replace by the pseudonym"
    SET = "set by the engine"
    REMAP = "remap UID"
    SHIFT = "shift date"
    KEEP_TIME = "keep time"
    KEEP = "keep"
    RULE = "keep by rule"
    RETAIN = "retain as the study decided"
    CAP_AGE = "cap age"
    RECURSE = "apply to the items"
    REWRITE = "parse and rewrite"


@dataclass(frozen=True)
class Decision:
    """
    An action and its ground.

    Parameters
    ----------
    action
        What is done.
    reason
        The row or list that says so.
    rule
        Name of the value rule or rewriter, empty for other actions.
    vr
        Value representation under which a private value is read; empty: the file's.
    """

    action: Action
    reason: str
    rule: str = ""
    vr: str = ""
