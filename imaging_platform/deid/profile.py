"""What PS3.15 Table E.1-1 says of an attribute under a study's options."""

from __future__ import annotations

from collections.abc import Mapping

from imaging_platform.deid.decision import (
    DATE_VRS,
    LUT_TAGS,
    NUMERIC_VRS,
    Action,
    Decision,
)
from imaging_platform.deid.elements import public_vr
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import table_edition, technique_rules

Row = Mapping[str, str]

CHARACTERISTIC_TAGS = {
    0x00101010: "age",
    0x0072005F: "age",
    0x00100040: "sex",
    0x00101020: "size",
    0x00101030: "weight",
    0x00102160: "ethnic_group",
    0x001021A0: "smoking",
    0x001021C0: "pregnancy",
    0x00102203: "sex_neutered",
    0x00102110: "allergies",
    0x00380500: "patient_state",
    0x00380050: "special_needs",
    0x00400012: "pre_medication",
}
"""Attributes of the column Retain Patient Characteristics, by the field they obey."""

_CHARACTERISTIC_RULES = {
    "sex": "sex",
    "size": "number",
    "weight": "number",
    "ethnic_group": "code",
    "smoking": "code",
    "sex_neutered": "code",
    "allergies": "remark",
    "patient_state": "remark",
    "special_needs": "remark",
    "pre_medication": "remark",
}
# Of Type 3 where they are, so that an empty one is an error (PS3.5 section 7.4.5):
# InstitutionCode-, OperatorIdentification-, ReferencedStudy- and
# ReferencedPerformedProcedureStepSequence.
_OPTIONAL_SEQUENCES = frozenset({0x00080082, 0x00081072, 0x00081110, 0x00081111})
# Type 1 or 1C in enhanced objects (PS3.3 sections C.7.5.2 and C.8.13.1).
_NEVER_EMPTY = frozenset({0x00181000, 0x0008002A})


def decide_by_profile(tag: int, row: Row, settings: DeidSettings) -> Decision:
    """
    Decide about an attribute that has a row.

    Parameters
    ----------
    tag
        Group << 16 | element.
    row
        Its Basic action and the columns of the options that concern it.
    settings
        The study's options.
    """
    ground = f"PS3.15 E.1-1 {table_edition()}: {row['basic']}"
    vr = public_vr(tag)
    for option in (_by_dates, _by_uids, _by_person, _by_place, _by_content):
        decision = option(tag, row, vr, settings)
        if decision is not None:
            reason = f"{ground}, {decision.reason}"
            return Decision(decision.action, reason, decision.rule)
    return Decision(_basic_action(tag, row["basic"]), ground)


def decide_by_kind(tag: int, settings: DeidSettings) -> Decision:
    """Decide about an attribute that the table does not name."""
    vr, rule = public_vr(tag), technique_rules().get(tag, "")
    if tag == 0x00282000:
        return Decision(Action.REWRITE, "colour profile: sRGB's for any", "icc_profile")
    if tag == 0x00080104:
        return Decision(
            Action.PSEUDONYM, "free text: the dictionary's words or the code"
        )
    if rule:
        return Decision(Action.RULE, "technique list", rule)
    if vr in NUMERIC_VRS or tag in LUT_TAGS:
        return Decision(Action.KEEP, "number")
    if vr in ("DS", "IS"):
        return Decision(Action.RULE, "number", "integer" if vr == "IS" else "number")
    if vr == "CS":
        return Decision(Action.RULE, "code", "code")
    if vr == "SQ":
        return Decision(Action.RECURSE, "sequence")
    if vr == "UI":
        return Decision(uid_action(settings), "UID")
    if vr in DATE_VRS:
        return Decision(date_action(vr, settings), "date or time of day")
    return Decision(Action.REMOVE, "text or bytes that no list names")


def date_action(vr: str, settings: DeidSettings) -> Action:
    """Return what happens to a date or time that no row names."""
    if settings.dates == "remove":
        return Action.REMOVE
    if vr == "TM":
        return Action.KEEP_TIME
    return Action.RETAIN if settings.dates == "full" else Action.SHIFT


def uid_action(settings: DeidSettings) -> Action:
    """Return what happens to a UID that no row names."""
    return Action.RETAIN if settings.uids == "retain" else Action.REMAP


def _by_dates(tag: int, row: Row, vr: str, settings: DeidSettings) -> Decision | None:
    if "dates_modified" not in row:
        return None
    if vr not in DATE_VRS:
        if settings.dates == "full" and tag == 0x00080201:
            return Decision(Action.RULE, "full dates K", "number")
        return None
    if settings.dates == "remove":
        return Decision(_undated_action(tag, row["basic"]), "dates removed")
    column = "full dates K" if settings.dates == "full" else "modified dates C"
    return Decision(date_action(vr, settings), column)


def _undated_action(tag: int, basic: str) -> Action:
    # SeriesDate and its like are optional (PS3.3 section C.7.3.1): no false date.
    return Action.REMOVE if basic == "X/D" else _basic_action(tag, basic)


def _by_uids(tag: int, row: Row, vr: str, settings: DeidSettings) -> Decision | None:
    if settings.uids != "retain" or "retain_uids" not in row:
        return None
    action = Action.RECURSE if vr == "SQ" else Action.RETAIN
    return Decision(action, "retain UIDs K")


def _by_person(tag: int, row: Row, vr: str, settings: DeidSettings) -> Decision | None:
    field = CHARACTERISTIC_TAGS.get(tag, "")
    if field not in settings.characteristics:
        return None
    reason = f"patient characteristics {row.get('retain_characteristics', 'K')}"
    if field == "age":
        return Decision(Action.CAP_AGE, reason)
    if vr in NUMERIC_VRS:
        return Decision(Action.KEEP, reason)
    return Decision(Action.RULE, reason, _CHARACTERISTIC_RULES[field])


def _by_place(tag: int, row: Row, vr: str, settings: DeidSettings) -> Decision | None:
    if settings.device == "retain" and "retain_device" in row:
        if row["retain_device"] == "C":
            return Decision(Action.RULE, "retain device C", "token")
        action = Action.RECURSE if vr == "SQ" else Action.RETAIN
        return Decision(action, "retain device K")
    if settings.institution == "retain" and "retain_institution" in row:
        action = Action.RECURSE if vr == "SQ" else Action.RETAIN
        return Decision(action, "retain institution K")
    return None


def _by_content(tag: int, row: Row, vr: str, settings: DeidSettings) -> Decision | None:
    if settings.graphics == "clean" and "clean_graphics" in row:
        return Decision(Action.RECURSE, "clean graphics C")
    if settings.structured_content == "clean" and "clean_structured_content" in row:
        return Decision(Action.RECURSE, "clean structured content C")
    rule = technique_rules().get(tag, "")
    if settings.descriptors == "clean" and "clean_descriptors" in row and rule:
        return Decision(Action.RULE, "clean descriptors C", rule)
    return None


def _basic_action(tag: int, basic: str) -> Action:
    """Choose, among what a row allows, what keeps any object valid."""
    if basic == "X":
        return Action.REMOVE
    if basic == "U":
        return Action.REMAP
    if basic == "X/Z/U*":
        return Action.RECURSE
    if tag in _OPTIONAL_SEQUENCES:
        return Action.REMOVE
    if basic in ("Z", "X/Z") or (basic == "X/Z/D" and tag not in _NEVER_EMPTY):
        return Action.EMPTY
    return Action.DUMMY
