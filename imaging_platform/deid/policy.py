"""
What happens to each element, and why (PS3.15 annex E as data).

The order: containers that are never carried on; what the study removes; what the
profile's table says under the study's options; what the study keeps; then, for
attributes that the table does not name, only numbers, codes and the reviewed
technique list stay. Unknown elements go.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from imaging_platform.deid.additions import ElementName, index_kept, index_removed
from imaging_platform.deid.codes import (
    ENGINE_VERSION,
    deid_codes,
    method_text,
    temporal_information,
)
from imaging_platform.deid.decision import (
    DATE_VRS,
    LUT_TAGS,
    NUMERIC_VRS,
    SET_TAGS,
    TEXT_VRS,
    Action,
    Decision,
)
from imaging_platform.deid.elements import PIXEL_TAGS, private_vr, public_vr
from imaging_platform.deid.inventory import Inventory, PrivateName, take_inventory
from imaging_platform.deid.patterns import OWN_RULE
from imaging_platform.deid.profile import (
    date_action,
    decide_by_kind,
    decide_by_profile,
    uid_action,
)
from imaging_platform.deid.rewriters import REWRITERS
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import PROFILE_FILE, load_table, table_edition
from imaging_platform.deid.values import NUMBER_RULES, PATTERNS
from imaging_platform.files.digests import digest_json

__all__ = [
    "ENGINE_VERSION",
    "LUT_TAGS",
    "NUMERIC_VRS",
    "TEXT_VRS",
    "Action",
    "Decision",
    "Policy",
    "decide_private",
    "decide_public",
    "deid_codes",
    "method_text",
    "policy_digest",
    "temporal_information",
]


def policy_digest(settings: DeidSettings) -> str:
    """
    Return the digest of all that decides about an output but the secret, as hex.

    It covers the edition and content of every table, the value rules, the options
    and `ENGINE_VERSION`. It names a policy for people; what makes a session out of
    date is `outcome.outcome_digest`.
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

    def take_inventory(self, names: Iterable[int | PrivateName]) -> Inventory:
        """Return which elements files held, free of identity."""
        asked = list(names)
        public = tuple(name for name in asked if isinstance(name, int))
        private = tuple(name for name in asked if not isinstance(name, int))
        named = index_kept(self.settings.keep).keys() | index_removed(
            self.settings.remove
        )
        creators = frozenset(name.creator for name in named if name.creator)
        return take_inventory(public, private, also=creators)

    @functools.cached_property
    def spared(self) -> frozenset[int]:
        """Public tags whose original values the study decided to retain."""
        from pydicom._dicom_dict import DicomDictionary

        if not _retains(self.settings):
            return frozenset()
        named = {int(name, 16) for name in _table() if "x" not in name}
        retained = frozenset(
            tag
            for tag in named | set(DicomDictionary)
            if decide_public(tag, self.settings).action is Action.RETAIN
        )
        # The meta group is rebuilt, but repeats the instance and often the station.
        meta = {0x00020016} if self.settings.device == "retain" else set()
        meta |= {0x00020003} if self.settings.uids == "retain" else set()
        return retained | meta

    @property
    def retains(self) -> bool:
        """Whether the study retains anything that identifies."""
        return _retains(self.settings)

    def spares(self, tag: int, vr: str) -> bool:
        """
        Return whether the original value of an element is meant to stay.

        Parameters
        ----------
        tag
            Group << 16 | element; of a private element only that it is one counts.
        vr
            Value representation in the file.
        """
        if not tag >> 16 & 1:
            return tag in self.spared
        if vr == "UI":
            return uid_action(self.settings) is Action.RETAIN
        return vr in DATE_VRS and self.settings.dates == "full"


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
    if tag in PIXEL_TAGS:
        return Decision(Action.KEEP, "pixel data, after the pixel gate")
    if tag in SET_TAGS:
        return Decision(Action.SET, "says what was done")
    if tag in (0x00100010, 0x00100020):
        return Decision(Action.PSEUDONYM, f"PS3.15 E.1-1 {table_edition()}: Z")
    name = ElementName(tag >> 16, tag & 0xFFFF)
    if name in index_removed(settings.remove):
        return Decision(Action.REMOVE, "the study removes it")
    row = _table().get(f"{tag:08x}")
    if row is not None:
        return decide_by_profile(tag, row, settings)
    kept = index_kept(settings.keep).get(name)
    if kept is not None and public_vr(tag) not in NUMERIC_VRS:
        return Decision(
            Action.RULE, f"the study keeps it: {kept.reason}", OWN_RULE + kept.pattern
        )
    if public_vr(tag) == "UN":
        return Decision(Action.REMOVE, "not in the dictionary")
    return decide_by_kind(tag, settings)


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
    name = ElementName(group, element & 0xFF, creator.strip().lower())
    if name in index_removed(settings.remove):
        return Decision(Action.REMOVE, "the study removes it")
    key = f"{group:04x},{name.creator},{name.element:02x}"
    reviewed = load_table("private_reviewed.json")["elements"].get(key)
    safe = load_table("private_safe.json")["elements"].get(key)
    kept = index_kept(settings.keep).get(name)
    if reviewed is None and safe is None and kept is None:
        return Decision(Action.REMOVE, "not on a list of safe private elements")
    if vr == "UN":
        vr = _listed_vr(name, creator.strip(), reviewed, safe)
    if kept is not None:
        rule = OWN_RULE + kept.pattern
        reason = f"the study keeps it: {kept.reason}"
        return _decide_private_by_vr(vr, reason, settings, rule=rule)
    if reviewed is not None and reviewed[1] != "by_vr":
        reason = f"reviewed list: {reviewed[2]}"
        return _decide_reviewed(reviewed[1], reason, vr)
    reason = f"safe private list of {(safe or ['us'])[0]}"
    return _decide_private_by_vr(vr, reason, settings)


def _listed_vr(
    name: ElementName,
    creator: str,
    reviewed: list[str] | None,
    safe: list[str] | None,
) -> str:
    """Return the value representation that a file leaves open, "UN" if unknown."""
    known = private_vr(name.group << 16 | 0x1000 | name.element, creator)
    if known != "UN":
        return known
    if safe is not None and len(safe) == 2:
        return safe[1]
    return reviewed[0] if reviewed and reviewed[0] else "UN"


def _container_reason(tag: int) -> str:
    group = tag >> 16
    if tag & 0xFFFF == 0:
        return "group length, retired"
    if group & 0xFF00 in (0x5000, 0x6000):
        return "curves and overlays may hold text"
    if group in (0x0000, 0x0002, 0x0004, 0x0400, 0xFFFA, 0xFFFC, 0xFFFE):
        return "signature, earlier attributes, directory or padding"
    if tag in (0x7FE00001, 0x7FE00002, 0x7FE00003):
        return "where frames begin, of Type 3 (PS3.3 section C.7.6.3): any bytes fit"
    if tag == 0x00880200:
        return "icon, a copy of the image that no gate has seen"
    return ""


_RULES_OF_NUMBERS = {"DS": "number", "IS": "integer"}


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
    if rule == "number_or_recurse":
        rule = "number"
    if rule not in NUMBER_RULES:
        rule = _RULES_OF_NUMBERS.get(vr, rule)
    return Decision(Action.RULE, reason, rule, vr)


def _decide_private_by_vr(
    vr: str, reason: str, settings: DeidSettings, *, rule: str = ""
) -> Decision:
    if vr in NUMERIC_VRS:
        return Decision(Action.KEEP, reason, vr=vr)
    if vr == "UI":
        return Decision(uid_action(settings), reason, vr=vr)
    if vr in DATE_VRS:
        return Decision(date_action(vr, settings), reason, vr=vr)
    if vr == "SQ":
        return Decision(Action.RECURSE, reason, vr=vr)
    by_vr = _RULES_OF_NUMBERS | {"CS": "code"}
    if vr in by_vr or vr in ("LO", "SH", "ST", "LT", "UT", "UC"):
        return Decision(Action.RULE, reason, rule or by_vr.get(vr, "token"), vr)
    if rule and vr == "UN":
        return Decision(Action.RULE, reason, rule)
    return Decision(Action.REMOVE, f"{reason}, but bytes of unknown form")


def _retains(settings: DeidSettings) -> bool:
    options = (settings.device, settings.institution, settings.uids)
    return settings.dates == "full" or "retain" in options


def _table() -> dict[str, dict[str, str]]:
    return load_table(PROFILE_FILE)["attributes"]
