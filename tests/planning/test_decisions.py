"""A decision binds what it was made about, and nothing is decided by a damaged list."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.model.errors import BadInput, Held
from imaging_platform.model.layout import Home
from imaging_platform.planning.decisions import (
    Action,
    Decision,
    Decisions,
    append_decision,
    digest_inputs,
    read_decisions,
    refuse_frozen,
)
from imaging_platform.planning.state import Made

MADE = Made("1", "d1", {"bids_session": "b1"})
NOW = {"bids_session": "b2"}
STEP = Decision(
    "accept",
    "ada",
    "only the header moved",
    "2026-03-01T12:00:00+00:00",
    asset="motion",
    partition="sub-A_ses-1",
    data_version="d1",
    code_version="2",
    inputs_digest=digest_inputs(NOW),
)


def decide(home: Path, action: Action, **fields: str) -> None:
    append_decision(home, "demo", Decision(action, "ada", "published", "now", **fields))


def test_an_accepted_result_counts_as_current_and_says_who_and_why():
    said = Decisions((STEP,)).accepts("motion", "sub-A_ses-1", MADE, "2", NOW)

    assert said == "accepted by ada: only the header moved"


@pytest.mark.parametrize(
    ("asset", "partition", "data_version", "code_version", "inputs"),
    [
        ("brain_mask", "sub-A_ses-1", "d1", "2", NOW),
        ("motion", "sub-B_ses-1", "d1", "2", NOW),
        ("motion", "sub-A_ses-1", "d2", "2", NOW),
        ("motion", "sub-A_ses-1", "d1", "3", NOW),
        ("motion", "sub-A_ses-1", "d1", "2", {"bids_session": "b3"}),
        ("motion", "sub-A_ses-1", "d1", "2", {**NOW, "attachments": "a"}),
    ],
)
def test_an_acceptance_ends_with_any_change_of_what_it_was_about(
    asset, partition, data_version, code_version, inputs
):
    made = dataclasses.replace(MADE, data_version=data_version)

    said = Decisions((STEP,)).accepts(asset, partition, made, code_version, inputs)

    assert said is None


def test_a_withdrawn_acceptance_counts_no_longer():
    withdrawn = dataclasses.replace(STEP, action="withdraw")

    said = Decisions((STEP, withdrawn)).accepts("motion", "sub-A_ses-1", MADE, "2", NOW)

    assert said is None


@given(st.lists(st.sampled_from(["freeze", "thaw"])))
def test_a_study_is_frozen_exactly_when_it_was_frozen_last(actions):
    steps = tuple(Decision(a, "ada", "published", "now") for a in actions)

    frozen = Decisions((*steps, STEP)).frozen

    assert frozen == (
        "frozen by ada: published" if actions[-1:] == ["freeze"] else None
    )


def test_decisions_are_read_back_in_order(tmp_path):
    decide(tmp_path, "freeze")
    append_decision(tmp_path, "demo", STEP)

    assert [s.action for s in read_decisions(tmp_path, "demo").steps] == [
        "freeze",
        "accept",
    ]
    assert read_decisions(tmp_path, "other") == Decisions()


@pytest.mark.parametrize("line", ["{", '{"action": "erase"}', "[]"])
def test_a_damaged_list_decides_nothing(tmp_path, line):
    file = Home(tmp_path).decisions_file("demo")
    decide(tmp_path, "thaw")
    file.write_text(f"{file.read_text()}{line}\n")

    with pytest.raises(BadInput) as caught:
        read_decisions(tmp_path, "demo")

    assert "backup" in caught.value.fix


def test_a_frozen_study_is_refused_with_who_why_and_what_to_do(tmp_path):
    decide(tmp_path, "freeze")

    with pytest.raises(Held, match="frozen by ada: published") as caught:
        refuse_frozen(tmp_path, "demo")

    assert "thaw demo" in caught.value.fix
