"""Which run made a result, also one that has been made anew since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.planning.state import Made
from imaging_platform.provenance.lineage import Lineage
from imaging_platform.provenance.stamps import Stamp, digest_origin

MOST_RESULTS = 100
"""Of how many results of a lineage the run is looked up; each costs a query."""

_PAGE = 100


def find_stamped(
    instance: dg.DagsterInstance, scope: Scope, stamp: Stamp
) -> tuple[Made, str] | None:
    """
    Return the materialization that a stamp names, and its run; None if unknown.

    The run is empty for a result that was told without one.
    """
    for made, run_id in _materializations(
        instance, scope, stamp.asset, stamp.partition
    ):
        if digest_origin(made.code_version, made.inputs) == stamp.origin:
            return made, run_id
    return None


def find_runs(
    instance: dg.DagsterInstance, scope: Scope, lineage: Lineage
) -> dict[str, str]:
    """Return the latest run that made each result as it is, by `Node.id`."""
    runs = {}
    results = [node for node in lineage.nodes if node.kind == "result"]
    for node in results[:MOST_RESULTS]:
        said = node.details
        wanted = (said["code_version"], said["data_version"])
        for made, run_id in _materializations(
            instance, scope, str(said["asset"]), str(said["partition"])
        ):
            if (made.code_version, made.data_version) == wanted and run_id:
                runs[node.id] = run_id
                break
    return runs


def _materializations(
    instance: dg.DagsterInstance, scope: Scope, asset: str, partition: str
) -> Iterator[tuple[Made, str]]:
    """Yield all that was said of a result, newest first."""
    wanted = dg.AssetRecordsFilter(
        asset_key=scope.key(asset),
        asset_partitions=[partition] if partition else None,
    )
    cursor = None
    while True:
        page = instance.fetch_materializations(wanted, limit=_PAGE, cursor=cursor)
        for record in page.records:
            if (event := record.asset_materialization) is None:
                continue
            tags = event.tags or {}
            inputs = event.metadata.get("inputs")
            made = Made(
                code_version=tags.get("dagster/code_version", ""),
                data_version=tags.get("dagster/data_version", ""),
                inputs=cast(dict[str, str], inputs.value) if inputs else {},
            )
            yield made, record.run_id
        if not page.has_more:
            return
        cursor = page.cursor
