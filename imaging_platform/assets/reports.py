"""Executed notebooks: one a session, one for the whole study."""

import contextlib
import dataclasses
from collections.abc import Mapping

import dagster as dg

from imaging_platform.assets import shown
from imaging_platform.assets.derivatives import tree_key
from imaging_platform.assets.explaining import explained
from imaging_platform.assets.scope import (
    Scope,
    make_stamp,
    publish,
    read_versions,
    session_key,
)
from imaging_platform.files.digests import digest_file
from imaging_platform.model import layout
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.storage.store import Store

SESSION_TEMPLATE = "notebooks/session_report.ipynb"
STUDY_TEMPLATE = "notebooks/study_report.ipynb"


def make_report_assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """Return ``session_report`` and ``study_report`` of a study."""
    name = scope.name

    @scope.asset(
        name="session_report",
        kinds={"jupyter"},
        code_version=_code_version(SESSION_TEMPLATE),
        version_parts=["code", "notebook"],
        partitions=scope.sessions,
        deps=[
            "anonymized_dicom",
            "bids_session",
            *scope.study.pipelines,
            "session_quality",
        ],
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
        out_key = layout.session_report(name, key)
        result = _execute(
            context,
            published.store(),
            template=SESSION_TEMPLATE,
            keys=keys,
            out_key=out_key,
            parameters={"study": name, "subject": key.subject, "session": key.session},
        )
        pictures = _draw(published.store(), keys)
        return shown.add(result, {**pictures, **shown.report(published, out_key)})

    @scope.asset(
        name="study_report",
        kinds={"jupyter"},
        code_version=_code_version(STUDY_TEMPLATE),
        version_parts=["code", "notebook"],
        deps=["catalog", "bids_dataset"],
    )
    def study_report(
        context: dg.AssetExecutionContext, published: PublishedZone
    ) -> dg.MaterializeResult:
        """Executed notebook of the whole study, linked to the page of each session."""
        keys = {
            "catalog": layout.catalog(name),
            "bids_dataset": layout.dataset_index(name),
        }
        out_key = layout.study_report(name)
        result = _execute(
            context,
            published.store(),
            template=STUDY_TEMPLATE,
            keys=keys,
            out_key=out_key,
            parameters={"study": name, "title": scope.study.title or name},
        )
        return shown.add(result, shown.report(published, out_key))

    return [session_report, study_report]


def _execute(
    context: dg.AssetExecutionContext,
    store: Store,
    *,
    template: str,
    keys: Mapping[str, str],
    out_key: str,
    parameters: Mapping[str, str],
) -> dict[str, object]:
    from imaging_platform.reporting.notebook import execute_notebook

    with explained(), contextlib.ExitStack() as stack:
        inputs = {name: stack.enter_context(store.fetch(k)) for name, k in keys.items()}
        target = stack.enter_context(store.stage(out_key))
        versions = read_versions(store, keys)
        executed = execute_notebook(
            layout.product_file(template),
            target,
            inputs=inputs,
            parameters=parameters,
            stamp=make_stamp(context, versions),
        )
        return publish(
            context,
            store,
            target,
            out_key,
            report=dataclasses.asdict(executed),
            inputs=versions,
            parameters=parameters,
        )


def _draw(store: Store, keys: Mapping[str, str]) -> dict[str, dg.MetadataValue]:
    from imaging_platform.assets.pictures import draw_strip

    with explained(), contextlib.ExitStack() as stack:
        return draw_strip(
            {name: stack.enter_context(store.fetch(key)) for name, key in keys.items()}
        )


def _code_version(template: str) -> str:
    return f"2.{digest_file(layout.product_file(template))[:12]}"
