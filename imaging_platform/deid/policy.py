"""
What happens to each element, and why (PS3.15 annex E as data).

The order: containers that are never carried on; what the profile's table says
under the study's options; then, for attributes that the table does not name, only
numbers, codes and the reviewed technique list stay. Unknown elements go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from imaging_platform.deid.elements import PIXEL_TAGS, private_vr, public_vr
from imaging_platform.deid.rewriters import REWRITERS
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import (
    PROFILE_FILE,
    load_table,
    table_edition,
    technique_rules,
)
from imaging_platform.deid.values import NUMBER_RULES, PATTERNS
from imaging_platform.files.digests import digest_json

ENGINE_VERSION = "1"
"""Raised with every change of code that can change an output."""

NUMERIC_VRS = frozenset(["FD", "FL", "SL", "SS", "UL", "US", "SV", "UV", "AT"])
TEXT_VRS = frozenset(["AE", "AS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
# Of Type 3 where they are, so that an empty one is an error (PS3.5 section 7.4.5):
# InstitutionCode-, OperatorIdentification-, ReferencedStudy- and
# ReferencedPerformedProcedureStepSequence.
_OPTIONAL_SEQUENCES = frozenset({0x00080082, 0x00081072, 0x00081110, 0x00081111})
LUT_TAGS = frozenset(
    {0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223, 0x00283006}
)
_SET_TAGS = frozenset({0x00080005, 0x00120062, 0x00120063, 0x00120064, 0x00280303})
_CHARACTERISTIC_TAGS = {
    0x00101010: "age",
    0x00100040: "sex",
    0x00101020: "size",
    0x00101030: "weight",
    0x00102160: "ethnic_group",
    0x001021A0: "smoking",
}
_CHARACTERISTIC_RULES = {
    "sex": "sex",
    "size": "number",
    "weight": "number",
    "ethnic_group": "code",
    "smoking": "code",
}


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
    CAP_AGE = "cap age"
    RETAIN = "retain as the study decided"
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


@dataclass(frozen=True)
class Explanation:
    """
    What `explain_element` tells.

    Parameters
    ----------
    tag
        As ``(gggg,eeee)``, for private elements ``(gggg,xxee)``.
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


def deid_codes(settings: DeidSettings) -> tuple[tuple[str, str], ...]:
    """Return codes and meanings of what was done (PS3.16 CID 7050)."""
    codes = [("113100", "Basic Application Confidentiality Profile")]
    if settings.descriptors == "clean":
        codes.append(("113105", "Clean Descriptors Option"))
    codes.append(
        (
            "113107",
            "Retain Longitudinal Temporal Information Modified Dates Option",
        )
    )
    if settings.characteristics:
        codes.append(("113108", "Retain Patient Characteristics Option"))
    if settings.private == "safe":
        codes.append(("113111", "Retain Safe Private Option"))
    return tuple(codes)


def policy_digest(settings: DeidSettings) -> str:
    """
    Return the digest of all that decides about an output but the secret, as hex.

    It covers the edition and content of every table, the value rules, the options
    and `ENGINE_VERSION`; it belongs into the code version of what uses it.
    """
    names = (
        PROFILE_FILE,
        "private_safe.json",
        "private_reviewed.json",
        "technique.json",
        "siemens.json",
        "words.json",
        "code_meanings.json",
    )
    return digest_json(
        {
            "engine": ENGINE_VERSION,
            "settings": settings.model_dump(),
            "tables": {name: load_table(name) for name in names},
            "rules": PATTERNS,
        }
    )


class Policy:
    """
    The decisions of one study's options, each made once.

    Parameters
    ----------
    settings
        The study's options.
    """

    def __init__(self, settings: DeidSettings) -> None:
        self.settings = settings
        self.digest = policy_digest(settings)
        self._public: dict[int, Decision] = {}
        self._private: dict[tuple[int, int, str, str], Decision] = {}

    def public(self, tag: int) -> Decision:
        """Return what `decide_public` says."""
        decision = self._public.get(tag)
        if decision is None:
            decision = self._public[tag] = decide_public(tag, self.settings)
        return decision

    def private(self, group: int, element: int, creator: str, vr: str) -> Decision:
        """Return what `decide_private` says."""
        name = (group, element & 0xFF, creator, vr)
        decision = self._private.get(name)
        if decision is None:
            decision = decide_private(group, element, creator, vr, self.settings)
            self._private[name] = decision
        return decision


def decide_public(tag: int, settings: DeidSettings) -> Decision:
    """
    Decide about an element of an even group.

    Parameters
    ----------
    tag
        Group << 16 | element.
    settings
        The study's options.
    """
    container = _container_reason(tag)
    if container:
        return Decision(Action.REMOVE, container)
    if tag in PIXEL_TAGS or tag in (0x7FE00001, 0x7FE00002):
        return Decision(Action.KEEP, "pixel data, after the pixel gate")
    if tag in _SET_TAGS:
        return Decision(Action.SET, "says what was done")
    if tag in (0x00100010, 0x00100020):
        return Decision(Action.PSEUDONYM, f"PS3.15 E.1-1 {table_edition()}: Z")
    row = load_table(PROFILE_FILE)["attributes"].get(f"{tag:08x}")
    if row is not None:
        return _decide_by_profile(tag, row, settings)
    if public_vr(tag) == "UN":
        return Decision(Action.REMOVE, "not in the dictionary")
    return _decide_by_kind(tag)


def decide_private(
    group: int, element: int, creator: str, vr: str, settings: DeidSettings
) -> Decision:
    """
    Decide about an element of an odd group.

    Parameters
    ----------
    group, element
        Only the low byte of the element counts: the block is the creator's.
    creator
        Value of the block's creator element.
    vr
        Value representation in the file, "UN" if it does not say.
    settings
        The study's options.
    """
    if settings.private == "remove":
        return Decision(Action.REMOVE, "private elements are off")
    name = f"{group:04x},{creator.strip().lower()},{element & 0xFF:02x}"
    reviewed = load_table("private_reviewed.json")["elements"].get(name)
    safe = load_table("private_safe.json")["elements"].get(name)
    if reviewed is None and safe is None:
        return Decision(Action.REMOVE, "not on a list of safe private elements")
    listed = reviewed[0] if reviewed else ""
    if vr == "UN":
        vr = private_vr(group << 16 | 0x1000 | element & 0xFF, creator.strip())
    if vr == "UN" and safe is not None and len(safe) == 2:
        vr = safe[1]
    if vr == "UN" and listed:
        vr = listed
    if reviewed is not None and reviewed[1] != "by_vr":
        return _decide_reviewed(reviewed[1], f"reviewed list: {reviewed[2]}", vr)
    return _decide_private_by_vr(vr, f"safe private list of {(safe or ['us'])[0]}")


def explain_element(
    tag: int, settings: DeidSettings, *, creator: str = ""
) -> Explanation:
    """
    Tell what happens to an element and why.

    Parameters
    ----------
    tag
        Group << 16 | element.
    settings
        The study's options.
    creator
        Private creator, for an odd group.
    """
    from pydicom.datadict import keyword_for_tag

    if tag >> 16 & 1:
        known = private_vr(tag & 0xFFFF00FF | 0x1000, creator)
        decision = decide_private(tag >> 16, tag & 0xFFFF, creator, known, settings)
        shown = f"({tag >> 16:04x},xx{tag & 0xFF:02x})"
        return Explanation(
            shown, "", decision.vr or known, decision.action, decision.reason
        )
    decision = decide_public(tag, settings)
    reason = (
        f"{decision.reason} [{decision.rule}]" if decision.rule else decision.reason
    )
    shown = f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
    return Explanation(
        shown, keyword_for_tag(tag), public_vr(tag), decision.action, reason
    )


def _container_reason(tag: int) -> str:
    group = tag >> 16
    if tag & 0xFFFF == 0:
        return "group length, retired"
    if group & 0xFF00 in (0x5000, 0x6000):
        return "curves and overlays may hold text"
    if group in (0x0000, 0x0002, 0x0004, 0x0400, 0xFFFA, 0xFFFC, 0xFFFE):
        return "signature, earlier attributes, directory or padding"
    if tag == 0x00880200:
        return "icon, a copy of the image that no gate has seen"
    return ""


def _decide_by_profile(
    tag: int, row: dict[str, str], settings: DeidSettings
) -> Decision:
    basic, vr = row["basic"], public_vr(tag)
    reason = f"PS3.15 E.1-1 {table_edition()}: {basic}"
    if "dates_modified" in row and vr in ("DA", "DT"):
        return Decision(Action.SHIFT, f"{reason}, modified dates C")
    if "dates_modified" in row and vr == "TM":
        return Decision(Action.KEEP_TIME, f"{reason}, modified dates C")
    characteristic = _CHARACTERISTIC_TAGS.get(tag, "")
    if characteristic in settings.characteristics:
        reason = f"{reason}, patient characteristics K"
        if characteristic == "age":
            return Decision(Action.CAP_AGE, reason)
        return Decision(Action.RULE, reason, _CHARACTERISTIC_RULES[characteristic])
    rule = technique_rules().get(tag, "")
    if "clean_descriptors" in row and rule and settings.descriptors == "clean":
        return Decision(Action.RULE, f"{reason}, clean descriptors C", rule)
    return Decision(_basic_action(tag, basic), reason)


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
    # DeviceSerialNumber is Type 1 in enhanced objects (PS3.3 section C.7.5.2).
    if basic in ("Z", "X/Z") or (basic == "X/Z/D" and tag != 0x00181000):
        return Action.EMPTY
    return Action.DUMMY


def _decide_by_kind(tag: int) -> Decision:
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
        return Decision(Action.RULE, "number", "number")
    if vr == "CS":
        return Decision(Action.RULE, "code", "code")
    if vr == "SQ":
        return Decision(Action.RECURSE, "sequence")
    if vr == "UI":
        return Decision(Action.REMAP, "UID")
    if vr in ("DA", "DT"):
        return Decision(Action.SHIFT, "date")
    if vr == "TM":
        return Decision(Action.KEEP_TIME, "time of day")
    return Decision(Action.REMOVE, "text or bytes that no list names")


def _decide_reviewed(rule: str, reason: str, vr: str) -> Decision:
    if rule == "drop":
        return Decision(Action.REMOVE, reason)
    if rule in REWRITERS:
        return Decision(Action.REWRITE, reason, rule, vr)
    if vr == "SQ" and rule in ("recurse", "number_or_recurse"):
        return Decision(Action.RECURSE, reason, vr=vr)
    if rule == "recurse":
        return Decision(Action.REMOVE, f"{reason}, but no sequence")
    if vr in NUMERIC_VRS:
        return Decision(Action.KEEP, reason, vr=vr)
    if vr in ("OB", "OW", "UN", "SQ"):
        return Decision(Action.REMOVE, f"{reason}, but of unknown form")
    is_number = vr in ("DS", "IS") and rule not in NUMBER_RULES
    name = "number" if rule == "number_or_recurse" or is_number else rule
    return Decision(Action.RULE, reason, name, vr)


def _decide_private_by_vr(vr: str, reason: str) -> Decision:
    if vr in NUMERIC_VRS:
        return Decision(Action.KEEP, reason, vr=vr)
    if vr in ("DS", "IS"):
        return Decision(Action.RULE, reason, "number", vr)
    if vr == "CS":
        return Decision(Action.RULE, reason, "code", vr)
    if vr in ("LO", "SH", "ST", "LT", "UT", "UC"):
        return Decision(Action.RULE, reason, "token", vr)
    simple = {
        "SQ": Action.RECURSE,
        "UI": Action.REMAP,
        "DA": Action.SHIFT,
        "DT": Action.SHIFT,
        "TM": Action.KEEP_TIME,
    }
    if vr in simple:
        return Decision(simple[vr], reason, vr=vr)
    return Decision(Action.REMOVE, f"{reason}, but bytes of unknown form")
