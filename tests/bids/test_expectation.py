"""A session is complete, incomplete or more than expected by its study's protocol."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_platform.bids.expectation import Expectation, compare_with_protocol
from imaging_platform.bids.protocol import ProtocolSettings

PROTOCOL = ProtocolSettings.model_validate(
    {
        "series": [
            {"scan": "anat/T1w", "min": 1, "max": 1},
            {"scan": "func/task-*_bold", "min": 2},
            {"scan": "dwi/*", "min": 0},
        ]
    }
)
WHOLE = ("anat/T1w", "func/task-rest_run-1_bold", "func/task-rest_run-2_bold")


def converted(*scans: str, unknown: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return the report of a session with these images, as its record holds it."""
    rows = [
        {"series_number": number, "outcome": "converted", "scans": [_scan(scan)]}
        for number, scan in enumerate(scans, start=1)
    ]
    rows += [
        {"series_number": number, "outcome": "unknown", "scans": []}
        for number in unknown
    ]
    return {"series": rows}


def _scan(scan: str) -> dict[str, Any]:
    folder, name = scan.split("/")
    base = f"{folder}/sub-A_ses-1_{name}"
    return {"outcome": "converted", "files": [f"{base}.json", f"{base}.nii.gz"]}


@pytest.mark.parametrize(
    ("report", "verdict", "expectation"),
    [
        (converted(*WHOLE), "complete", Expectation()),
        (converted(*WHOLE, "dwi/dwi"), "complete", Expectation()),
        (
            converted(*WHOLE[1:]),
            "incomplete",
            Expectation(missing=("anat/T1w: 0, expected 1",)),
        ),
        (
            converted(*WHOLE[:2]),
            "incomplete",
            Expectation(missing=("func/task-*_bold: 1, expected at least 2",)),
        ),
        (
            converted(*WHOLE, "anat/run-2_T1w"),
            "unexpected",
            Expectation(unexpected=("anat/T1w: 2, expected 1",)),
        ),
        (
            converted(*WHOLE, "fmap/phasediff", unknown=(9,)),
            "unexpected",
            Expectation(
                unexpected=(
                    "fmap/phasediff: 1, not in the protocol",
                    "series 9: has no name",
                )
            ),
        ),
    ],
)
def test_a_session_is_judged_by_the_kinds_that_are_expected(
    report: dict[str, Any], verdict: str, expectation: Expectation
):
    found = compare_with_protocol(report, PROTOCOL)

    assert found == expectation
    assert found.verdict == verdict


def test_a_study_without_a_protocol_finds_nothing_unexpected():
    report = converted("fmap/phasediff", unknown=(3,))

    assert compare_with_protocol(report, ProtocolSettings()) == Expectation()
