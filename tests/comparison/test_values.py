"""What counts as a difference between sidecars and between tables."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.comparison.values import (
    Difference,
    compare_json,
    compare_mappings,
    compare_tables,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=values)
def test_a_value_does_not_differ_from_itself(value):
    assert compare_mappings(value, value) == ()


@given(value=st.dictionaries(st.text("abc", min_size=1), values), new=st.integers())
def test_one_changed_key_is_the_only_difference(value, new):
    before, after = {**value, "Z": new}, {**value, "Z": new + 1}

    assert compare_mappings(before, after) == (Difference("Z", new, new + 1),)


@given(before=values, after=values)
def test_differences_are_the_same_seen_from_the_other_side(before, after):
    there = {
        (d.where, str(d.before), str(d.after)) for d in compare_mappings(before, after)
    }
    back = {
        (d.where, str(d.after), str(d.before)) for d in compare_mappings(after, before)
    }

    assert there == back


def test_a_sidecar_of_another_converter_does_not_differ(tmp_path):
    for name, version in (("a", "1"), ("b", "2")):
        content = {"ConversionSoftwareVersion": version, "EchoTime": 0.03}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))

    assert compare_json(tmp_path / "a.json", tmp_path / "b.json") == ()


def test_a_number_that_became_text_differs():
    (found,) = compare_mappings({"a": {"b": [1, 2]}}, {"a": {"b": [1, "2"]}})

    assert found == Difference("a.b[1]", 2, "2")


@pytest.mark.parametrize(
    ("before", "after", "relative"),
    [(2.0, 3.0, 0.5), (-2, 2, 2.0), (0, 1, None), ("4", "5", 0.25), ("x", 1, None)],
)
def test_the_relative_difference_is_of_the_value_before(before, after, relative):
    assert Difference("k", before, after).relative == relative


def test_a_cell_of_a_table_is_named_by_row_and_column(tmp_path):
    (tmp_path / "a.tsv").write_text("x\ty\n1\t2\n3\t4\n")
    (tmp_path / "b.tsv").write_text("x\ty\n1\t2\n3\t5\n6\t7\n")

    found = compare_tables(tmp_path / "a.tsv", tmp_path / "b.tsv")

    assert found == (
        Difference("row 2 y", "4", "5"),
        Difference("row 3 x", None, "6"),
        Difference("row 3 y", None, "7"),
    )


def test_packed_tables_are_read_too(tmp_path):
    for name, number in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}.tsv.gz").write_bytes(gzip.compress(b"0\n%d\n" % number))

    (found,) = compare_tables(tmp_path / "a.tsv.gz", tmp_path / "b.tsv.gz")

    assert (found.before, found.after) == ("1", "2")
