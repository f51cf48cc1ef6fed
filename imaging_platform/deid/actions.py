"""What each action does to the value of an element that is no sequence."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from imaging_platform.deid import dates, rewriters
from imaging_platform.deid.decision import (
    DATE_VRS,
    LUT_TAGS,
    NUMERIC_VRS,
    Action,
    Decision,
)
from imaging_platform.deid.identifiers import decode, is_personal
from imaging_platform.deid.policy import Policy
from imaging_platform.deid.pseudonyms import new_uid
from imaging_platform.deid.screen import Screen
from imaging_platform.deid.values import keep_by_rule

PADDED_WITH_ZERO = frozenset({"UI", "OB", "UN", "OW"})
MAX_AGE_YEARS = 90
_DAYS_PER_UNIT = {"D": 1, "W": 7, "M": 30.4375, "Y": 365.25}
_DUMMIES = {
    "AS": "",
    "CS": "UNKNOWN",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "PN": "REMOVED",
    "TM": "000000",
    "UR": "",
}
_BYTE_VRS = frozenset({"OB", "OW", "OD", "OF", "OL", "OV", "UN"})
_LONG_TEXT_VRS = frozenset({"LT", "ST", "UT"})
# Numbers do not spell words, whatever representation a file claims.
# Floats around one are printable by chance, but with one of <=>?@ among four bytes.
_WORDS = re.compile(rb"[A-Za-z^ ,]{8}|[A-Za-z0-9^ ,._:/\-]{12}")
_PRINTABLE = re.compile(rb"[ -~\s\0]*")
_SHORTEST_TABLE_BYTES = 256
_UNIT_BYTES = {"FD": 8, "FL": 4, "SL": 4, "SS": 2, "UL": 4, "US": 2, "AT": 4}


@dataclass(frozen=True)
class Subject:
    """
    All that is needed to rewrite the files of one session, but what they tell.

    Parameters
    ----------
    secret
        The study's secret, 32 bytes.
    label
        BIDS subject label, without ``sub-``.
    offset_days
        Move of the dates.
    policy
        The study's policy.
    """

    secret: bytes = field(repr=False)
    label: str
    offset_days: int
    policy: Policy

    @property
    def name(self) -> str:
        """What stands in PatientName and PatientID."""
        return f"sub-{self.label}"


@dataclass
class Actions:
    """
    The actions on values of one session.

    Parameters
    ----------
    subject
        The session's subject.
    screen
        What must not remain, of all files of the session.
    """

    subject: Subject
    screen: Screen
    _note: str = ""

    def notes_of_last(self) -> tuple[str, ...]:
        """Return what happened inside the value that was changed last."""
        return (self._note,) if self._note else ()

    def apply(
        self, decision: Decision, tag: int, vr: str, value: bytes, charset: str
    ) -> bytes | None:
        """
        Return the new value of an element, None when the element goes.

        Parameters
        ----------
        decision
            What the policy says of the element.
        tag, vr, value
            The element: group << 16 | number, representation, bytes as in the file.
        charset
            SpecificCharacterSet (0008,0005) of its data set.
        """
        action = decision.action
        self._note = ""
        if action in (Action.REMOVE, Action.SET, Action.RECURSE):
            return None
        if action is Action.KEEP:
            return value if _fits(tag, vr, value, decision.vr) else None
        if action is Action.REWRITE:
            return self._rewrite(value, decision.rule)
        if action is Action.EMPTY:
            return b""
        if action is Action.DUMMY:
            return self._dummy(tag, vr, value, charset)
        if action is Action.PSEUDONYM:
            return padded(self.subject.name, vr)
        if action is Action.RETAIN and vr in NUMERIC_VRS | _BYTE_VRS:
            return value
        return self._changed_text(decision, vr, value, charset)

    def _changed_text(
        self, decision: Decision, vr: str, value: bytes, charset: str
    ) -> bytes:
        if decision.action is Action.SHIFT and value.isascii() and b"\\" not in value:
            # Of many frames, each with its moment: the short way to the same.
            moment = value.decode("ascii").strip("\0 ")
            moved = _moved(vr, moment, self.subject.offset_days)
            return moved.encode("ascii") + b" " * (len(moved) % 2)
        text = decode(value, charset)
        parts = [part.strip("\0 ") for part in text.split("\\")]
        if vr in _LONG_TEXT_VRS:
            parts = [text]
        changed = [self._change(decision, vr, part) for part in parts]
        if decision.rule == "code" and len(parts) > 1:
            # The place of a component has a meaning (ImageType): only it is emptied.
            changed = [part or "" for part in changed]
        if any(part is None for part in changed):
            self._note = "drop a value that no rule lets stay"
            return b""
        kept = [part or "" for part in changed]
        stays = decision.action in (Action.RULE, Action.RETAIN) and kept == parts
        if stays and text.isascii() and b"\x1b" not in value:
            return value
        if decision.action is Action.RULE and decision.rule == "descriptor":
            self._note = "clean descriptor"
        return padded("\\".join(kept), vr)

    def _change(self, decision: Decision, vr: str, part: str) -> str | None:
        action, subject = decision.action, self.subject
        if action is Action.RULE:
            return keep_by_rule(decision.rule, on_ascii_base(part), self.screen)
        if action is Action.RETAIN:
            return _moved(vr, part, 0) if vr in DATE_VRS else part
        if action is Action.REMAP:
            return new_uid(subject.secret, part) if is_personal(part) else part
        if action is Action.SHIFT:
            return _moved(vr, part, subject.offset_days)
        if action is Action.KEEP_TIME:
            return dates.keep_time(part)
        return cap_age(part)

    def _dummy(self, tag: int, vr: str, value: bytes, charset: str) -> bytes:
        if vr == "UI":
            return self._changed_text(Decision(Action.REMAP, ""), vr, value, charset)
        if vr in _UNIT_BYTES:
            return bytes(_UNIT_BYTES[vr])
        if vr in DATE_VRS and self.subject.policy.settings.dates != "remove":
            return self._changed_text(Decision(Action.SHIFT, ""), vr, value, charset)
        if vr in _BYTE_VRS:
            return b""
        return padded(_DUMMIES.get(vr, "REMOVED"), vr)

    def _rewrite(self, value: bytes, rewriter: str) -> bytes | None:
        keep_names = self.subject.policy.settings.descriptors == "clean"
        new = rewriters.rewrite(rewriter, value, self.screen, keep_names=keep_names)
        if new is None:
            self._note = "drop a vendor header of unknown layout"
        return new


def _moved(vr: str, part: str, offset_days: int) -> str:
    """Return a date, or a moment, moved; nothing of what is neither."""
    is_day = vr == "DA" or len(part.strip()) <= 10
    move = dates.shift_date if is_day else dates.shift_moment
    return move(part, offset_days)


def on_ascii_base(text: str) -> str:
    """Return a text with letters on their ASCII base, case kept."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c))


def cap_age(text: str) -> str:
    """
    Return an AS value with 90 years at most; empty when it is no age.

    A number without a unit is taken for years, as scanners that leave it out mean.

    Ages over 89 are identifying (45 CFR 164.514(b)(2)(i)(C)).

    Examples
    --------
    >>> cap_age("095Y"), cap_age("034Y"), cap_age("45"), cap_age("old")
    ('090Y', '034Y', '045Y', '')
    """
    if text.isdigit() and len(text) <= 3:
        text = f"{int(text):03d}Y"
    if len(text) != 4 or not text[:3].isdigit() or text[3] not in _DAYS_PER_UNIT:
        return ""
    years = int(text[:3]) * _DAYS_PER_UNIT[text[3]] / _DAYS_PER_UNIT["Y"]
    return f"{MAX_AGE_YEARS:03d}Y" if years >= MAX_AGE_YEARS else text


def padded(text: str, vr: str) -> bytes:
    """Return a text as an ASCII value of even length (PS3.5 section 6.2)."""
    value = on_ascii_base(text).encode("ascii", errors="ignore")
    filler = b"\0" if vr in PADDED_WITH_ZERO else b" "
    return value + filler * (len(value) % 2)


def _fits(tag: int, vr: str, value: bytes, listed_vr: str) -> bool:
    """Return whether a kept number has the form of numbers, and is no text."""
    if tag >> 16 == 0x7FE0:
        return True
    if tag in LUT_TAGS:
        # A colour table of bytes has all letters, but not letters alone.
        is_text = len(value) < _SHORTEST_TABLE_BYTES or _PRINTABLE.fullmatch(value)
        return not (is_text and _WORDS.search(value))
    unit = _UNIT_BYTES.get(listed_vr or vr, 1)
    if vr not in NUMERIC_VRS | {"UN"} or len(value) % unit:
        return False
    return not _WORDS.search(value)
