from __future__ import annotations

from imaging_platform.planning.reasons import NEVER_MADE, join_sentences
from imaging_platform.planning.state import Made, Node, choose_ready, find_outdated

NODES = [Node("bids", "2"), Node("mask", "1")]
INPUTS = {"bids": {"dicom": "d1"}, "mask": {"bids": "b1"}}
MADE = {
    "bids": Made("2", "b1", {"dicom": "d1"}),
    "mask": Made("1", "m1", {"bids": "b1"}),
}


def sentences(made, inputs) -> dict[str, str]:
    found = find_outdated(NODES, made, inputs)
    return {asset: join_sentences(reasons) for asset, reasons in found.items()}


def test_what_was_made_from_what_is_there_now_is_fresh():
    assert find_outdated(NODES, MADE, INPUTS) == {}


def test_what_was_never_made_is_named():
    assert sentences({}, INPUTS) == {"bids": "never made", "mask": "never made"}


def test_a_changed_code_version_marks_that_asset_alone():
    made = {**MADE, "bids": Made("1", "b1", {"dicom": "d1"})}

    assert sentences(made, INPUTS) == {"bids": "code changed: 1 to 2"}


def test_a_changed_input_marks_the_asset_and_names_the_input():
    inputs = {**INPUTS, "mask": {"bids": "b2"}}

    assert sentences(MADE, inputs) == {"mask": "changed input: bids"}


def test_the_versions_of_a_changed_input_are_data():
    inputs = {**INPUTS, "mask": {"bids": "b2"}}

    (reason,) = find_outdated(NODES, MADE, inputs)["mask"]

    assert (reason.kind, reason.before, reason.after) == ("input", "b1", "b2")


def test_code_and_inputs_that_changed_are_both_named():
    made = {**MADE, "mask": Made("0", "m1", {"bids": "b1", "policy": "p"})}

    inputs = {**INPUTS, "mask": {"bids": "b2", "policy": "q"}}

    kinds = [reason.kind for reason in find_outdated(NODES, made, inputs)["mask"]]
    assert kinds == ["code", "policy", "input"]


def test_a_new_and_a_withdrawn_member_are_changed_inputs():
    node = [Node("catalog", "1")]
    made = {"catalog": Made("1", "c", {"a": "1", "b": "1"})}

    found = find_outdated(node, made, {"catalog": {"b": "1", "c": "1"}})

    assert [reason.inputs for reason in found["catalog"]] == [("a", "c")]


CHANGED = (NEVER_MADE,)
PARENTS = {
    "bids": ["dicom"],
    "mask": ["bids"],
    "deface": ["bids", "mask"],
    "report": ["bids", "deface"],
}


def test_what_was_never_made_runs_all_at_once():
    outdated = dict.fromkeys(PARENTS, (NEVER_MADE,))

    assert choose_ready(outdated, PARENTS) == outdated


def test_an_asset_waits_for_what_stands_between_it_and_an_outdated_one():
    outdated = {"mask": CHANGED, "report": CHANGED}

    assert choose_ready(outdated, PARENTS) == {"mask": CHANGED}


def test_an_asset_directly_behind_an_outdated_one_runs_with_it():
    outdated = {"mask": CHANGED, "deface": CHANGED}

    assert choose_ready(outdated, PARENTS) == outdated


def test_what_follows_a_waiting_asset_waits_too():
    outdated = {"bids": CHANGED, "deface": CHANGED, "report": CHANGED}

    assert choose_ready(outdated, PARENTS) == {"bids": CHANGED}


def test_something_outdated_can_always_run():
    for asset in PARENTS:
        assert choose_ready({asset: CHANGED}, PARENTS) == {asset: CHANGED}
