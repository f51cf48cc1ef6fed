"""Every session, series and metric of a study as tables."""

from collections.abc import Set as AbstractSet

import dagster as dg

from imaging_platform.assets import result_shown, shown
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import Scope, publish
from imaging_platform.catalog.app_metrics import AppColumn, gather_columns
from imaging_platform.catalog.collecting import collect_app_results, collect_records
from imaging_platform.model import layout
from imaging_platform.pipeline.app_trees import measuring_apps, read_wide_apps
from imaging_platform.pipeline.evidence import read_converted
from imaging_platform.pipeline.names import RATINGS
from imaging_platform.pipeline.stages import Outline
from imaging_platform.planning.ratings import digest_ratings, read_ratings
from imaging_platform.provenance.record import told_apps
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.storage.local import LocalStore


def make_catalog_assets(scope: Scope, outline: Outline) -> list[dg.AssetsDefinition]:
    """Return ``catalog`` of a study."""

    @scope.asset(
        outline["catalog"],
        kinds={"parquet"},
        checks=["no_outliers", "ratings_current"],
    )
    def catalog(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        """Tables of sessions, series, metrics, cohort, acquisition and exclusions."""
        from imaging_platform.bids.variant_tables import compare_sessions
        from imaging_platform.catalog.tables import (
            metric_rows,
            write_exclusions,
            write_tables,
        )
        from imaging_platform.qc.cohort import judge_cohort, name_outliers

        store = published.store()
        out_key = layout.catalog(scope.name)
        with explained(), store.stage(out_key) as target:
            records = collect_records(store.root, scope.name, scope.study.pipelines)
            converted = read_converted(store, scope.name, records)
            variants, deviations = compare_sessions(converted, scope.study.protocol)
            cohort = judge_cohort(metric_rows(records), scope.study.cohort)
            ratings = read_ratings(store.root, scope.name, records)
            columns, measured = _gather_apps(store, scope, {k for _, k in records})
            report = write_tables(
                records,
                target,
                ratings=ratings,
                variants=variants,
                deviations=deviations,
                cohort=cohort,
                apps=columns,
            )
            report["exclusions"] = write_exclusions(
                records, ratings, target / "exclusions.tsv"
            )
            rated = digest_ratings(ratings)
            result = publish(
                context,
                store,
                target,
                out_key,
                report=report | told_apps(scope.app_versions if measured else {}),
                parameters=scope.study.model_dump(
                    mode="json", include={"protocol", "cohort"}
                ),
                inputs={
                    f"{asset}[{partition}]": record.data_version
                    for (asset, partition), record in sorted(records.items())
                }
                | ({RATINGS: rated} if rated else {})
                | measured,
            )
        checks = [
            result_shown.check_cohort(name_outliers(cohort)),
            result_shown.check_ratings(ratings),
        ]
        return shown.add(result, result_shown.tables(report), checks)

    return [catalog]


def _gather_apps(
    store: LocalStore, scope: Scope, sessions: AbstractSet[str]
) -> tuple[list[AppColumn], dict[str, str]]:
    """Return what apps measured, and the version of each result that it is from."""
    versions = {app.name: app.version for app in measuring_apps(scope.study)}
    results = collect_app_results(store.root, scope.name, versions)
    inputs = {
        f"{each.app}[{each.label}]": each.record.data_version
        for each in results
        if each.label in sessions
    }
    return gather_columns(results, sessions), inputs | read_wide_apps(
        store, scope.study
    )
