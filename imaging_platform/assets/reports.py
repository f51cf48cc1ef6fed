"""Executed notebooks: one a session, one for the whole study."""

import contextlib
from collections.abc import Mapping

import dagster as dg

from imaging_platform.assets import result_shown, shown
from imaging_platform.assets.derivatives import tree_key
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.notebook_runs import NotebookRun, execute_run
from imaging_platform.assets.notebook_sources import (
    list_dataset_files,
    list_readable,
)
from imaging_platform.assets.scope import Scope, read_versions, session_key
from imaging_platform.model import layout
from imaging_platform.pipeline.outline import SESSION_TEMPLATE, STUDY_TEMPLATE
from imaging_platform.pipeline.stages import Outline
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.storage.store import Store


def make_report_assets(scope: Scope, outline: Outline) -> list[dg.AssetsDefinition]:
    """Return ``session_report`` and ``study_report`` of a study."""
    name = scope.name

    @scope.asset(
        outline["session_report"],
        kinds={"jupyter"},
    )
    def session_report(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        """Executed notebook of one session, and its page to read and print."""
        key = session_key(context)
        keys = {
            "anonymized_dicom": layout.anonymized_dicom(name, key),
            "bids_session": layout.bids_session(name, key),
            **{p: tree_key(scope, p, key) for p in scope.study.pipelines},
            "session_quality": layout.session_quality(name, key),
        }
        converted = published.store().read(keys["bids_session"])
        if converted is not None and converted.is_imported:
            del keys["anonymized_dicom"]
        run = NotebookRun(
            template=layout.product_file(SESSION_TEMPLATE),
            partition=str(key),
            sources=keys,
            versions=read_versions(published.store(), keys),
            out_key=layout.session_report(name, key),
            partial_key=layout.partial_report(name, "session_report", str(key)),
            parameters={"study": name, "subject": key.subject, "session": key.session},
        )
        result, page = _make(context, published, run)
        return shown.add(result, {**_draw(published.store(), keys), **page})

    @scope.asset(
        outline["study_report"],
        kinds={"jupyter"},
    )
    def study_report(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        """Executed notebook of the whole study, linked to the page of each session."""
        store = published.store()
        keys = {
            "catalog": layout.catalog(name),
            "bids_dataset": layout.dataset_index(name),
        }
        run = NotebookRun(
            template=layout.product_file(STUDY_TEMPLATE),
            partition="",
            # Which reports there are stands in the catalog, with their versions.
            sources={
                **keys,
                "bids_session": list_dataset_files(store, scope, "bids_session"),
                "reports": list_readable(store, scope, "session_report"),
            },
            versions=read_versions(store, keys),
            out_key=layout.study_report(name),
            partial_key=layout.partial_report(name, "study_report"),
            parameters={"study": name, "title": scope.study.title or name},
        )
        result, page = _make(context, published, run)
        return shown.add(result, page)

    return [session_report, study_report]


def _make(
    context: dg.AssetExecutionContext, published: PublishedZone, run: NotebookRun
) -> tuple[dict[str, object], dict[str, object]]:
    """Execute a report; return what Dagster is told of the tree, and of the page."""
    left: dict[str, dg.MetadataValue] = {}
    with explained(lambda: left):
        result, executed = execute_run(context, published, run, left)
    links = result_shown.report(published, run.out_key)
    return result, {**result_shown.results(executed.results), **links}


def _draw(store: Store, keys: Mapping[str, str]) -> dict[str, dg.MetadataValue]:
    from imaging_platform.assets.pictures import draw_strip

    with explained(), contextlib.ExitStack() as stack:
        return draw_strip(
            {name: stack.enter_context(store.fetch(key)) for name, key in keys.items()}
        )
