"""A policy in words: what happens to an element, why, and how two policies differ."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from imaging_platform.deid.additions import (
    ElementName,
    index_kept,
    index_removed,
    parse_element,
)
from imaging_platform.deid.codes import deid_codes, temporal_information
from imaging_platform.deid.decision import SET_TAGS, Decision
from imaging_platform.deid.elements import private_vr, public_vr
from imaging_platform.deid.patterns import OWN_RULE
from imaging_platform.deid.policy import decide_private, decide_public
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import PROFILE_FILE, load_table, technique_rules
from imaging_platform.model.errors import BadConfig

_GATE_FIELDS = ("released_kinds", "quarantine_burned_in", "masks")
_DATE_FIELDS = ("dates", "earliest_days", "latest_days")


@dataclass(frozen=True)
class Explanation:
    """
    What happens to one element.

    Parameters
    ----------
    tag
        As ``(gggg,eeee)``, for private elements ``(gggg,creator,xxee)``.
    keyword
        From the dictionary; empty when unknown.
    vr
        Value representation.
    action
        What is done.
    reason
        The row, list or rule that says so.
    """

    tag: str
    keyword: str
    vr: str
    action: str
    reason: str


@dataclass(frozen=True)
class Change:
    """
    An element that two policies treat differently.

    Parameters
    ----------
    tag, keyword
        As `Explanation`.
    before, after
        Action and rule under the one and the other.
    """

    tag: str
    keyword: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """
    All that differs between two policies.

    Parameters
    ----------
    elements
        Elements that are treated differently.
    codes_gone, codes_new
        Codes and meanings (PS3.16 CID 7050) of only the first, only the second.
    settings
        (field, before, after) of dates and of the gate.
    """

    elements: tuple[Change, ...]
    codes_gone: tuple[tuple[str, str], ...]
    codes_new: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str, str], ...]

    @property
    def is_empty(self) -> bool:
        """Whether both policies are the same."""
        return not (self.elements or self.codes_gone or self.codes_new or self.settings)


def name_element(text: str, creator: str = "") -> ElementName:
    """
    Return the element that a person names on the command line.

    Parameters
    ----------
    text
        Keyword, ``(gggg,eeee)``, ``ggggeeee``, or ``(gggg,creator,xxee)``.
    creator
        Private creator, when `text` is a tag of an odd group.

    Raises
    ------
    BadConfig
        It names none, or a private element without its creator.
    """
    digits = text.strip("() ").replace(",", "").replace("xx", "00").lower()
    is_private = len(digits) == 8 and digits[3] in "13579bdf"
    try:
        if is_private and not creator:
            raise ValueError(f"{text} is private: its creator says what it is")
        if is_private:
            return ElementName(
                int(digits[:4], 16), int(digits[6:], 16), creator.strip().lower()
            )
        return parse_element(text)
    except ValueError as error:
        raise BadConfig(
            f"{error}.",
            fix="Name it like SeriesDescription, (0008,103e), "
            '"(0019,SIEMENS MR HEADER,xx0c)", or give --creator.',
        ) from None


def explain_element(name: ElementName, settings: DeidSettings) -> Explanation:
    """
    Tell what happens to an element and why.

    Parameters
    ----------
    name
        The element.
    settings
        The study's options.
    """
    vr, decision = _decide(name, settings)
    rule = decision.rule.removeprefix(OWN_RULE)
    reason = f"{decision.reason} [{rule}]" if rule else decision.reason
    return Explanation(str(name), _keyword(name), vr, decision.action.value, reason)


def explain_policy(settings: DeidSettings) -> tuple[Explanation, ...]:
    """
    Tell what happens to each element that a table, a list or the study names.

    What is not among them is kept if it is a number, a code, a date or a UID of the
    dictionary (see `decide_public`), and else removed.
    """
    return tuple(explain_element(name, settings) for name in _named(settings))


def compare_policies(before: DeidSettings, after: DeidSettings) -> Difference:
    """Return what changes when one policy follows the other."""
    from pydicom._dicom_dict import DicomDictionary

    others = {ElementName(t >> 16, t & 0xFFFF) for t in DicomDictionary}
    names = {*_named(before), *_named(after), *others}
    changes = (_compare(name, before, after) for name in sorted(names, key=_order))
    old, new = deid_codes(before), deid_codes(after)
    return Difference(
        tuple(change for change in changes if change is not None),
        tuple(code for code in old if code not in new),
        tuple(code for code in new if code not in old),
        tuple(_compare_settings(before, after)),
    )


def _compare(
    name: ElementName, before: DeidSettings, after: DeidSettings
) -> Change | None:
    old, new = (_summary(_decide(name, each)[1]) for each in (before, after))
    return None if old == new else Change(str(name), _keyword(name), old, new)


def _summary(decision: Decision) -> str:
    rule = decision.rule.removeprefix(OWN_RULE)
    return f"{decision.action.value} [{rule}]" if rule else decision.action.value


def _compare_settings(
    before: DeidSettings, after: DeidSettings
) -> Iterator[tuple[str, str, str]]:
    for field in (*_DATE_FIELDS, *_GATE_FIELDS):
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            yield field, _plain(old), _plain(new)
    old, new = temporal_information(before), temporal_information(after)
    if old != new:
        yield "LongitudinalTemporalInformationModified", old, new


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(getattr(one, "name", str(one)) for one in value) or "none"
    return str(value)


def _decide(name: ElementName, settings: DeidSettings) -> tuple[str, Decision]:
    if not name.creator:
        return public_vr(name.tag), decide_public(name.tag, settings)
    # Creators are written as the makers do; lists and study files fold their case.
    creator = _written(name.creator)
    vr = private_vr(name.group << 16 | 0x1000 | name.element, creator)
    decision = decide_private(name.group, name.element, creator, vr, settings)
    return decision.vr or vr, decision


def _written(creator: str) -> str:
    return _creators_by_lower_case().get(creator, creator)


@functools.cache
def _creators_by_lower_case() -> dict[str, str]:
    from pydicom._private_dict import private_dictionaries

    return {creator.lower(): creator for creator in private_dictionaries}


def _keyword(name: ElementName) -> str:
    from pydicom.datadict import keyword_for_tag

    return "" if name.creator else keyword_for_tag(name.tag)


def _named(settings: DeidSettings) -> tuple[ElementName, ...]:
    rows = load_table(PROFILE_FILE)["attributes"]
    # A repeating group stands for each of its groups: 5000, 6000.
    tags = {int(row.replace("x", "0"), 16) for row in rows}
    tags |= set(technique_rules()) | SET_TAGS
    names = {ElementName(tag >> 16, tag & 0xFFFF) for tag in tags}
    for table in ("private_safe.json", "private_reviewed.json"):
        names |= {_listed(key) for key in load_table(table)["elements"]}
    names |= index_kept(settings.keep).keys() | index_removed(settings.remove)
    return tuple(sorted(names, key=_order))


def _listed(key: str) -> ElementName:
    return ElementName(int(key[:4], 16), int(key[-2:], 16), key[5:-3])


def _order(name: ElementName) -> tuple[int, str, int]:
    return name.group, name.creator, name.element
