"""The sensor of imported sessions asks once, for what follows the BIDS tree."""

from __future__ import annotations

from typing import Any

import dagster as dg
import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook, new_raw_cell

from imaging_platform.assets.scope import Scope
from imaging_platform.definitions import define_home
from imaging_platform.model.layout import PIPELINES, Home
from imaging_platform.resources.zones import PublishedZone
from imaging_platform.sensors.imports import request_imported
from imaging_platform.settings import Study


@pytest.fixture
def scope() -> Scope:
    return Scope(Study(name="demo"))


@pytest.fixture
def instance(tmp_path):
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


def tell(instance, scope, asset: str, key: str, inputs: dict[str, str]) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=scope.key(asset),
            partition=key,
            metadata={"inputs": dg.MetadataValue.json(inputs)},
        )
    )


def test_an_imported_session_is_asked_for_once(scope, instance):
    tell(instance, scope, "bids_session", "sub-1_ses-1", {"existing_dataset": "a" * 64})
    tell(instance, scope, "bids_session", "sub-2_ses-1", {"anonymized_dicom": "b"})

    requests, cursor = request_imported(scope, [], instance, cursor=None)
    again, _ = request_imported(scope, [], instance, cursor=cursor)

    assert [r.partition_key for r in requests] == ["sub-1_ses-1"]
    assert again == []


def test_all_that_follows_the_bids_tree_is_asked_for(scope, instance, tmp_path):
    tell(instance, scope, "bids_session", "sub-1_ses-1", {"existing_dataset": "a" * 64})
    home = Home(tmp_path)
    own = home.notebooks("demo")[1] / "drift.ipynb"
    own.parent.mkdir(parents=True)
    front = new_raw_cell("level: session\nneeds: [motion]")
    nbformat.write(new_notebook(cells=[front, new_markdown_cell("# Drift")]), own)
    definitions = define_home(home)
    sensor = definitions.resolve_sensor_def("demo_imports")
    context = dg.build_sensor_context(
        instance,
        resources={"published": PublishedZone(home=str(tmp_path), reports_url="")},
    )

    result: Any = sensor(context)
    (request,) = result.run_requests

    asked = {key.path[-1] for key in request.asset_selection or ()}
    graph = definitions.resolve_asset_graph()
    sessions = {
        key.path[-1]
        for key in graph.get_all_asset_keys()
        if graph.get(key).partitions_def == scope.sessions
    }
    assert {*PIPELINES, "session_quality", "session_report", "drift_notebook"} <= asked
    assert sessions - asked == {"raw_session", "anonymized_dicom", "bids_session"}


def test_a_session_that_process_has_finished_is_not_asked_for(scope, instance):
    tell(instance, scope, "bids_session", "sub-1_ses-1", {"existing_dataset": "a" * 64})
    tell(instance, scope, "session_report", "sub-1_ses-1", {})

    requests, _ = request_imported(scope, [], instance, cursor=None)

    assert requests == []
