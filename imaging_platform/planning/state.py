"""Comparing what a result was made from with what is there now."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imaging_platform.planning.reasons import NEVER_MADE, Reason, explain_inputs
from imaging_platform.planning.versions import explain_version


@dataclass(frozen=True)
class Node:
    """
    An asset as the code has it now.

    Parameters
    ----------
    asset
        Its name.
    code_version
        Version of its code and settings.
    parts
        What the parts of `code_version` between dots stand for, such as ``code``,
        ``parameter quality``, ``tool dcm2niix`` or ``notebook``.
    """

    asset: str
    code_version: str
    parts: tuple[str, ...] = ("code",)


@dataclass(frozen=True, slots=True)
class Made:
    """
    The latest materialization of an asset.

    Parameters
    ----------
    code_version
        Version of code and settings that made it.
    data_version
        Content digest of what was made.
    inputs
        Data version of each input at that time, by name.
    policy
        First digits of the digest of the policy in force; empty where none is.
    """

    code_version: str
    data_version: str
    inputs: Mapping[str, str]
    policy: str = ""


def find_outdated(
    nodes: Sequence[Node],
    made: Mapping[str, Made],
    inputs: Mapping[str, Mapping[str, str]],
) -> dict[str, tuple[Reason, ...]]:
    """
    Return the reasons of each asset that is missing or out of date.

    Staleness is not carried along: an asset behind an outdated one is named only
    when its own inputs differ, so a result that comes out the same stops there.

    Parameters
    ----------
    nodes
        The assets to look at, upstream first.
    made
        What was made last, by asset; absent if never.
    inputs
        Data version of each input as it is now, by asset and input name.
    """
    reasons = {
        node.asset: _compare(node, made.get(node.asset), inputs.get(node.asset, {}))
        for node in nodes
    }
    return {asset: found for asset, found in reasons.items() if found}


def choose_ready(
    outdated: Mapping[str, tuple[Reason, ...]], parents: Mapping[str, Sequence[str]]
) -> dict[str, tuple[Reason, ...]]:
    """
    Return the outdated assets that can run now and will not have to run again.

    An asset waits while something between it and another outdated asset is not
    itself outdated: that may change, or come out the same, once the other was made.

    Parameters
    ----------
    outdated
        Reasons by asset, from `find_outdated`.
    parents
        Inputs of each asset, by name; those without an entry have none.
    """

    @functools.cache
    def waits(asset: str) -> bool:
        return any(
            waits(parent) if parent in outdated else follows_outdated(parent)
            for parent in parents.get(asset, ())
        )

    @functools.cache
    def follows_outdated(asset: str) -> bool:
        return any(
            parent in outdated or follows_outdated(parent)
            for parent in parents.get(asset, ())
        )

    return {asset: why for asset, why in outdated.items() if not waits(asset)}


def _compare(
    node: Node, made: Made | None, inputs: Mapping[str, str]
) -> tuple[Reason, ...]:
    if made is None:
        return (NEVER_MADE,)
    if made.code_version == node.code_version and made.inputs == inputs:
        return ()
    return (
        *explain_version(node.parts, made.code_version, node.code_version),
        *explain_inputs(made.inputs, inputs),
    )
