"""Applying the policy to a data set, at every depth."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from imaging_platform.deid import dates, ge, siemens
from imaging_platform.deid.elements import DicomFile, Element, ascii_text
from imaging_platform.deid.identifiers import Identifiers, decode, is_personal
from imaging_platform.deid.policy import (
    LUT_TAGS,
    NUMERIC_VRS,
    Action,
    Decision,
    Policy,
    deid_codes,
    method_text,
    temporal_information,
)
from imaging_platform.deid.pseudonyms import new_uid
from imaging_platform.deid.tables import code_meaning
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
_CODE_TAGS = frozenset({0x00080100, 0x00080102})
# Numbers do not spell words, whatever representation a file claims.
_WORDS = re.compile(rb"[A-Za-z^ ,]{8}|[ -~]{12}")
_SHORT_UNITS = {"FD": 8, "FL": 4, "SL": 4, "SS": 2, "UL": 4, "US": 2, "AT": 4}


@dataclass(frozen=True)
class Subject:
    """
    All that is needed to rewrite the files of one session.

    Parameters
    ----------
    secret
        The study's secret, 32 bytes.
    label
        BIDS subject label, without ``sub-``.
    offset_days
        Move of the dates.
    identifiers
        What must not remain, of all files of the session.
    policy
        The study's policy.
    """

    secret: bytes = field(repr=False)
    label: str
    offset_days: int
    identifiers: Identifiers = field(repr=False)
    policy: Policy

    @property
    def name(self) -> str:
        """What stands in PatientName and PatientID."""
        return f"sub-{self.label}"


def anonymize_elements(file: DicomFile, subject: Subject) -> Counter[str]:
    """
    Rewrite the data set of a file in place.

    Parameters
    ----------
    file
        Its `elements` are replaced; its meta group is rebuilt when it is written.
    subject
        The session's subject.

    Returns
    -------
    collections.Counter
        How many elements were treated how, by `Action`.
    """
    counts: Counter[str] = Counter()
    pass_ = _Pass(subject, file.text(0x00080005), counts, file.is_big_endian)
    kept = pass_.rewrite(file.elements)
    file.elements = [*kept, *_statements(subject, file)]
    file.__post_init__()
    return counts


@dataclass
class _Pass:
    subject: Subject
    charset: str
    counts: Counter[str]
    is_big_endian: bool

    def rewrite(self, elements: list[Element]) -> list[Element]:
        creators = _creators_of(elements)
        kept: list[Element] = []
        for element in elements:
            decision = self._decide(element, creators)
            if decision is None:
                continue
            self.counts[decision.action.value] += 1
            changed = self._apply(element, decision)
            if changed is not None:
                kept.append(changed)
        _put_code_for_meaning(kept)
        return [*_needed_creators(kept, creators), *kept]

    def _decide(self, element: Element, creators: dict[int, str]) -> Decision | None:
        tag, policy = element.tag, self.subject.policy
        if not tag >> 16 & 1:
            return policy.public(tag)
        number = tag & 0xFFFF
        if number == 0:
            return Decision(Action.REMOVE, "group length")
        if 0x10 <= number <= 0xFF:
            return None
        creator = creators.get(tag & 0xFFFF0000 | number >> 8)
        if creator is None or number < 0x1000:
            return Decision(Action.REMOVE, "private element without a creator")
        return policy.private(tag >> 16, number, creator, element.vr)

    def _apply(self, element: Element, decision: Decision) -> Element | None:
        action, tag, vr = decision.action, element.tag, element.vr
        if action in (Action.REMOVE, Action.SET):
            return None
        if element.items is not None:
            return self._apply_to_sequence(element, action)
        if action is Action.RECURSE:
            # A sequence in the dictionary, and something else in the file.
            return None if element.value else Element(tag, "SQ", b"", [])
        if action is Action.RETAIN:
            return Element(tag, vr, self._retained(element))
        if action is Action.KEEP:
            return element if _fits(element, decision.vr) else None
        if action is Action.REWRITE:
            return self._rewrite_vendor(element, decision.rule)
        if action is Action.EMPTY:
            return Element(tag, vr)
        if action is Action.DUMMY:
            return Element(tag, vr, self._dummy(element))
        if action is Action.PSEUDONYM:
            return Element(tag, vr, _padded(self.subject.name, vr))
        return Element(tag, vr, self._changed_text(element, decision))

    def _retained(self, element: Element) -> bytes:
        """Return the value as it is: text in ASCII, and a date only if it is one."""
        text, vr = decode(element.value, self.charset), element.vr
        if vr in ("DA", "DT"):
            return self._changed_text(element, Decision(Action.SHIFT, "", vr="as is"))
        if text.isascii():
            return element.value
        return _padded(text, vr)

    def _apply_to_sequence(self, element: Element, action: Action) -> Element | None:
        if action in (Action.EMPTY, Action.DUMMY):
            return Element(
                element.tag, "SQ", b"", [], element.is_open, element.is_wrapped
            )
        if action is not Action.RECURSE:
            return None
        items = [self.rewrite(item) for item in element.items or []]
        return Element(
            element.tag, "SQ", b"", items, element.is_open, element.is_wrapped
        )

    def _changed_text(self, element: Element, decision: Decision) -> bytes:
        text = decode(element.value, self.charset)
        parts = [part.strip("\0 ") for part in text.split("\\")]
        if element.vr in ("LT", "ST", "UT"):
            parts = [text]
        changed = [self._change(part, decision, element) for part in parts]
        if decision.rule == "code" and len(parts) > 1:
            # The place of a component has a meaning (ImageType): only it is emptied.
            changed = [part or "" for part in changed]
        if any(part is None for part in changed):
            self.counts["drop a value that no rule lets stay"] += 1
            return b""
        kept = [part or "" for part in changed]
        if decision.action is Action.RULE and kept == parts and text.isascii():
            return element.value
        if decision.action is Action.RULE and decision.rule == "descriptor":
            self.counts["clean descriptor"] += 1
        return _padded("\\".join(kept), element.vr)

    def _change(self, part: str, decision: Decision, element: Element) -> str | None:
        action, subject = decision.action, self.subject
        if action is Action.RULE:
            return keep_by_rule(
                decision.rule, fold_case_kept(part), subject.identifiers
            )
        if action is Action.REMAP:
            return new_uid(subject.secret, part) if is_personal(part) else part
        if action is Action.SHIFT:
            is_day = element.vr == "DA" or len(part.strip()) <= 10
            move = dates.shift_date if is_day else dates.shift_moment
            return move(part, 0 if decision.vr == "as is" else subject.offset_days)
        if action is Action.KEEP_TIME:
            return dates.keep_time(part)
        return cap_age(part)

    def _dummy(self, element: Element) -> bytes:
        if element.vr == "UI":
            return self._changed_text(element, Decision(Action.REMAP, ""))
        if element.vr in _SHORT_UNITS:
            return bytes(_SHORT_UNITS[element.vr])
        is_moved = self.subject.policy.settings.dates != "remove"
        if element.vr in ("DA", "DT") and is_moved:
            return self._changed_text(element, Decision(Action.SHIFT, ""))
        if element.vr in ("OB", "OW", "OD", "OF", "OL", "OV", "UN"):
            return b""
        return _padded(_DUMMIES.get(element.vr, "REMOVED"), element.vr)

    def _rewrite_vendor(self, element: Element, rewriter: str) -> Element | None:
        identifiers = self.subject.identifiers
        keep_names = self.subject.policy.settings.descriptors == "clean"
        value: bytes | None = None
        if rewriter == "siemens_csa":
            value = siemens.rewrite_csa(
                element.value, identifiers, keep_names=keep_names
            )
        elif rewriter == "siemens_protocol":
            value = siemens.rewrite_protocol(
                element.value, identifiers, keep_names=keep_names
            )
        elif rewriter == "ge_protocol":
            value = ge.rewrite_protocol(element.value, identifiers)
        elif rewriter == "ge_user_data":
            value = ge.rewrite_user_data(element.value)
        if value is None:
            self.counts["drop a vendor header of unknown layout"] += 1
            return None
        return Element(element.tag, element.vr, value)


def fold_case_kept(text: str) -> str:
    """Return a text with letters on their ASCII base, case kept; U+00DF and such go."""
    if text.isascii():
        return text
    import unicodedata

    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c))


def cap_age(text: str) -> str:
    """
    Return an AS value with 90 years at most; empty when it is no age.

    Ages over 89 are identifying (45 CFR 164.514(b)(2)(i)(C)).

    Examples
    --------
    >>> cap_age("095Y"), cap_age("034Y"), cap_age("old")
    ('090Y', '034Y', '')
    """
    if len(text) != 4 or not text[:3].isdigit() or text[3] not in _DAYS_PER_UNIT:
        return ""
    years = int(text[:3]) * _DAYS_PER_UNIT[text[3]] / _DAYS_PER_UNIT["Y"]
    return f"{MAX_AGE_YEARS:03d}Y" if years >= MAX_AGE_YEARS else text


def _statements(subject: Subject, file: DicomFile) -> list[Element]:
    """Return the elements that say what was done (PS3.15 section E.1.1)."""
    settings = subject.policy.settings
    codes = []
    for code, meaning in deid_codes(settings):
        codes.append(
            [
                Element(0x00080100, "SH", _padded(code, "SH")),
                Element(0x00080102, "SH", _padded("DCM", "SH")),
                Element(0x00080104, "LO", _padded(meaning, "LO")),
            ]
        )
    elements = [
        Element(0x00080005, "CS", b"ISO_IR 100"),
        Element(0x00120062, "CS", b"YES "),
        Element(0x00120063, "LO", _padded(method_text(), "LO")),
        Element(0x00120064, "SQ", b"", codes),
        Element(0x00280303, "CS", _padded(temporal_information(settings), "CS")),
    ]
    present = {element.tag for element in file.elements}
    for tag, vr in ((0x00100010, "PN"), (0x00100020, "LO")):
        if tag not in present:
            elements.append(Element(tag, vr, _padded(subject.name, vr)))
    return elements


def _creators_of(elements: list[Element]) -> dict[int, str]:
    """Return private creators by group << 16 | block."""
    return {
        element.tag: ascii_text(element.value)
        for element in elements
        if element.tag >> 16 & 1
        and 0x10 <= element.tag & 0xFFFF <= 0xFF
        and element.items is None
    }


def _needed_creators(kept: list[Element], creators: dict[int, str]) -> list[Element]:
    """Return a creator for each private block that still has elements."""
    blocks = {
        element.tag & 0xFFFF0000 | (element.tag & 0xFFFF) >> 8
        for element in kept
        if element.tag >> 16 & 1
    }
    return [Element(tag, "LO", _padded(creators[tag], "LO")) for tag in sorted(blocks)]


def _put_code_for_meaning(item: list[Element]) -> None:
    values = {e.tag: ascii_text(e.value) for e in item if e.tag in _CODE_TAGS}
    for element in item:
        if element.tag == 0x00080104:
            scheme, value = (values.get(tag, "") for tag in (0x00080102, 0x00080100))
            element.value = _padded(code_meaning(scheme, value), "LO")


def _fits(element: Element, listed_vr: str) -> bool:
    """Return whether a kept number has the form of numbers, and is no text."""
    if element.tag >> 16 == 0x7FE0 or element.tag in LUT_TAGS:
        return True
    unit = _SHORT_UNITS.get(listed_vr or element.vr, 1)
    if element.vr not in NUMERIC_VRS | {"UN"} or len(element.value) % unit:
        return False
    return not _WORDS.search(element.value)


def _padded(text: str, vr: str) -> bytes:
    value = fold_case_kept(text).encode("ascii", errors="ignore")
    filler = b"\0" if vr in PADDED_WITH_ZERO else b" "
    return value + filler * (len(value) % 2)
