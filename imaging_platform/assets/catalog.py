"""Every session, series and metric of a study as tables."""

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import Scope, publish
from imaging_platform.catalog.collecting import collect_records
from imaging_platform.model import layout
from imaging_platform.resources.zones import PublishedZone


def make_catalog_assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """Return ``catalog`` of a study."""

    @scope.asset(
        name="catalog",
        kinds={"parquet"},
        code_version="1",
        deps=["bids_session", "session_quality", "session_report"],
    )
    def catalog(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        """Tables of every session, series, metric and data version of the study."""
        from imaging_platform.catalog.tables import write_tables

        store = published.store()
        out_key = layout.catalog(scope.name)
        with explained(), store.stage(out_key) as target:
            records = collect_records(store.root, scope.name)
            report = write_tables(records, target)
            result = publish(
                context,
                store,
                target,
                out_key,
                report=report,
                inputs={
                    f"{asset}[{partition}]": record.data_version
                    for (asset, partition), record in sorted(records.items())
                },
            )
        return shown.add(result, shown.tables(report))

    return [catalog]
