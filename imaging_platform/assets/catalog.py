"""Every session, series and metric of a study as tables."""

import dagster as dg

from imaging_platform.assets import result_shown, shown
from imaging_platform.assets.evidence import read_converted
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import Scope, publish
from imaging_platform.catalog.collecting import collect_records
from imaging_platform.model import layout
from imaging_platform.planning.ratings import digest_ratings, read_ratings
from imaging_platform.resources.zones import PublishedZone

RATINGS = "ratings"
"""Input that stands for the verdicts of people."""


def make_catalog_assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """Return ``catalog`` of a study."""

    @scope.asset(
        name="catalog",
        kinds={"parquet"},
        code_version=f"3.{scope.study.digest('protocol', 'cohort')}",
        version_parts=["code", "parameter protocol and cohort"],
        deps=["bids_session", "session_quality", "session_report"],
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
            report = write_tables(
                records,
                target,
                ratings=ratings,
                variants=variants,
                deviations=deviations,
                cohort=cohort,
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
                report=report,
                parameters=scope.study.model_dump(
                    mode="json", include={"protocol", "cohort"}
                ),
                inputs={
                    f"{asset}[{partition}]": record.data_version
                    for (asset, partition), record in sorted(records.items())
                }
                | ({RATINGS: rated} if rated else {}),
            )
        checks = [
            result_shown.check_cohort(name_outliers(cohort)),
            result_shown.check_ratings(ratings),
        ]
        return shown.add(result, result_shown.tables(report), checks)

    return [catalog]
