"""Comparing what a result was made from with what is there now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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
    """

    asset: str
    code_version: str


@dataclass(frozen=True)
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
    """

    code_version: str
    data_version: str
    inputs: Mapping[str, str]


def find_outdated(
    nodes: Sequence[Node],
    made: Mapping[str, Made],
    inputs: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
    """
    Return the reason of each asset that is missing or out of date.

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
        node.asset: _reason(node, made.get(node.asset), inputs.get(node.asset, {}))
        for node in nodes
    }
    return {asset: reason for asset, reason in reasons.items() if reason}


def choose_ready(
    outdated: Mapping[str, str], parents: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """
    Return the outdated assets that can run now and will not have to run again.

    An asset waits while something between it and another outdated asset is not
    itself outdated: that may change, or come out the same, once the other was made.

    Parameters
    ----------
    outdated
        Reason by asset, from `find_outdated`.
    parents
        Inputs of each asset, by name; those without an entry have none.
    """

    def waits(asset: str) -> bool:
        return any(
            waits(parent) if parent in outdated else follows_outdated(parent)
            for parent in parents.get(asset, ())
        )

    def follows_outdated(asset: str) -> bool:
        return any(
            parent in outdated or follows_outdated(parent)
            for parent in parents.get(asset, ())
        )

    return {asset: why for asset, why in outdated.items() if not waits(asset)}


def _reason(node: Node, made: Made | None, inputs: Mapping[str, str]) -> str:
    if made is None:
        return "never made"
    if made.code_version != node.code_version:
        return f"code or settings changed: {made.code_version} to {node.code_version}"
    names = sorted(inputs.keys() | made.inputs.keys())
    changed = [name for name in names if inputs.get(name) != made.inputs.get(name)]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return f"changed input: {', '.join(changed[:3])}{more}"
    return ""
