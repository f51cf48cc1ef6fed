"""The state of every result of a study, where the UI shows it."""

from collections.abc import Callable

import dagster as dg

from imaging_platform.assets import result_shown, shown
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import Scope, publish
from imaging_platform.files.writing import write_text
from imaging_platform.model import layout
from imaging_platform.pipeline.names import PROCESSING_PLAN
from imaging_platform.pipeline.stages import Outline
from imaging_platform.planning.plan import Plan
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.storage.local import LocalStore

ReadPlan = Callable[[dg.DagsterInstance, LocalStore], Plan]


def make_plan_assets(
    scope: Scope, outline: Outline, read_plan: ReadPlan
) -> list[dg.AssetsDefinition]:
    """
    Return ``processing_plan`` of a study.

    Parameters
    ----------
    scope, outline
        The study and its stages.
    read_plan
        Returns the study's plan as it is when it is called.
    """

    @scope.asset(
        outline[PROCESSING_PLAN],
        kinds={"table"},
        checks=["up_to_date"],
    )
    def processing_plan(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        """State of every asset of every session, why, and what it costs to make it."""
        from imaging_platform.planning.published import write_plan
        from imaging_platform.reporting.plan_page import render_plan

        store, out_key = published.store(), layout.processing_plan(scope.name)
        with explained(), store.stage(out_key) as target:
            plan = read_plan(context.instance, store)
            write_plan(plan, target)
            write_text(target / "plan.html", render_plan(plan))
            states = plan.count_states()
            result = publish(context, store, target, out_key, report=states, inputs={})
        metadata = result_shown.plan(plan) | {
            "page": dg.MetadataValue.url(published.link(f"{out_key}/plan.html"))
        }
        return shown.add(result, metadata, [result_shown.check_plan(plan)])

    return [processing_plan]
