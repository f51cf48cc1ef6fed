"""Numbers and a verdict on each session."""

import contextlib

import dagster as dg

from imaging_platform.assets import result_shown, shown
from imaging_platform.assets.derivatives import tree_key
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import Scope, publish, read_versions, session_key
from imaging_platform.model import layout
from imaging_platform.pipeline.outline import MEASURED
from imaging_platform.pipeline.stages import Outline
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.tools.isolated import call_isolated


def make_quality_assets(scope: Scope, outline: Outline) -> list[dg.AssetsDefinition]:
    """Return ``session_quality`` of a study."""
    stage = outline["session_quality"]

    @scope.asset(
        stage,
        kinds={"table"},
        checks=["within_thresholds"],
    )
    def session_quality(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        """Quality metrics of each scan and the verdict: pass, look or fail, and why."""
        key, store = session_key(context), published.store()
        keys = {asset: tree_key(scope, asset, key) for asset in stage.needs}
        out_key = layout.session_quality(scope.name, key)
        with explained(), contextlib.ExitStack() as stack:
            sources = {a: stack.enter_context(store.fetch(k)) for a, k in keys.items()}
            target = stack.enter_context(store.stage(out_key))
            report = call_isolated(
                "imaging_platform.qc.session:measure_session",
                {
                    **dict.fromkeys(MEASURED),
                    **sources,
                    "target": target,
                    "subject": key.subject,
                    "session": key.session,
                    "settings": scope.study.quality.model_dump(mode="json"),
                },
            )
            result = publish(
                context,
                store,
                target,
                out_key,
                report=report,
                inputs=read_versions(store, keys),
                parameters=scope.study.quality.model_dump(mode="json"),
            )
        return shown.add(
            result, result_shown.quality(report), [result_shown.check_quality(report)]
        )

    return [session_quality]
