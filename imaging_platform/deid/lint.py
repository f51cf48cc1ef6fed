"""Contradictions and risks of a policy, in words for who signs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from imaging_platform.deid.additions import (
    ElementName,
    KeptElement,
    index_removed,
    parse_element,
)
from imaging_platform.deid.decision import NUMERIC_VRS, Action
from imaging_platform.deid.elements import public_vr
from imaging_platform.deid.patterns import OWN_RULE, matches_own
from imaging_platform.deid.policy import decide_public
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import known_creators, technique_rules
from imaging_platform.model.findings import Finding

MIN_RANGE_DAYS = 90
"""A smaller range of moved dates leaves the season, and often the week, to guess."""

_PROBES = ("Doe", "DOEJANE", "Doe Jane", "Doe^Jane", "MRN12345", "A1234567", "4711888")
_RARE = frozenset({"ethnic_group", "allergies", "patient_state", "special_needs"})


def lint_policy(settings: DeidSettings) -> tuple[Finding, ...]:
    """Return the findings of a policy, errors first."""
    checks: tuple[Callable[[DeidSettings], Iterator[Finding]], ...] = (
        _check_dates,
        _check_uids,
        _check_place,
        _check_person,
        _check_content,
        _check_gate,
        _check_keep,
        _check_remove,
    )
    found = [finding for check in checks for finding in check(settings)]
    return tuple(sorted(found, key=lambda one: (one.level != "error", one.field)))


def _check_dates(settings: DeidSettings) -> Iterator[Finding]:
    span = settings.latest_days - settings.earliest_days + 1
    if settings.dates == "full":
        yield _risk(
            "dates",
            "Dates stay as they are: day and time of a scan find a patient in any "
            "calendar of the hospital.",
            "Use `dates: modified`; intervals stay exact.",
        )
    elif settings.dates == "remove":
        yield _risk(
            "dates",
            "Without dates and times PET has no decay correction (SUV), and sessions "
            "have no order in time.",
            "Use `dates: modified` unless the ethics vote forbids moved dates.",
        )
    elif span < MIN_RANGE_DAYS:
        yield _risk(
            "earliest_days",
            f"Dates move within {span} days only: the real day can be guessed.",
            f"Leave at least {MIN_RANGE_DAYS} days between earliest_days and "
            "latest_days.",
        )


def _check_uids(settings: DeidSettings) -> Iterator[Finding]:
    if settings.uids != "retain":
        return
    yield _risk(
        "uids",
        "UIDs stay as they are: who may ask the archive finds the patient. Data "
        "with them is not to be shared.",
        "Use `uids: replace`; references between files stay whole.",
    )
    if settings.dates != "full":
        yield _error(
            "uids",
            "Most scanners write day and time of the scan into UIDs, which stay, while "
            f"`dates: {settings.dates}` hides them: the echo guard holds the session.",
            "Use `uids: replace`, or `dates: full` if both may be known.",
        )
    if settings.device != "retain":
        yield _error(
            "uids",
            "Many scanners write their serial number into UIDs, which stay, while "
            "`device: remove` hides it.",
            "Use `uids: replace`, or `device: retain` if both may be known.",
        )


def _check_place(settings: DeidSettings) -> Iterator[Finding]:
    if settings.device == "retain":
        yield _risk(
            "device",
            "Serial number and station name stay: they name the site and, with a "
            "date, the patient.",
            "Use `device: remove`; maker, model and software version stay anyway.",
        )
    if settings.institution == "retain":
        yield _risk(
            "institution",
            "Name and address of the institution stay and narrow a patient down to "
            "its catchment area.",
            "Use `institution: remove`; the dataset's description can name the site.",
        )


def _check_person(settings: DeidSettings) -> Iterator[Finding]:
    kept = set(settings.characteristics)
    if kept & _RARE:
        yield _risk(
            "characteristics",
            f"{', '.join(sorted(kept & _RARE))} stay: with age and sex few people of "
            "a study share them.",
            "Keep them outside the images, where access can be limited.",
        )
    if "PT" in settings.released_kinds and "weight" not in kept:
        yield _risk(
            "characteristics",
            "PET is released without the patient's weight: no standardized uptake "
            "value (SUV) can be computed.",
            "Add weight, or leave PT out of released_kinds.",
        )


def _check_content(settings: DeidSettings) -> Iterator[Finding]:
    if settings.descriptors == "remove":
        yield _risk(
            "descriptors",
            "Series have no description: rules of bids that match on it name nothing.",
            "Match on other fields, or use `descriptors: clean`.",
        )
    if settings.private == "remove":
        yield _risk(
            "private",
            "Private elements hold slice times and gradient directions of most makers: "
            "about half of MR series convert differently.",
            "Use `private: safe`.",
        )


def _check_gate(settings: DeidSettings) -> Iterator[Finding]:
    if not settings.released_kinds:
        yield _error(
            "released_kinds",
            "No kind of image is released: every session comes out empty.",
            "Name at least one kind, such as MR.",
        )
    if not settings.quarantine_burned_in:
        kinds = ", ".join(settings.released_kinds) or "none"
        yield _risk(
            "quarantine_burned_in",
            f"Images of {kinds} that say that text is burned in are written as they "
            "are, with the text.",
            "Use `quarantine_burned_in: true`, and masks for the devices you know.",
        )


def _check_keep(settings: DeidSettings) -> Iterator[Finding]:
    for one in settings.keep:
        name = parse_element(one.element)
        yield from _check_reach(one, name, settings)
        let_pass = [p for p in _PROBES if matches_own(OWN_RULE + one.pattern, p)]
        if let_pass:
            yield _risk(
                "keep",
                f"The pattern of {one.element} lets a name or a number of a patient "
                f"pass, such as {let_pass[0]}.",
                "Spell out the values that are needed, or their form.",
            )


def _check_reach(
    one: KeptElement, name: ElementName, settings: DeidSettings
) -> Iterator[Finding]:
    if name.creator and settings.private == "remove":
        yield _error(
            "keep",
            f"{one.element} is never kept: `private: remove` takes all of its kind.",
            "Use `private: safe`, or take it off the list.",
        )
    elif name.creator and name.creator not in known_creators():
        yield _risk(
            "keep",
            f"The creator of {one.element} is on no public list: nobody else has "
            "looked at what it holds.",
            "Look at its values in every release of the scanner's software.",
        )
    elif not name.creator and public_vr(name.tag) in NUMERIC_VRS:
        yield _error(
            "keep",
            f"{one.element} is a binary number and stays anyway; its pattern is never "
            "asked.",
            "Take it off the list.",
        )


def _check_remove(settings: DeidSettings) -> Iterator[Finding]:
    bare = settings.model_copy(update={"remove": ()})
    for name in sorted(index_removed(settings.remove), key=str):
        if name.creator:
            continue
        before = decide_public(name.tag, bare).action
        if before is Action.REMOVE:
            yield _error(
                "remove",
                f"{name} is removed anyway.",
                "Take it off the list.",
            )
        elif name.tag in technique_rules() or before in (Action.KEEP, Action.RULE):
            yield _risk(
                "remove",
                f"{name} is technique that conversion to BIDS may read.",
                "Look for missing_metadata in the session reports afterwards.",
            )


def _risk(field: str, message: str, fix: str) -> Finding:
    return Finding("risk", f"deid.{field}", message, fix)


def _error(field: str, message: str, fix: str) -> Finding:
    return Finding("error", f"deid.{field}", message, fix)
