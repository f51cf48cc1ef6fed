"""
What people think of a session's scans: pass or fail, for the scans as they were.

A rating is bound to the content of the BIDS session that was looked at; when that is
another, the rating has expired and says nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from imaging_platform.files.digests import digest_json
from imaging_platform.model.config import Section
from imaging_platform.model.rating import Rating
from imaging_platform.planning.decisions import (
    RATING_ACTIONS,
    Decision,
    Decisions,
    read_decisions,
)
from imaging_platform.provenance.record import Record

RATED_ASSET = "bids_session"
"""What a person looks at, and what a rating is bound to."""

Verdict = Literal["pass", "fail"]


class RatingSettings(Section):
    """What follows from the verdict of a person on a session."""

    gates: tuple[str, ...] = Field(
        default=(),
        description="Assets of a session that are not made while its rating is fail.",
    )


def read_ratings(
    home: Path, study: str, records: Mapping[tuple[str, str], Record]
) -> dict[str, Rating]:
    """
    Return the latest rating of each session of a study that has one.

    Parameters
    ----------
    home, study
        The imaging home, and name of the study.
    records
        Record of each published session tree by (asset, session key).
    """
    versions = {
        key: record.data_version
        for (asset, key), record in records.items()
        if asset == RATED_ASSET
    }
    return find_ratings(read_decisions(home, study), versions)


def find_ratings(
    decisions: Decisions, versions: Mapping[str, str]
) -> dict[str, Rating]:
    """
    Return the latest rating of each session that has one, expired ones too.

    Parameters
    ----------
    decisions
        What people decided about the study.
    versions
        Data version of each session's BIDS tree as it is, by session key.
    """
    latest = {
        step.partition: step
        for step in decisions.steps
        if step.action in RATING_ACTIONS
    }
    return {
        key: _judge(step, versions.get(key, ""))
        for key, step in sorted(latest.items())
        if step.action == "rate"
    }


def digest_ratings(ratings: Mapping[str, Rating]) -> str:
    """Return a digest of all that ratings say; empty when there are none."""
    told = {key: (r.sentence, r.is_expired) for key, r in ratings.items()}
    return digest_json(told) if told else ""


def _judge(step: Decision, version: str) -> Rating:
    is_expired = step.data_version != version
    return Rating(step.verdict, step.author, step.reason, step.when, is_expired)
