"""Which fieldmap serves which scan."""

from __future__ import annotations

import pytest

from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.fieldmaps import link_fieldmaps
from imaging_platform.bids.rules import decide_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.model.ids import SessionKey
from tests.bids.sidecars import (
    BOLD,
    DWI,
    SPIN_ECHO_EPI,
    distinct,
    gradient_fieldmap,
    output,
)

KEY = SessionKey("07", "b")


def link(outputs, settings=None):
    settings = settings or BidsSettings()
    decisions = decide_session(outputs, settings)
    images = [read_evidence(one) for one in outputs]
    return link_fieldmaps(decisions, images, key=KEY, settings=settings)


def test_identifiers_hold_subject_and_session():
    links = link(
        [*distinct(gradient_fieldmap(0, 1)), output("rest", BOLD, volumes=9, at_s=60)]
    )

    assert links[0]["B0FieldIdentifier"] == "gre1_sub07_sesb"
    assert links[3]["B0FieldSource"] == "gre1_sub07_sesb"


def test_only_the_phase_image_names_the_scans_that_it_serves():
    links = link(
        [*distinct(gradient_fieldmap(0, 1)), output("rest", BOLD, volumes=9, at_s=60)]
    )

    assert links[2]["IntendedFor"] == [
        "bids::sub-07/ses-b/func/sub-07_ses-b_task-rest_bold.nii.gz"
    ]
    assert "IntendedFor" not in links[0]


def test_a_scan_takes_the_fieldmap_with_its_own_shim_before_a_nearer_one():
    same, other = {"ShimSetting": [1, 2, 3]}, {"ShimSetting": [4, 5, 6]}
    outputs = [
        output("se", SPIN_ECHO_EPI | same, PhaseEncodingDirection="j", at_s=0),
        output(
            "se", SPIN_ECHO_EPI | other, PhaseEncodingDirection="j", at_s=800, number=2
        ),
        output("rest", BOLD | same, volumes=9, at_s=900, number=3),
    ]

    assert link(outputs)[2]["B0FieldSource"] == "pepolar1_sub07_sesb"


@pytest.mark.parametrize("shim", [{}, {"ShimSetting": ["off"]}, {"ShimSetting": 3}])
def test_without_shim_settings_the_nearest_fieldmap_in_time_serves(shim):
    epi = SPIN_ECHO_EPI | shim
    outputs = [
        output("se", epi, PhaseEncodingDirection="j", at_s=0),
        output("se", epi, PhaseEncodingDirection="j", at_s=800, number=2),
        output("rest", BOLD | shim, volumes=9, at_s=900, number=3),
    ]

    assert link(outputs)[2]["B0FieldSource"] == "pepolar2_sub07_sesb"


def test_two_directions_are_one_estimator():
    outputs = [
        output("se", SPIN_ECHO_EPI, PhaseEncodingDirection="j-", at_s=0),
        output("se", SPIN_ECHO_EPI, PhaseEncodingDirection="j", at_s=30, number=2),
        output("rest", BOLD, volumes=9, at_s=60, number=3),
    ]

    links = link(outputs)

    assert links[0]["B0FieldIdentifier"] == links[1]["B0FieldIdentifier"]
    assert "B0FieldIdentifier" not in links[2]


def test_a_single_direction_is_completed_by_the_run_that_it_corrects():
    outputs = [
        output("se", SPIN_ECHO_EPI, PhaseEncodingDirection="j", at_s=0),
        output("rest", BOLD, volumes=9, at_s=60, number=3),
    ]

    links = link(outputs)

    assert links[1]["B0FieldIdentifier"] == links[0]["B0FieldIdentifier"]


def test_diffusion_prefers_the_fieldmap_of_its_own_kind():
    opposite = DWI | {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.03}
    outputs = [
        output("dti_PA", opposite, volumes=2, bvals=(0.0, 0.0), at_s=0),
        output("dti", DWI, volumes=3, bvals=(0.0, 1e3, 1e3), at_s=900, number=2),
        output("se", SPIN_ECHO_EPI, PhaseEncodingDirection="j", at_s=950, number=3),
    ]

    assert link(outputs)[1]["B0FieldSource"] == link(outputs)[0]["B0FieldIdentifier"]


def test_a_fieldmap_too_far_away_serves_nothing():
    outputs = [
        output("se", SPIN_ECHO_EPI, PhaseEncodingDirection="j", at_s=0),
        output("rest", BOLD, volumes=9, at_s=120, number=3),
    ]

    links = link(outputs, BidsSettings(maximum_fieldmap_gap_s=60))

    assert list(links) == [0]
    assert "IntendedFor" not in links[0]


def test_a_fieldmap_before_a_new_shim_is_no_partner_of_one_after_it():
    old, new = {"ShimSetting": [1, 2, 3]}, {"ShimSetting": [4, 5, 6]}
    outputs = [
        output("se", SPIN_ECHO_EPI | old, PhaseEncodingDirection="j-", at_s=0),
        output(
            "se", SPIN_ECHO_EPI | new, PhaseEncodingDirection="j-", at_s=90, number=2
        ),
        output(
            "se", SPIN_ECHO_EPI | new, PhaseEncodingDirection="j", at_s=120, number=3
        ),
        output("rest", BOLD | new, volumes=9, at_s=200, number=4),
    ]

    links = link(outputs)

    assert links[1]["B0FieldIdentifier"] == links[2]["B0FieldIdentifier"]
    assert links[0]["B0FieldIdentifier"] != links[1]["B0FieldIdentifier"]
    assert links[1]["IntendedFor"] == links[2]["IntendedFor"]
    assert links[3]["B0FieldSource"] == links[1]["B0FieldIdentifier"]
