"""The state of one asset of one session, with its reasons."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from imaging_platform.planning.decisions import Decisions
from imaging_platform.planning.reasons import Reason, name_some
from imaging_platform.planning.state import Made, Node, choose_ready, find_outdated
from imaging_platform.planning.versions import explain_version

WHOLE_STUDY = "all"
"""Stands for the session of what spans all sessions, where a person writes it."""

HELD_CLASSES = ("Held", "IdentityLeak", "InvalidOutput")
"""Failures that wait for a person."""

GATED = "Rated"
"""Class of what a person's verdict on the session keeps from being made."""


class State(StrEnum):
    """How a result stands to what would be made now."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"
    RUNNING = "running"
    FAILED = "failed"
    HELD = "held"
    FROZEN = "frozen"
    WAITS = "waits"
    """Something before it is not up to date; it may then come out the same."""


MOVING = (State.STALE, State.MISSING, State.RUNNING)
"""What a run makes new, or is making."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    The latest attempt at a result that has not made it.

    Parameters
    ----------
    run_id
        The run.
    is_running
        Whether it may still make it.
    failure
        Class of the error, such as ``ToolFailed``; empty while it runs, and when it
        ended without a word: then it counts as not tried.
    code_version
        Version of code and settings that failed; empty where nobody noted it.
    """

    run_id: str
    is_running: bool = False
    failure: str = ""
    code_version: str = ""

    def is_of_other(self, code_version: str) -> bool:
        """Return whether it failed with other code than this, which may succeed."""
        return bool(self.code_version) and self.code_version != code_version


_NEVER_TRIED = Attempt("")


@dataclass(frozen=True, slots=True)
class Cell:
    """
    One asset of one session.

    Parameters
    ----------
    asset
        Its name.
    partition
        Session key; empty for what spans all sessions.
    state
        How it stands.
    reasons
        Why it is not as it would be made now; empty when it is.
    note
        What a person decided, or why it is held.
    failure
        Class of the latest failure, when it is failed or held.
    is_ready
        Whether it is out of date and all before it is as it will be.
    is_stopped
        Whether it waits for something that failed or is held.
    """

    asset: str
    partition: str
    state: State
    reasons: tuple[Reason, ...] = ()
    note: str = ""
    failure: str = ""
    is_ready: bool = False
    is_stopped: bool = False

    @property
    def is_stopping(self) -> bool:
        """Whether nothing behind it can be made until it was."""
        return self.state in (State.FAILED, State.HELD) or self.is_stopped

    @property
    def where(self) -> str:
        """Partition for people."""
        return self.partition or "whole study"


@dataclass(frozen=True)
class Facts:
    """
    What is known of all results of one partition.

    Parameters
    ----------
    partition
        Session key; empty for the whole study.
    made
        What was made last, by asset.
    inputs
        Data version of each input as it is now, by asset and input name.
    attempts
        The latest attempt by asset, where it made nothing.
    holds
        Why a result waits for a person, by asset.
    interrupted
        Assets of which an attempt never came to an end, in words.
    moving
        Assets of other partitions, before these, that are not up to date.
    gates
        Why an asset is not to be made though it could be, by asset.
    """

    partition: str
    made: Mapping[str, Made]
    inputs: Mapping[str, Mapping[str, str]]
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    holds: Mapping[str, str] = field(default_factory=dict)
    interrupted: Mapping[str, str] = field(default_factory=dict)
    moving: Collection[str] = ()
    gates: Mapping[str, str] = field(default_factory=dict)


def judge_partition(
    nodes: Sequence[Node],
    parents: Mapping[str, Sequence[str]],
    facts: Facts,
    decisions: Decisions,
) -> list[Cell]:
    """
    Return the state of each asset of one partition, upstream first.

    Parameters
    ----------
    nodes
        The assets, upstream first.
    parents
        Inputs of each asset, by name.
    facts
        What is known.
    decisions
        What people decided.
    """
    outdated = find_outdated(nodes, facts.made, facts.inputs)
    notes = _take_accepted(outdated, nodes, facts, decisions) if outdated else {}
    # After acceptance: nobody can read what an interrupted attempt left.
    for asset, why in facts.interrupted.items():
        outdated.setdefault(asset, (Reason("interrupted", why),))
    if not (outdated or notes or facts.attempts or facts.holds or facts.moving):
        return [Cell(node.asset, facts.partition, State.FRESH) for node in nodes]
    ready = {} if decisions.frozen else choose_ready(outdated, parents)
    gated = outdated.keys() & facts.gates.keys()
    cells: dict[str, Cell] = {}
    for node in nodes:
        before = [cells[p] for p in parents.get(node.asset, ()) if p in cells]
        cell = functools.partial(
            Cell,
            node.asset,
            facts.partition,
            reasons=outdated.get(node.asset, ()),
            note=notes.get(node.asset, ""),
            is_ready=node.asset in ready and not _is_gated(parents, node.asset, gated),
        )
        moved = _find_moved(parents, node.asset, facts.moving)
        cells[node.asset] = _place(node, cell, facts, before, moved, decisions.frozen)
    return list(cells.values())


def place_failure(failure: str) -> State:
    """Return the state of what failed with an error of this class."""
    return State.HELD if failure in HELD_CLASSES else State.FAILED


def find_ancestors(parents: Mapping[str, Sequence[str]], asset: str) -> set[str]:
    """Return all that stands before an asset."""
    direct = set(parents.get(asset, ()))
    return direct.union(*(find_ancestors(parents, parent) for parent in direct))


def _is_gated(
    parents: Mapping[str, Sequence[str]], asset: str, gated: Collection[str]
) -> bool:
    if not gated:
        return False
    return not find_ancestors(parents, asset).union([asset]).isdisjoint(gated)


def _find_moved(
    parents: Mapping[str, Sequence[str]], asset: str, moving: Collection[str]
) -> list[str]:
    return sorted(find_ancestors(parents, asset).intersection(moving)) if moving else []


def _take_accepted(
    outdated: dict[str, tuple[Reason, ...]],
    nodes: Sequence[Node],
    facts: Facts,
    decisions: Decisions,
) -> dict[str, str]:
    """Take out of `outdated` what a person accepted, and return the notes."""
    notes: dict[str, str] = {}
    for node in nodes:
        made = facts.made.get(node.asset)
        if node.asset not in outdated or made is None:
            continue
        inputs = facts.inputs.get(node.asset, {})
        note = decisions.accepts(
            node.asset, facts.partition, made, node.code_version, inputs
        )
        if note:
            notes[node.asset] = note
            del outdated[node.asset]
    return notes


def _place(
    node: Node,
    cell: functools.partial[Cell],
    facts: Facts,
    before: Sequence[Cell],
    moved: Sequence[str],
    frozen: str | None,
) -> Cell:
    """Return the cell in its state; `before` are those that it is made from."""
    asset, reasons = node.asset, cell.keywords["reasons"]
    attempt = facts.attempts.get(asset, _NEVER_TRIED)
    hold = facts.holds.get(asset)
    behind = [each for each in before if each.state is not State.FRESH]
    if attempt.is_running:
        return cell(state=State.RUNNING)
    if frozen and (reasons or hold or behind):
        return cell(state=State.FROZEN, note=frozen)
    if hold is not None:
        failure = attempt.failure or "Held"
        return cell(state=State.HELD, note=hold, failure=failure)
    is_fixed = bool(attempt.failure) and attempt.is_of_other(node.code_version)
    if reasons and attempt.failure and not is_fixed:
        return cell(state=place_failure(attempt.failure), failure=attempt.failure)
    stopped = [each for each in behind if each.is_stopping]
    gate = facts.gates.get(asset)
    if reasons and gate and not behind:
        return cell(state=State.HELD, note=gate, failure=GATED)
    if reasons and not stopped:
        if asset in facts.made:
            return cell(state=State.STALE)
        if is_fixed:
            why = explain_version(node.parts, attempt.code_version, node.code_version)
            return cell(state=State.STALE, reasons=(*reasons, *why))
        return cell(state=State.MISSING)
    names = [each.asset for each in stopped or behind] + list(moved)
    if not names:
        return cell(state=State.FRESH)
    upstream = _explain_wait(tuple(names), is_stopped=bool(stopped))
    return cell(
        state=State.WAITS, reasons=(*reasons, upstream), is_stopped=bool(stopped)
    )


@functools.lru_cache(maxsize=1024)
def _explain_wait(names: tuple[str, ...], *, is_stopped: bool) -> Reason:
    why = "failed or held" if is_stopped else "may come out the same"
    return Reason("upstream", f"waits for {name_some(names)}, {why}", inputs=names)
