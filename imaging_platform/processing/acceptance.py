"""What a person accepts: a result, with code and inputs as they are at that moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from imaging_platform.assets.bids import BIDS_SESSION
from imaging_platform.assets.dicom import ANONYMIZED_DICOM
from imaging_platform.assets.scope import Scope
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig, MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.planning.state import Made
from imaging_platform.processing.history import read_made, read_members
from imaging_platform.processing.policies import PolicyWatch
from imaging_platform.processing.rules import RuleWatch
from imaging_platform.provenance.record import ATTACHMENTS
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.storage.local import LocalStore


@dataclass(frozen=True)
class Present:
    """
    A result of a session as it is, and what it would be made from now.

    Parameters
    ----------
    made
        Its latest materialization.
    code_version
        Version of code and settings now.
    inputs
        Data version of each input now.
    """

    made: Made
    code_version: str
    inputs: Mapping[str, str]


def read_present(
    home: Path,
    scope: Scope,
    instance: dg.DagsterInstance,
    graph: dg.AssetGraph,
    *,
    asset: str,
    key: SessionKey,
) -> Present:
    """
    Return a result as it is, to be accepted.

    Raises
    ------
    BadConfig
        Sessions have no such asset.
    MissingInput
        It was never made.
    """
    nodes = {
        each.path[-1]: graph.get(each)
        for each in graph.get_all_asset_keys()
        if each.path[0] == scope.name
        and graph.get(each).partitions_def == scope.sessions
    }
    if asset not in nodes:
        raise BadConfig(
            f"Sessions have no asset {asset}.",
            fix=f"Give one of: {', '.join(sorted(nodes))}.",
        )
    made = read_made(instance, scope, asset).get(str(key))
    if made is None:
        raise MissingInput(
            f"{asset} of {key} was never made, so there is nothing to accept.",
            fix=f"imaging-platform process --study {scope.name}",
        )
    parents = sorted(each.path[-1] for each in nodes[asset].parent_keys)
    inputs = _versions(scope, instance, parents, key)
    if asset == "raw_session":
        inputs = {"drop_index": read_members(instance, scope).get(str(key), "")}
    inputs |= _decided(home, scope, asset, key, made)
    return Present(made, nodes[asset].code_version or "", inputs)


def _versions(
    scope: Scope, instance: dg.DagsterInstance, assets: list[str], key: SessionKey
) -> dict[str, str]:
    found = {a: read_made(instance, scope, a).get(str(key)) for a in assets}
    return {a: made.data_version for a, made in found.items() if made is not None}


def _decided(
    home: Path, scope: Scope, asset: str, key: SessionKey, made: Made
) -> dict[str, str]:
    """Return the inputs that no asset makes: policy, rules, and what people brought."""
    store = LocalStore(home)
    if asset == ANONYMIZED_DICOM:
        released = IdentifiedZone(home=str(home)).released_versions(scope.name)
        inputs = PolicyWatch(scope, store).inputs(str(key), made)
        version = released.get(str(key))
        return inputs | ({"released": version} if version else {})
    if asset == BIDS_SESSION:
        inputs = RuleWatch(scope, store).inputs(str(key), made)
        brought = store.read(layout.attachments(scope.name, key))
        return inputs | ({ATTACHMENTS: brought.data_version} if brought else {})
    return {}
