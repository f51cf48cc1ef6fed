"""A session of which everything is made, as the event log would tell."""

from __future__ import annotations

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.definitions import define_home
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing.outstanding import find_session_orders
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.storage.local import LocalStore


def reasons_of(
    home: Home,
    scope: Scope,
    instance: dg.DagsterInstance,
    key: SessionKey,
    *,
    attached: str,
) -> dict[str, str]:
    """
    Return why assets of a session must run that was made whole just now.

    Parameters
    ----------
    attached
        Version of the attachments that its BIDS tree was made with; empty: none.
    """
    graph = define_home(home).resolve_asset_graph()
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=scope.key("drop_index"),
            partition="drop-0000000000000000",
            metadata={"sessions": dg.MetadataValue.json({str(key): "d"})},
        )
    )
    for asset in graph.toposorted_asset_keys:
        node = graph.get(asset)
        if node.partitions_def != scope.sessions:
            continue
        name = asset.path[-1]
        inputs = {parent.path[-1]: parent.path[-1] for parent in node.parent_keys}
        if name == "raw_session":
            inputs = {"drop_index": "d"}
        if name == "bids_session" and attached:
            inputs["attachments"] = attached
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=asset,
                partition=str(key),
                metadata={"inputs": dg.MetadataValue.json(inputs)},
                tags={
                    "dagster/data_version": name,
                    "dagster/code_version": node.code_version or "",
                },
            )
        )
    orders = find_session_orders(
        outline_study(scope.study, home.notebooks(scope.name)),
        instance,
        IdentifiedZone(home=str(home.root)),
        LocalStore(home.root),
    )
    return {a: why for order in orders for a, why in order.reasons.items()}
