from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.planning.cells import (
    Attempt,
    Cell,
    Facts,
    State,
    find_ancestors,
    judge_partition,
)
from imaging_platform.planning.decisions import Decisions
from imaging_platform.planning.reasons import Reason
from imaging_platform.planning.state import Made, Node

PARENTS = {
    "raw": [],
    "dicom": ["raw"],
    "bids": ["dicom"],
    "mask": ["bids"],
    "deface": ["bids", "mask"],
    "motion": ["bids"],
    "report": ["bids", "deface", "motion"],
}
ASSETS = tuple(PARENTS)
NODES = [Node(asset, "1") for asset in ASSETS]
INPUTS = {asset: dict.fromkeys(parents, "v") for asset, parents in PARENTS.items()}
MADE = {asset: Made("1", "v", INPUTS[asset]) for asset in ASSETS}
FRESH = Facts("sub-01_ses-1", MADE, INPUTS)


@dataclass(frozen=True)
class Decided:
    """A person froze the study, or accepted one asset."""

    frozen: str | None = None
    accepted: str = ""

    def accepts(self, asset, partition, made, code_version, inputs):
        return "accepted by A: fine" if asset == self.accepted else None


def judge(facts: Facts, decisions=None) -> dict[str, Cell]:
    cells = judge_partition(NODES, PARENTS, facts, decisions or Decisions())
    return {cell.asset: cell for cell in cells}


def with_old_code(*assets: str) -> Facts:
    old = {asset: replace(MADE[asset], code_version="0") for asset in assets}
    return replace(FRESH, made={**MADE, **old})


def test_what_a_persons_verdict_gates_is_held_and_nothing_behind_it_is_made():
    facts = replace(with_old_code("mask", "deface", "report"), gates={"mask": "rated"})

    cells = judge(facts)

    assert states(cells) == {"mask": "held", "deface": "waits", "report": "waits"}
    assert cells["mask"].note == "rated"
    assert not any(cell.is_ready for cell in cells.values())


def test_a_gate_changes_nothing_of_what_is_already_as_it_would_be_made():
    cells = judge(replace(FRESH, gates={"mask": "rated"}))

    assert states(cells) == {}


def states(cells: dict[str, Cell]) -> dict[str, str]:
    return {a: c.state for a, c in cells.items() if c.state is not State.FRESH}


def test_what_is_as_it_would_be_made_now_is_fresh():
    assert states(judge(FRESH)) == {}


def test_behind_a_stale_result_all_wait_and_may_come_out_the_same():
    cells = judge(with_old_code("mask"))

    assert states(cells) == {"mask": "stale", "deface": "waits", "report": "waits"}
    (reason,) = cells["deface"].reasons
    assert reason.kind == "upstream"
    assert reason.sentence == "waits for mask, may come out the same"


def test_a_session_that_is_new_is_missing_and_ready_as_a_whole():
    cells = judge(Facts("sub-01_ses-1", {}, {}))

    assert {cell.state for cell in cells.values()} == {State.MISSING}
    assert all(cell.is_ready for cell in cells.values())


def test_a_failure_is_named_by_its_class_and_stops_what_follows():
    facts = replace(
        with_old_code("bids", "motion"), attempts={"bids": Attempt("r", False, "E")}
    )

    cells = judge(facts)

    assert (cells["bids"].state, cells["bids"].failure) == (State.FAILED, "E")
    assert cells["motion"].state is State.WAITS
    assert cells["motion"].is_stopped
    assert cells["motion"].reasons[-1].sentence == "waits for bids, failed or held"


def test_an_older_failure_of_what_is_fresh_now_does_not_count():
    facts = replace(FRESH, attempts={"bids": Attempt("r", False, "ToolFailed")})

    assert states(judge(facts)) == {}


def test_an_attempt_that_ended_without_a_word_counts_as_not_tried():
    facts = replace(with_old_code("bids"), attempts={"bids": Attempt("r")})

    assert judge(facts)["bids"].state is State.STALE


def test_what_waits_for_a_person_is_held_even_if_its_versions_agree():
    cells = judge(replace(FRESH, holds={"dicom": "a leak"}))

    assert (cells["dicom"].state, cells["dicom"].note) == (State.HELD, "a leak")
    assert cells["bids"].is_stopped


def test_a_failure_that_only_a_person_resolves_is_held():
    facts = replace(
        with_old_code("bids"), attempts={"bids": Attempt("r", False, "InvalidOutput")}
    )

    assert judge(facts)["bids"].state is State.HELD


def test_an_interrupted_attempt_makes_a_result_stale():
    cells = judge(replace(FRESH, interrupted={"dicom": "killed"}))

    assert cells["dicom"].state is State.STALE
    assert cells["dicom"].reasons == (Reason("interrupted", "killed"),)


def test_what_a_run_is_making_is_running():
    facts = replace(with_old_code("mask"), attempts={"mask": Attempt("r", True)})

    assert judge(facts)["mask"].state is State.RUNNING


def test_what_was_accepted_counts_as_current_and_says_so():
    cells = judge(with_old_code("mask"), Decided(accepted="mask"))

    assert states(cells) == {}
    assert cells["mask"].note == "accepted by A: fine"


def test_nothing_of_a_frozen_study_is_ready():
    cells = judge(with_old_code("mask"), Decided(frozen="frozen by A: paper"))

    assert states(cells) == dict.fromkeys(["mask", "deface", "report"], "frozen")
    assert not any(cell.is_ready for cell in cells.values())
    assert cells["mask"].reasons[0].kind == "code"


def test_what_spans_sessions_waits_while_one_of_them_moves():
    cells = judge(replace(FRESH, moving={"raw"}))

    assert cells["report"].reasons[-1].inputs[-1] == "raw"


some_assets = st.sets(st.sampled_from(ASSETS))


@given(old=some_assets, failing=some_assets)
def test_every_result_has_a_reason_unless_it_is_fresh(old, failing):
    attempts = {asset: Attempt("r", False, "E") for asset in failing}

    cells = judge(replace(with_old_code(*old), attempts=attempts))

    for cell in cells.values():
        assert (cell.state is State.FRESH) == (not cell.reasons)


@given(old=some_assets)
def test_exactly_what_changed_is_stale_and_what_follows_it_waits(old):
    cells = judge(with_old_code(*old))

    stale = {a for a, cell in cells.items() if cell.state is State.STALE}
    waiting = {a for a, cell in cells.items() if cell.state is State.WAITS}
    behind = {a for a in ASSETS if find_ancestors(PARENTS, a) & old}
    assert stale == old
    assert waiting == behind - old


@given(old=some_assets, coming_out_the_same=st.booleans())
def test_making_what_is_ready_again_and_again_leaves_everything_fresh(
    old, coming_out_the_same
):
    made = dict(with_old_code(*old).made)
    runs: list[str] = []
    for _ in ASSETS:
        inputs = {
            a: {p: made[p].data_version for p in parents}
            for a, parents in PARENTS.items()
        }
        cells = judge(Facts("sub-01_ses-1", made, inputs))
        for asset in (a for a, cell in cells.items() if cell.is_ready):
            version = "v" if coming_out_the_same else f"{made[asset].data_version}+"
            now = {p: made[p].data_version for p in PARENTS[asset]}
            made[asset] = Made("1", version, now)
            runs.append(asset)

    assert states(cells) == {}
    assert len(runs) == len(set(runs)), "nothing is made twice"
    if coming_out_the_same:
        assert set(runs) == old


def failed(code_version: str) -> dict[str, Attempt]:
    return {"mask": Attempt("r", failure="KeyError", code_version=code_version)}


def test_what_failed_with_other_code_is_stale_and_tried_again():
    never = {a: one for a, one in MADE.items() if a != "mask"}
    first = judge(replace(FRESH, made=never, attempts=failed("0")))["mask"]
    later = judge(replace(with_old_code("mask"), attempts=failed("0")))["mask"]

    for cell in (first, later):
        assert cell.state is State.STALE
        assert cell.is_ready
        assert "code changed: 0 to 1" in [reason.sentence for reason in cell.reasons]
        assert cell.failure == ""


def test_what_failed_with_the_code_of_today_stays_failed():
    for version in ("1", ""):
        cell = judge(replace(with_old_code("mask"), attempts=failed(version)))["mask"]

        assert (cell.state, cell.failure) == (State.FAILED, "KeyError")
