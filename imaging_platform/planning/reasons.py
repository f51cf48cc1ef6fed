"""Why a result is not up to date, as data and as a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST_NAMED = 3


@dataclass(frozen=True)
class Reason:
    """
    One reason why a result is not as it would be made now.

    Parameters
    ----------
    kind
        ``code``, ``parameter``, ``tool``, ``notebook``, ``policy``, ``rules``,
        ``input``, ``never made``, ``interrupted`` or ``upstream``.
    sentence
        The same in words, without identity.
    before, after
        Version that it was made with, and of now; empty where there is none.
    inputs
        Names of the inputs that changed, came or went; of ``upstream``, the results
        that it waits for.
    befores
        Version of each of these inputs that it was made with.
    files
        Which files of the inputs changed, where that is known.
    """

    kind: str
    sentence: str
    before: str = ""
    after: str = ""
    inputs: tuple[str, ...] = ()
    befores: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


NEVER_MADE = Reason("never made", "never made")

DECIDED = {"policy": "policy", "rules": "rules"}
"""Inputs that stand for what a policy or rules make of a session, with their kind."""


def explain_inputs(
    before: Mapping[str, str], after: Mapping[str, str]
) -> tuple[Reason, ...]:
    """
    Return a reason for all changed inputs, and one for each kind of decision.

    Parameters
    ----------
    before, after
        Data version of each input when the result was made, and now.

    Examples
    --------
    >>> [r.sentence for r in explain_inputs({"a": "1", "b": "1"}, {"b": "1", "c": "1"})]
    ['changed input: a, c']
    """
    names = sorted(before.keys() | after.keys())
    changed = [name for name in names if before.get(name) != after.get(name)]
    decided = [
        Reason(
            DECIDED[name],
            f"changed input: {name}",
            before.get(name, ""),
            after.get(name, ""),
            (name,),
        )
        for name in changed
        if name in DECIDED
    ]
    data = tuple(name for name in changed if name not in DECIDED)
    if not data:
        return tuple(decided)
    is_one = len(data) == 1
    return (
        *decided,
        Reason(
            "input",
            f"changed input: {name_some(data)}",
            before.get(data[0], "") if is_one else "",
            after.get(data[0], "") if is_one else "",
            data,
            tuple(before.get(name, "") for name in data),
        ),
    )


def name_some(names: tuple[str, ...]) -> str:
    """Return the first few names and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def join_sentences(reasons: tuple[Reason, ...]) -> str:
    """Return all reasons of one result as one line."""
    return "; ".join(reason.sentence for reason in reasons)
