from __future__ import annotations

from imaging_platform.planning.decisions import Decision, Decisions
from imaging_platform.planning.ratings import digest_ratings, find_ratings


def rated(verdict: str, version: str = "b1", *, action: str = "rate") -> Decision:
    return Decision(
        action,  # pyright: ignore[reportArgumentType]
        "kim",
        "ghosts",
        "2026-01-01T00:00:00+00:00",
        asset="bids_session",
        partition="sub-1_ses-1",
        data_version=version,
        verdict=verdict,
    )


def find(*steps: Decision, version: str = "b1"):
    return find_ratings(Decisions(steps), {"sub-1_ses-1": version})


def test_the_latest_rating_of_a_session_counts():
    found = find(rated("fail"), rated("pass"))

    assert found["sub-1_ses-1"].sentence == "rated pass by kim: ghosts"


def test_a_rating_expires_when_the_session_that_was_looked_at_changes():
    assert not find(rated("fail"))["sub-1_ses-1"].is_expired
    assert find(rated("fail"), version="b2")["sub-1_ses-1"].is_expired
    assert find_ratings(Decisions((rated("fail"),)), {})["sub-1_ses-1"].is_expired


def test_a_withdrawn_rating_is_none():
    assert find(rated("fail"), rated("", action="unrate")) == {}


def test_a_rating_is_no_acceptance_and_freezes_nothing():
    decisions = Decisions((rated("fail"),))

    assert decisions.frozen is None


def test_lists_follow_each_change_of_a_rating():
    versions = {
        digest_ratings({}),
        digest_ratings(find(rated("fail"))),
        digest_ratings(find(rated("pass"))),
        digest_ratings(find(rated("pass"), version="b2")),
    }

    assert len(versions) == 4
