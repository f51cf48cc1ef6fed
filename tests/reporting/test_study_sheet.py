"""The study at a glance: who differs most stands first, and what changed over time."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imaging_platform.reporting.study_inputs import Measure, rank_of, read_study
from imaging_platform.reporting.study_sheet import show_drift, show_sheet
from imaging_platform.reporting.thumbnail import THUMBNAIL
from tests.reporting.published_study import MOVED, write_catalog


@pytest.fixture
def tables(tmp_path):
    return read_study(write_catalog(tmp_path, sessions=12))


@pytest.fixture
def reports(tmp_path, tables):
    buffer = io.BytesIO()
    Image.new("RGB", (60, 10), (90, 90, 90)).save(buffer, "JPEG")
    for row in tables.sessions[:-1]:
        path = tmp_path / "reports" / row["session_key"] / THUMBNAIL
        path.parent.mkdir(parents=True)
        path.write_bytes(buffer.getvalue())
    return tmp_path / "reports"


def test_the_session_that_differs_most_stands_first_and_is_linked(tables, reports):
    shown = show_sheet(tables, reports).markup

    links = re.findall(r'href="\.\./sessions/([^/]+)/report\.html"><img', shown)
    assert links[0] == MOVED
    assert len(links) == 11
    assert shown.count("data:image/jpeg") == 11


def test_a_study_without_pictures_says_so(tables, tmp_path):
    assert "No session has a picture" in show_sheet(tables, tmp_path).markup


def test_a_subject_is_one_line_through_its_sessions(tables):
    shown = show_drift(tables).markup

    track = re.search(r'class="track" d="([^"]*)"', shown).group(1)
    assert track.count("M") == 6
    assert "Dates are moved" in shown


def test_a_study_of_single_visits_has_no_lines(tmp_path):
    tables = read_study(write_catalog(tmp_path, sessions=1))

    assert "No subject has two sessions" in show_drift(tables).markup


@given(st.dictionaries(st.text(min_size=1), st.floats(-1e9, 1e9), min_size=2))
def test_ranks_follow_the_values_and_stay_within_bounds(values):
    measure = Measure("T1w", "cjv", "", "", values, {}, {}, {})

    ordered = sorted(values, key=lambda key: values[key])
    ranks = [rank_of(measure, key) for key in ordered]

    assert ranks == sorted(ranks)
    assert all(0 <= rank <= 100 for rank in ranks)
