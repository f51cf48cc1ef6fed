"""What a notebook says of itself, and how it is told what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.model.errors import BadConfig
from imaging_platform.reporting.front_matter import (
    BrokenTemplate,
    FrontMatter,
    Template,
    UnmetTemplate,
    find_templates,
    judge_results,
    read_front_matter,
    without_front_matter,
)

SESSIONS = ("bids_session", "motion", "temporal_snr")
STUDY = ("catalog", "bids_dataset")

Writer = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def write_notebook(
        text: str, *, kind: str = "raw", name: str = "drift.ipynb"
    ) -> Path:
        cell = {"cell_type": kind, "metadata": {}, "source": text.splitlines(True)}
        notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook))
        return path

    return write_notebook


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("raw", "level: study\nneeds: [motion, catalog]"),
        ("raw", "---\nlevel: study\nneeds: [motion, catalog]\n---"),
        ("markdown", "---\nlevel: study\nneeds: [motion, catalog]\n---\n# A title"),
    ],
)
def test_the_first_cell_says_level_and_needs(write, kind, text):
    front = read_front_matter(write(text, kind=kind), SESSIONS, STUDY)

    assert (front.level, front.needs) == ("study", ("motion", "catalog"))
    assert (front.timeout_min, front.memory_gb) == (10, 4)


def test_the_front_matter_of_the_documentation_is_valid(write):
    pages = Path(__file__).parents[2] / "docs" / "how-to"
    page = (pages / "write_a_notebook.md").read_text()
    shown = page.split("```text\n")[1].split("```")[0]

    front = read_front_matter(write(shown, kind="markdown"), SESSIONS, STUDY)

    assert front.limits == {"drift_percent": "< 2"}
    assert all(f"`{name}`" in page for name in FrontMatter.model_fields)


@pytest.mark.parametrize(
    ("text", "line", "message", "fix"),
    [
        ("level: study\nneeds: [motoin]", 2, "cannot need motoin", "motion?"),
        ("level: session\nneeds: [catalog]", 2, "cannot need catalog", "There are"),
        ("level: visit\nneeds: [motion]", 1, "level", "Correct level"),
        (
            "level: study\nneeds: [motion]\ntimout_min: 3",
            3,
            "timout_min",
            "timeout_min",
        ),
        ("level: study\n\nneeds: [motion", 3, "not valid YAML", "Correct the line"),
        ("level: study\nneeds: []", 2, "needs", "Correct needs"),
        ("needs: [motion]", 1, "lacks level", "Add `level:`"),
        ("just words", 1, "no mapping", "key: value"),
        (
            "level: study\nneeds: [motion]\nlimits: {r: about 3}",
            3,
            "limits r",
            "a sign and a number",
        ),
        (
            "---\nlevel: study\nneeds: [motion]\nmemory_gb: -1\n---",
            4,
            "memory_gb",
            "Correct memory_gb",
        ),
    ],
)
def test_what_is_wrong_is_said_with_notebook_and_line(write, text, line, message, fix):
    with pytest.raises(BadConfig) as caught:
        read_front_matter(write(text), SESSIONS, STUDY)

    assert str(caught.value).startswith(f"drift.ipynb, first cell, line {line}: ")
    assert message in str(caught.value)
    assert fix in caught.value.fix


def test_a_notebook_without_front_matter_is_told_what_to_add(write):
    with pytest.raises(BadConfig, match="has no front matter") as caught:
        read_front_matter(write("# Only words", kind="markdown"), SESSIONS)

    assert "`level:`" in caught.value.fix


def test_a_broken_notebook_keeps_no_other_from_being_found(write, tmp_path):
    write("level: study\nneeds: [motion]", name="a/right.ipynb")
    write("level: [", name="a/wrong.ipynb")
    write("level: study\nneeds: [motion]", name="a/Two Words.ipynb")
    (tmp_path / "a" / "torn.ipynb").write_text("{")

    found = find_templates([tmp_path / "a"], SESSIONS, STUDY)

    assert {t.path.stem: isinstance(t, Template) for t in found} == {
        "right": True,
        "wrong": False,
        "Two Words": False,
        "torn": False,
    }


def test_a_notebook_of_the_study_takes_the_place_of_one_of_every_study(write, tmp_path):
    write("level: study\nneeds: [motion]", name="all/drift.ipynb")
    own = write("level: session\nneeds: [motion]", name="own/drift.ipynb")

    (found,) = find_templates([tmp_path / "all", tmp_path / "own"], SESSIONS, STUDY)

    assert found.path == own


def test_a_notebook_of_every_study_is_left_out_where_what_it_needs_is_not(
    write, tmp_path
):
    write("level: session\nneeds: [motion, mriqc]", name="all/size.ipynb")
    write("level: session\nneeds: [mriqc]", name="own/other.ipynb")

    other, size = find_templates([tmp_path / "all", tmp_path / "own"], SESSIONS, STUDY)

    assert isinstance(other, BrokenTemplate)
    assert isinstance(size, UnmetTemplate)
    assert size.unmet == ("mriqc",)


def test_the_reports_of_the_product_are_no_notebooks_of_people(write, tmp_path):
    write("", name="all/session_report.ipynb")

    assert find_templates([tmp_path / "all"], SESSIONS, STUDY) == []


def test_front_matter_is_not_among_the_cells_that_run(write):
    cells = json.loads(write("level: study").read_text())["cells"]
    words = [{"cell_type": "markdown", "source": "# Words"}]

    assert without_front_matter([*cells, *words]) == words
    assert without_front_matter(words) == words


@given(value=st.floats(-1e6, 1e6), edge=st.floats(-1e6, 1e6))
def test_a_number_is_named_exactly_when_it_breaks_its_limit(value, edge):
    said = list(judge_results({"r": f">= {edge!r}"}, {"r": value}))

    assert bool(said) == (value < edge)
    assert all(f"expected >= {edge!r}" in each for each in said)
