"""
What a policy makes of one session: a digest that changes when its bytes would.

A study's options and the product's tables touch most sessions not at all. So what a
session held (`inventory.Inventory`) and what the gate saw (`gate.GateFacts`) are
kept beside its output, and the policy of today is asked about exactly these.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence

from imaging_platform.deid.additions import ElementName, index_kept
from imaging_platform.deid.codes import (
    deid_codes,
    method_text,
    temporal_information,
)
from imaging_platform.deid.decision import Action, Decision
from imaging_platform.deid.elements import public_vr
from imaging_platform.deid.gate import GateFacts, judge, mask_for
from imaging_platform.deid.inventory import Inventory, PrivateName, is_known_tag
from imaging_platform.deid.policy import decide_private, decide_public
from imaging_platform.deid.session import DeidReport
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import known_creators, load_table
from imaging_platform.deid.values import PATTERNS
from imaging_platform.files.digests import digest_json

_CODE_MEANING = 0x00080104
_TABLES_OF_REWRITERS = {
    "siemens_csa": ("siemens.json",),
    "siemens_protocol": ("siemens.json",),
}
"""Tables that a rewriter reads; a new table of a rewriter belongs here."""


def outcome_digest(
    inventory: Inventory,
    settings: DeidSettings,
    facts: Sequence[GateFacts] = (),
) -> str:
    """
    Return the digest of what a policy makes of a session, as hex.

    Parameters
    ----------
    inventory
        The elements that the session held.
    settings
        The study's options now.
    facts
        What the gate saw of each kind of file; order and repeats do not matter.

    Returns
    -------
    str
        It covers the action, rule, pattern and value representation of each
        element, codes and statements, the range of dates if one moves, tables that
        the rules of these elements read, and the verdict on each kind of file. A
        reason in prose is not in it. Without an element only the verdicts count.
    """
    return _lens(settings).digest(inventory, frozenset(facts))


def digest_report(report: DeidReport, settings: DeidSettings) -> str:
    """Return the outcome digest of a session that was just de-identified."""
    facts = tuple(map(GateFacts.from_dict, report.gate_facts))
    return outcome_digest(Inventory.from_dict(report.inventory), settings, facts)


def describe_change(
    inventory: Inventory,
    before: DeidSettings,
    after: DeidSettings,
    facts: Sequence[GateFacts] = (),
) -> str:
    """
    Return in words why an outcome changed, naming elements and no values.

    Parameters
    ----------
    inventory, facts
        As `outcome_digest`.
    before, after
        The options when the session was made, and now.
    """
    old, new = _lens(before), _lens(after)
    told = []
    changed = [
        shown
        for shown, one, other in zip(
            _shown(inventory), old.lines(inventory), new.lines(inventory), strict=True
        )
        if one != other
    ]
    if changed:
        what = "element is" if len(changed) == 1 else "elements are"
        told.append(f"{len(changed)} {what} treated differently, first {changed[0]}")
    n_judged = sum(old.verdict(one) != new.verdict(one) for one in set(facts))
    if n_judged:
        told.append(f"{n_judged} kind(s) of files are judged differently")
    if old.statements != new.statements:
        told.append("the files say otherwise what was done")
    return f"policy: {'; '.join(told) or 'tables or engine of the product changed'}"


class _Lens:
    """One study's options, with each treatment looked up once."""

    def __init__(self, settings: DeidSettings) -> None:
        self._settings = settings
        self._public: dict[int, str] = {}
        self._private: dict[PrivateName, str] = {}
        self._verdicts: dict[GateFacts, str] = {}
        self._digests: dict[tuple[Inventory, frozenset[GateFacts]], str] = {}
        self._dates = (
            f"{settings.earliest_days}..{settings.latest_days}"
            if settings.dates == "modified"
            else settings.dates
        )
        self.statements = digest_json(
            [deid_codes(settings), method_text(), temporal_information(settings)]
        )
        self._strangers = digest_json(
            sorted(
                (str(name), one.pattern)
                for name, one in index_kept(settings.keep).items()
                if _is_stranger(name)
            )
        )

    def digest(self, inventory: Inventory, facts: frozenset[GateFacts]) -> str:
        known = self._digests.get((inventory, facts))
        if known is None:
            known = _digest_lines(self._outcome(inventory, facts))
            self._digests[(inventory, facts)] = known
        return known

    def _outcome(
        self, inventory: Inventory, facts: frozenset[GateFacts]
    ) -> Iterable[str]:
        yield from sorted(f"{one} {self.verdict(one)}" for one in facts)
        if inventory.is_empty:
            return
        yield self.statements
        yield from map("{} {}".format, _shown(inventory), self.lines(inventory))
        if inventory.has_strangers:
            yield self._strangers

    def lines(self, inventory: Inventory) -> list[str]:
        """Return the treatment of each element."""
        return [
            *map(self._treat_public, inventory.public),
            *map(self._treat_private, inventory.private),
        ]

    def verdict(self, facts: GateFacts) -> str:
        """Return whether such files pass, and with which mask."""
        verdict = self._verdicts.get(facts)
        if verdict is None:
            recipe = mask_for(facts, self._settings)
            verdict = recipe.model_dump_json() if recipe else "passes"
            if judge(facts, self._settings):
                verdict = "refused"
            self._verdicts[facts] = verdict
        return verdict

    def _treat_public(self, tag: int) -> str:
        known = self._public.get(tag)
        if known is None:
            decision = decide_public(tag, self._settings)
            known = self._treatment(decision, decision.vr or public_vr(tag))
            if tag == _CODE_MEANING:
                known += _digest_table("code_meanings.json")
            self._public[tag] = known
        return known

    def _treat_private(self, name: PrivateName) -> str:
        known = self._private.get(name)
        if known is None:
            decision = decide_private(*name, self._settings)
            known = self._treatment(decision, decision.vr or name[3])
            self._private[name] = known
        return known

    def _treatment(self, decision: Decision, vr: str) -> str:
        parts = [decision.action.value, decision.rule, decision.vr]
        parts.append(PATTERNS.get(decision.rule, ""))
        is_dummy_date = decision.action is Action.DUMMY and vr in ("DA", "DT")
        if decision.action is Action.SHIFT or is_dummy_date:
            parts.append(self._dates)
        if decision.action in (Action.RULE, Action.REWRITE):
            parts.append(_digest_table("words.json"))
        if decision.rule == "descriptor":
            parts += sorted(self._settings.own_words)
        if decision.action is Action.REWRITE:
            parts += [self._dates, self._settings.descriptors, digest_json(PATTERNS)]
            parts += sorted(self._settings.own_words)
            tables = _TABLES_OF_REWRITERS.get(decision.rule, ())
            parts += map(_digest_table, tables)
        return "|".join(parts)


def _lens(settings: DeidSettings) -> _Lens:
    return _lens_of(settings.model_dump_json())


@functools.lru_cache(maxsize=64)
def _lens_of(settings_json: str) -> _Lens:
    return _Lens(DeidSettings.model_validate_json(settings_json))


def _is_stranger(name: ElementName) -> bool:
    if name.creator:
        return name.creator not in known_creators()
    return not is_known_tag(name.tag)


def _shown(inventory: Inventory) -> list[str]:
    return [
        *(f"({tag >> 16:04x},{tag & 0xFFFF:04x})" for tag in inventory.public),
        *(f"({g:04x},xx{e:02x}) of {c}" for g, e, c, _ in inventory.private),
    ]


def _digest_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@functools.cache
def _digest_table(name: str) -> str:
    return digest_json(load_table(name))
