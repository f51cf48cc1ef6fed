from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from imaging_platform.model.errors import BadInput, InvalidOutput
from imaging_platform.reporting import (
    markup,
    session_inputs,
    study_charts,
    study_inputs,
    study_sections,
)
from imaging_platform.reporting.canonical import canonical_notebook, without_places
from imaging_platform.reporting.markup import badge, escape, number, table
from imaging_platform.reporting.page import external_references, render_page
from imaging_platform.reporting.results import RESULTS_NAME, read_results, record

HOST = "https:" + "//cdn.example.org/"


@pytest.mark.parametrize(
    "module", [markup, session_inputs, study_charts, study_inputs, study_sections]
)
def test_the_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    "loaded",
    [
        f'<script src="{HOST}a.js"></script>',
        f"<img alt='x' src='{HOST}a.png'>",
        '<img src="//cdn.example.org/a.png">',
        f'<link rel="stylesheet" href="{HOST}a.css">',
        f"<style>@import '{HOST}a.css';</style>",
        f"<style>@font-face{{src:url({HOST}a.woff2)}}</style>",
        f'<iframe src="{HOST}"></iframe>',
        f'<img srcset="{HOST}a.png 2x">',
    ],
)
def test_what_a_browser_would_load_is_found(loaded):
    assert external_references(f"<p>before</p>{loaded}<p>after</p>")


@pytest.mark.parametrize(
    "own",
    [
        '<img src="data:image/png;base64,AAAA//BBBB">',
        f'<a href="{HOST}">a link that loads nothing</a>',
        '<a href="../sessions/sub-01_ses-1/report.html">own page</a>',
        f"<p>{HOST} as words</p>",
    ],
)
def test_what_a_browser_does_not_load_is_no_reference(own):
    assert external_references(own) == ()


def test_a_page_of_an_empty_notebook_is_whole():
    page = render_page(new_notebook())

    assert page.startswith("<!DOCTYPE html>")
    assert external_references(page) == ()
    assert len(page) < 20_000


def test_output_without_meaning_is_removed_and_the_rest_stays():
    def stream(name: str, text: str) -> object:
        return new_output("stream", name=name, text=text)

    cell = new_code_cell(
        "x",
        outputs=[
            stream("stdout", "a"),
            stream("stderr", "w"),
            stream("stdout", "b at 0x7f12ab34cd56 in /scratch/place/file"),
        ],
        metadata={"execution": {"start": "now"}, "tags": ["kept"]},
    )
    notebook = new_notebook(cells=[cell], metadata={"papermill": {"start_time": "now"}})

    clean = canonical_notebook(notebook, {"/scratch/place": "."})

    assert clean.cells[0].metadata == {"tags": ["kept"]}
    assert [o.text for o in clean.cells[0].outputs] == ["ab at 0x0 in ./file", "w"]
    assert clean.metadata.papermill == {"parameters": {}}


def test_making_a_notebook_canonical_twice_changes_nothing():
    cell = new_code_cell("x", outputs=[new_output("stream", text="a")])
    notebook = new_notebook(cells=[cell])

    once = canonical_notebook(notebook, {})

    assert canonical_notebook(once, {}) == once


def test_the_longest_place_is_replaced_first():
    places = {"/a": "short", "/a/b": "long"}

    assert without_places("/a/b/c /a/d", places) == "long/c short/d"


@pytest.mark.parametrize("place", ["/tmp", "/root"])
def test_a_picture_whose_letters_spell_a_place_stays_as_it_is(place):
    encoded = f"/9j/4AAQSkZJRg{'oBQCgFAK' * 20}{place}{'KAUAoBQC' * 20}f/2Q=="
    page = f'<img src="data:image/jpeg;base64,{encoded}"> made in {place}/x'

    found = without_places(page, {place: "scratch"})

    assert found == page.replace(f"in {place}", "in scratch")


@given(st.text())
def test_text_cannot_leave_its_cell(text):
    shown = table(["Head"], [(text,)]).markup

    inside = shown.split("<td>")[1].split("</td>")[0]
    assert inside == escape(text)
    assert "<" not in inside


@pytest.mark.parametrize("verdict", ["pass", "look", "fail"])
def test_a_verdict_has_a_word_and_a_shape_of_its_own(verdict):
    others = {v: badge(v).split("<svg")[1].split("</svg>")[0] for v in markup.VERDICTS}

    assert verdict in badge(verdict)
    assert len(set(others.values())) == 3


def test_an_unknown_verdict_is_said_to_be_none():
    assert "no verdict" in badge("perhaps")


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-3, max_value=1e8))
def test_a_shown_number_is_within_a_hundredth(value):
    assert math.isclose(float(number(value)), value, rel_tol=0.01)


def test_what_is_recorded_is_read_back(tmp_path):
    record("count", 3, folder=tmp_path)
    record("mean_mm", np.float32(0.5), folder=tmp_path)  # type: ignore[arg-type]
    record("word", "pass", folder=tmp_path)
    record("absent", float("nan"), folder=tmp_path)

    expected = {"count": 3, "mean_mm": 0.5, "word": "pass"}
    assert read_results(tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [("mean fd", 1.0, "Rename"), ("series", [1, 2], "one number or text")],
)
def test_what_is_no_result_is_refused(tmp_path, name, value, fix):
    with pytest.raises(BadInput) as caught:
        record(name, value, folder=tmp_path)

    assert fix in caught.value.fix


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": [1]}'])
def test_results_written_otherwise_are_refused(tmp_path, text):
    (tmp_path / RESULTS_NAME).write_text(text)

    with pytest.raises(InvalidOutput, match=RESULTS_NAME) as caught:
        read_results(tmp_path)

    assert "record only" in caught.value.fix
