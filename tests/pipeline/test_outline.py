"""The outline of a study says what the assets of Dagster are, and in which order."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from imaging_platform.assets.scope import VERSION_PARTS, Scope
from imaging_platform.definitions import define_study
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.layout import PIPELINES
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.pipeline.stages import Outline, Per
from imaging_platform.settings import DEMO_STUDY, Study, parse_study

APP = {
    "version": "1.0",
    "runner": "local",
    "executable": "/bin/true",
    "command": ["{bids_dir}"],
    "outputs": [{"glob": "*.json", "metrics": True}],
}
LEVELS = ("session", "subject", "study")
STUDIES = {
    "demo": DEMO_STUDY,
    "without some derivatives": parse_study(
        {"name": "demo", "derivatives": {"skip": ["pet", "diffusion_maps"]}}
    ),
    "with apps": parse_study(
        {
            "name": "demo",
            "apps": [
                {**APP, "name": f"of_{level}", "level": level} for level in LEVELS
            ],
        }
    ),
}
NOTEBOOKS = {
    "one": "level: session\nneeds: [motion, tissues]\n",
    "each": "level: subject\nneeds: [motion]\n",
    "all": "level: study\nneeds: [catalog, motion]\n",
    "broken": "level: week\nneeds: [motion]\n",
    "No name": "level: study\nneeds: [motion]\n",
}


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    """Folders of notebooks of every study and of one, some of them of no use."""
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    own.mkdir()
    _write_notebook(shared / "unmet.ipynb", "level: study\nneeds: [no_such_app]\n")
    for name, front in NOTEBOOKS.items():
        _write_notebook(own / f"{name}.ipynb", front)
    return [shared, own]


def _write_notebook(path: Path, front: str) -> None:
    cell = {"cell_type": "raw", "metadata": {}, "source": front}
    head = {"metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    write_text(path, json.dumps({**head, "cells": [cell]}))


def _graph_of(study: Study, folders: list[Path]) -> AssetGraph:
    assets = define_study(study, folders).assets or ()
    return AssetGraph.from_assets(
        [each for each in assets if isinstance(each, dg.AssetsDefinition)]
    )


def _assert_same(outline: Outline, graph: AssetGraph) -> None:
    scope = Scope(outline.study)
    nodes = {key.path[-1]: graph.get(key) for key in graph.toposorted_asset_keys}
    assert {stage.name for stage in outline.stages} == set(nodes)
    for stage in outline.stages:
        node = nodes[stage.name]
        assert node.code_version == stage.code_version
        assert node.metadata[VERSION_PARTS] == ", ".join(stage.version_parts)
        assert node.partitions_def == scope.partitions(stage.per)
        parents = sorted(key.path[-1] for key in node.parent_keys)
        assert outline.parents[stage.name] == parents
    for per in Per:
        own = [n for n in nodes if nodes[n].partitions_def == scope.partitions(per)]
        assert [node.asset for node in outline.nodes(per)] == own


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES.keys())
def test_the_outline_is_what_dagster_is_told(study):
    _assert_same(outline_study(study), _graph_of(study, []))


def test_the_outline_has_the_notebooks_that_dagster_is_told_of(folders):
    outline = outline_study(DEMO_STUDY, folders)

    _assert_same(outline, _graph_of(DEMO_STUDY, folders))
    pages = {s.name: s.per for s in outline.stages if s.name.endswith("_notebook")}
    misnamed = next(name for name in pages if name.startswith("misnamed_"))
    assert pages == {
        "one_notebook": Per.SESSION,
        "each_notebook": Per.STUDY,
        "all_notebook": Per.STUDY,
        "broken_notebook": Per.STUDY,
        misnamed: Per.STUDY,
    }
    assert len(outline.templates) == len(NOTEBOOKS) + 1


def test_what_comes_before_stands_before():
    outline = outline_study(DEMO_STUDY)

    names = [node.asset for node in outline.nodes(Per.SESSION)]

    for name in names:
        before = set(outline.parents[name]).intersection(names)
        assert all(names.index(each) < names.index(name) for each in before)
    assert set(PIPELINES) < set(names)


def test_a_changed_notebook_is_another_version_of_its_stage_alone(folders):
    before = outline_study(DEMO_STUDY, folders)
    _write_notebook(folders[1] / "one.ipynb", "level: session\nneeds: [motion]\n")

    after = outline_study(DEMO_STUDY, folders)

    changed = {stage.name for stage in before.stages if after[stage.name] != stage}
    assert changed == {"one_notebook"}


def test_a_notebook_may_not_need_what_holds_identity(folders):
    _write_notebook(folders[1] / "one.ipynb", "level: session\nneeds: [raw_session]\n")

    found = {t.path.stem: t for t in outline_study(DEMO_STUDY, folders).templates}

    problem = getattr(found["one"], "problem", None)
    assert isinstance(problem, BadConfig)
    assert "There are: anonymized_dicom" in problem.fix
