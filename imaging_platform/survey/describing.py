"""Reasons in words: what is decided otherwise, and which files changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from imaging_platform.model import layout
from imaging_platform.planning.cells import Cell
from imaging_platform.planning.plan import Plan
from imaging_platform.planning.reasons import DECIDED, Reason, name_some
from imaging_platform.survey.policies import PolicyWatch
from imaging_platform.survey.rules import RuleWatch
from imaging_platform.survey.site import Site

MOST_DESCRIBED = 200
"""Each needs the record of its session; all of one kind read much alike."""


def describe_some(site: Site, plan: Plan) -> Plan:
    """Return the plan with the first of the policy and rules reasons in words."""
    told = [cell for cell in plan.unsettled if any(map(_is_decided, cell.reasons))]
    first = {id(cell) for cell in told[:MOST_DESCRIBED]}
    return replace(
        plan,
        cells=tuple(describe(site, c) if id(c) in first else c for c in plan.cells),
    )


def describe(site: Site, cell: Cell) -> Cell:
    """Return a cell whose reasons say what is decided otherwise, and which files."""
    told = {
        "policy": PolicyWatch(site.study, site.store).describe,
        "rules": RuleWatch(site.study, site.store).describe,
    }
    reasons = tuple(
        replace(reason, sentence=told[reason.kind](cell.partition))
        if reason.kind in told
        else _name_files(site, cell.partition, reason)
        for reason in cell.reasons
    )
    return replace(cell, reasons=reasons)


def _name_files(site: Site, partition: str, reason: Reason) -> Reason:
    """Return the reason with the files of its inputs that changed, where known."""
    is_one = len(reason.inputs) == 1
    told = [
        f"{path} {word}" if is_one else f"{name}: {path} {word}"
        for name, before in zip(reason.inputs, reason.befores, strict=False)
        for path, word in _find_changes(site, partition, name, before).items()
    ]
    if not told:
        return reason
    return replace(
        reason,
        sentence=f"{reason.sentence} ({name_some(tuple(told))})",
        files=tuple(told),
    )


def _find_changes(
    site: Site, partition: str, name: str, before: str
) -> Mapping[str, str]:
    asset, _, member = name.rstrip("]").partition("[")
    session = member or partition
    if asset not in layout.SESSION_TREES or not session or not before:
        return {}
    key = layout.tree_key(site.study.name, asset, session)
    return site.store.changes(key, before)


def _is_decided(reason: Reason) -> bool:
    return reason.kind in DECIDED.values()
