"""Derivatives of one session: each a dataset of its own, each a few lines."""

import contextlib

import dagster as dg

from imaging_platform.assets import result_shown, shown
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import Scope, publish, read_versions, session_key
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.pipeline.stages import Outline, Stage
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.tools.isolated import call_isolated

DESCRIPTIONS = {
    "brain_mask": "Brain of each T1w as a mask, and the way from T1w to the template.",
    "tissues": "Tissues of each T1w: N4-corrected brain, bias field, probabilities, "
    "volumes.",
    "defaced_t1w": "T1w, T2w, FLAIR and PET without the face; no voxel of the "
    "brain is touched.",
    "motion": "Rigid head motion of each BOLD run, and the run realigned.",
    "temporal_snr": "Temporal signal-to-noise ratio and mean of each realigned BOLD "
    "run.",
    "confounds": "Confounds of each BOLD run: motion, DVARS, tissue signals, "
    "components, drift.",
    "field_map": "Static field in Hz, unwrapped, from phases, the scanner's map or "
    "opposed phase encoding.",
    "diffusion_maps": "Diffusion tensor of each DWI run: FA, MD, and checks of the "
    "b-table.",
    "pet": "SUV and SUVR of each PET scan, and the time course of each tissue.",
}
"""What each of `layout.PIPELINES` is."""


def make_derivative_assets(scope: Scope, outline: Outline) -> list[dg.AssetsDefinition]:
    """Return the derivative assets that a study has, in the order of their inputs."""
    return [_derivative(scope, outline[name]) for name in scope.study.pipelines]


def tree_key(scope: Scope, asset: str, key: SessionKey) -> str:
    """Return where the tree of a session's asset is published."""
    if asset == "bids_session":
        return layout.bids_session(scope.name, key)
    return layout.derivative(scope.name, asset, key)


def as_argument(asset: str) -> str:
    """Return what the science calls an input: the tree of a session."""
    return asset if asset == "bids_session" else f"{asset}_session"


def _derivative(scope: Scope, stage: Stage) -> dg.AssetsDefinition:
    name, inputs = stage.name, stage.needs

    @scope.asset(
        stage,
        kinds={"nifti", "bids"},
        checks=["expected_outputs_present"],
        description=DESCRIPTIONS[name],
    )
    def derivative(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        from imaging_platform.assets.pictures import draw_strip

        key, store = session_key(context), published.store()
        keys = {asset: tree_key(scope, asset, key) for asset in inputs}
        with explained(), contextlib.ExitStack() as stack:
            sources = {a: stack.enter_context(store.fetch(k)) for a, k in keys.items()}
            target = stack.enter_context(store.stage(tree_key(scope, name, key)))
            report = call_isolated(
                f"imaging_platform.derivatives.{name}:write_{name}",
                {
                    **{as_argument(a): path for a, path in sources.items()},
                    "target": target,
                    "subject": key.subject,
                    "session": key.session,
                },
            )
            result = publish(
                context,
                store,
                target,
                tree_key(scope, name, key),
                report=report,
                inputs=read_versions(store, keys),
            )
            trees = {**sources, name: store.path(tree_key(scope, name, key))}
            metadata = {
                **draw_strip(trees),
                **result_shown.derivative(report, trees[name]),
            }
        return shown.add(result, metadata, [result_shown.check_outputs(name, report)])

    return derivative
