from __future__ import annotations

from imaging_platform.planning.state import Made, Node, choose_ready, find_outdated

NODES = [Node("bids", "2"), Node("mask", "1")]
INPUTS = {"bids": {"dicom": "d1"}, "mask": {"bids": "b1"}}
MADE = {
    "bids": Made("2", "b1", {"dicom": "d1"}),
    "mask": Made("1", "m1", {"bids": "b1"}),
}


def test_what_was_made_from_what_is_there_now_is_fresh():
    assert find_outdated(NODES, MADE, INPUTS) == {}


def test_what_was_never_made_is_named():
    assert find_outdated(NODES, {}, INPUTS) == {
        "bids": "never made",
        "mask": "never made",
    }


def test_a_changed_code_version_marks_that_asset_alone():
    made = {**MADE, "bids": Made("1", "b1", {"dicom": "d1"})}

    assert find_outdated(NODES, made, INPUTS) == {
        "bids": "code or settings changed: 1 to 2"
    }


def test_a_changed_input_marks_the_asset_and_names_the_input():
    inputs = {**INPUTS, "mask": {"bids": "b2"}}

    assert find_outdated(NODES, MADE, inputs) == {"mask": "changed input: bids"}


def test_a_new_and_a_withdrawn_member_are_changed_inputs():
    node = [Node("catalog", "1")]
    made = {"catalog": Made("1", "c", {"a": "1", "b": "1"})}

    assert find_outdated(node, made, {"catalog": {"b": "1", "c": "1"}}) == {
        "catalog": "changed input: a, c"
    }


PARENTS = {
    "bids": ["dicom"],
    "mask": ["bids"],
    "deface": ["bids", "mask"],
    "report": ["bids", "deface"],
}


def test_what_was_never_made_runs_all_at_once():
    outdated = dict.fromkeys(["bids", "mask", "deface", "report"], "never made")

    assert choose_ready(outdated, PARENTS) == outdated


def test_an_asset_waits_for_what_stands_between_it_and_an_outdated_one():
    outdated = {"mask": "changed", "report": "changed input: bids"}

    assert choose_ready(outdated, PARENTS) == {"mask": "changed"}


def test_an_asset_directly_behind_an_outdated_one_runs_with_it():
    outdated = {"mask": "changed", "deface": "changed input: bids"}

    assert choose_ready(outdated, PARENTS) == outdated


def test_what_follows_a_waiting_asset_waits_too():
    outdated = {"bids": "changed", "deface": "changed", "report": "changed"}

    assert choose_ready(outdated, PARENTS) == {"bids": "changed"}


def test_something_outdated_can_always_run():
    for asset in PARENTS:
        assert choose_ready({asset: "changed"}, PARENTS) == {asset: "changed"}
