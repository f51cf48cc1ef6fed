"""A plan knows the releases of a study, and what has changed since."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging_platform.model import layout
from imaging_platform.model.errors import BadInput, Held
from imaging_platform.planning.decisions import Decision, Decisions, append_decision
from imaging_platform.planning.releases import (
    find_releases,
    refuse_absent_release,
    refuse_frozen_release,
)
from imaging_platform.provenance.record import Record, write_record

INPUTS = {"motion[sub-A_ses-1]": "m1", "bids_session[sub-B_ses-1]": "b1"}


@pytest.fixture
def home(tmp_path) -> Path:
    for version in ("1.10", "1.9"):
        (tmp_path / layout.release("s", version)).mkdir(parents=True)
        folder = tmp_path / layout.release_record("s", version)
        folder.mkdir(parents=True)
        write_record(
            folder,
            Record("release", version, "1", inputs=INPUTS, data_version="d"),
        )
    return tmp_path


def decide(action, version="1.9") -> Decision:
    return Decision(action, "kim", "why", "now", asset="release", partition=version)


def test_releases_come_in_the_order_of_their_numbers(home):
    found = find_releases(home, "s", Decisions(), INPUTS)

    assert [one.version for one in found] == ["1.9", "1.10"]
    assert {one.n_sessions for one in found} == {2}
    assert {one.since for one in found} == {""}


@pytest.mark.parametrize(
    "now",
    [{**INPUTS, "motion[sub-A_ses-1]": "m2"}, {"bids_session[sub-B_ses-1]": "b1"}],
    ids=["made anew", "gone"],
)
def test_a_session_that_changed_after_a_release_is_named(home, now):
    first = find_releases(home, "s", Decisions(), now)[0]

    assert first.since == "sub-A_ses-1 changed after release 1.9"


def test_a_release_is_frozen_until_a_person_thaws_it(home):
    frozen = Decisions((decide("freeze"),))
    thawed = Decisions((*frozen.steps, decide("thaw")))
    again = Decisions((*thawed.steps, decide("freeze")))

    states = [
        find_releases(home, "s", decisions)[0].state
        for decisions in (Decisions(), frozen, thawed, again)
    ]

    assert states == ["frozen", "frozen", "thawed", "frozen"]
    assert thawed.frozen is None


def test_a_frozen_release_is_not_withdrawn(home):
    with pytest.raises(Held, match="is frozen") as error:
        refuse_frozen_release(home, "s", "1.9")
    assert "thaw s --release 1.9" in error.value.fix

    append_decision(home, "s", decide("thaw"))
    refuse_frozen_release(home, "s", "1.9")


def test_a_release_without_files_does_not_stand(home):
    (home / layout.release("s", "1.9")).rmdir()

    assert [r.version for r in find_releases(home, "s", Decisions())] == ["1.10"]
    with pytest.raises(BadInput, match=r"no release 1\.9") as error:
        refuse_absent_release(home, "s", "1.9")
    assert "plan" in error.value.fix
