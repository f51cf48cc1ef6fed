"""Directions, acquisitions, runs and references of the images of a session."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.bids.directions import read_axes, read_direction
from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.labels import SUFFIXES, allowed_entities
from tests.bids.sidecars import (
    BOLD,
    MPRAGE,
    SPIN_ECHO_EPI,
    decide,
    distinct,
    names,
    output,
)

OPPOSITE = {"LR": "RL", "RL": "LR", "AP": "PA", "PA": "AP", "SI": "IS", "IS": "SI"}
SPIN_ECHO = {
    "ScanningSequence": "SE",
    "SequenceName": "tse2d1_15",
    "MRAcquisitionType": "2D",
    "EchoTime": 0.1,
    "RepetitionTime": 5.0,
}


@given(
    st.sampled_from(["i", "j", "k"]),
    st.sampled_from([("L", "A", "S"), ("R", "A", "S"), ("P", "S", "R")]),
)
def test_the_other_polarity_is_the_opposite_direction(axis, codes):
    there, back = (read_direction(axis + sign, codes) for sign in ("", "-"))

    assert there is not None
    assert OPPOSITE[there] == back


@pytest.mark.parametrize(
    ("phase_encoding", "orientation", "direction"),
    [
        ("j-", [1, 0, 0, 0, 1, 0], "AP"),
        ("j", [1, 0, 0, 0, 0.94, -0.34], "PA"),
        ("i", [1, 0, 0, 0, 1, 0], "RL"),
        ("i-", [0, 1, 0, 0, 0, -1], "PA"),
        ("j-", [1, 0, 0, 0, 0, -1], "SI"),
    ],
)
def test_orientation_gives_the_direction_where_no_image_is_at_hand(
    phase_encoding, orientation, direction
):
    one = output("x", BOLD, PhaseEncodingDirection=phase_encoding)
    sidecar = {**one.sidecar, "ImageOrientationPatientDICOM": orientation}

    image = read_evidence(replace(one, axis_codes=(), sidecar=sidecar))

    assert image.direction == direction


def test_an_orientation_that_is_none_gives_no_direction():
    assert read_axes(None) == read_axes([1, 0, 0]) == read_axes(["a"] * 6) == ()


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("fmap_AP", "AP"),
        ("epi P-A", "PA"),
        ("epi_A>>P", "AP"),
        ("dir-LR rest", "LR"),
        ("SE EPI RtoL", "RL"),
        ("topup_APA", "PA"),
        ("topup_APP", "AP"),
        ("apart from rest", None),
        ("this is a map", None),
    ],
)
def test_a_name_claims_a_direction_in_many_spellings(name, direction):
    one = output(name, SPIN_ECHO_EPI, Manufacturer="Philips")

    assert read_evidence(one).named_direction == direction


def test_without_polarity_and_claim_there_is_no_direction_at_all():
    facts = SPIN_ECHO_EPI | {"Manufacturer": "Philips", "PhaseEncodingAxis": "j"}

    decision = decide(output("field", facts))[0]

    assert "dir" not in decision.entities


def test_structural_images_of_other_planes_are_other_acquisitions_not_runs():
    axial = output("t2", SPIN_ECHO, number=1)
    sagittal = replace(
        output("t2", SPIN_ECHO, at_s=300, number=2), axis_codes=("P", "S", "R")
    )

    assert names(axial, sagittal) == ["anat/acq-axial_T2w", "anat/acq-sagittal_T2w"]


def test_a_slab_beside_a_volume_is_another_acquisition():
    slab = SPIN_ECHO | {"EchoTime": 0.01, "RepetitionTime": 0.6}

    found = names(output("t1", MPRAGE), output("t1", slab, at_s=300, number=2))

    assert found == ["anat/acq-3D_T1w", "anat/acq-2D_T1w"]


def test_equal_structural_images_are_runs():
    found = names(output("t1", MPRAGE), output("t1", MPRAGE, at_s=300, number=2))

    assert found == ["anat/run-1_T1w", "anat/run-2_T1w"]


def test_a_run_that_a_longer_repeat_follows_is_said_to_be_interrupted():
    first, second = decide(
        output("rest", BOLD, volumes=40, number=1),
        output("rest", BOLD, volumes=200, at_s=300, number=2),
    )

    assert [first.entities["run"], second.entities["run"]] == ["1", "2"]
    assert "40 volumes of 200" in first.warnings[0]
    assert not second.warnings


def test_a_shorter_run_after_a_whole_one_is_not_said_to_be_repeated():
    first, second = decide(
        output("rest", BOLD, volumes=200, number=1),
        output("rest", BOLD, volumes=190, at_s=600, number=2),
    )

    assert not (first.warnings or second.warnings)


def test_only_the_last_volume_before_a_run_is_its_reference():
    found = names(
        output("memory", BOLD, at_s=0, number=1),
        output("memory", BOLD, at_s=10, number=2),
        output("memory", BOLD, at_s=20, volumes=200, number=3),
    )

    assert found[0] == "incomplete"
    assert found[1].endswith("_sbref")


def test_a_few_volumes_against_the_direction_of_a_run_map_its_field():
    facts = {k: v for k, v in BOLD.items() if k != "PhaseEncodingDirection"}

    found = names(
        output("memory", BOLD, volumes=200, number=1),
        output("x", facts, PhaseEncodingDirection="j", volumes=5, at_s=600, number=2),
    )

    assert found == ["func/task-memory_bold", "fmap/dir-PA_epi"]


def test_a_name_of_reproin_with_an_unknown_suffix_leaves_it_to_the_image():
    assert names(output("anat-MPRAGE_acq-x", MPRAGE)) == ["anat/acq-x_T1w"]
    assert names(output("anat-t1W_acq-x", MPRAGE)) == ["anat/acq-x_T1w"]


def _run_of_echoes(*echoes: tuple[float, int | None]):
    numbers = [{} if number is None else {"EchoNumber": number} for _, number in echoes]
    return distinct(
        [
            output("rest", BOLD | {"EchoTime": time} | stated, volumes=50, at_s=n / 100)
            for n, ((time, _), stated) in enumerate(zip(echoes, numbers, strict=True))
        ]
    )


@pytest.mark.parametrize(
    ("echoes", "numbers"),
    [
        (((0.013, 1), (0.05, 3)), ["1", "3"]),
        (((0.013, None), (0.05, 3)), ["1", "3"]),
        (((0.05, 3),), ["3"]),
        (((0.013, 1), (0.05, 1)), ["1", "2"]),
        (((0.013, 2), (0.05, 1)), ["1", "2"]),
    ],
)
def test_a_lost_echo_leaves_the_numbers_of_the_others(echoes, numbers):
    decisions = decide(*_run_of_echoes(*echoes))

    assert [d.entities["echo"] for d in decisions] == numbers


def test_the_only_echo_of_a_run_has_no_number():
    assert "echo" not in decide(*_run_of_echoes((0.03, 1)))[0].entities


def test_the_table_of_entities_is_that_of_the_schema():
    schema = pytest.importorskip("bidsschematools.schema").load_schema()
    short = {name: entity["name"] for name, entity in schema.objects.entities.items()}

    differing = [
        (datatype, suffix)
        for datatype, suffixes in SUFFIXES.items()
        for rule in schema.rules.files.raw[datatype].values()
        for suffix in set(rule.get("suffixes", [])) & set(suffixes)
        if allowed_entities(datatype, suffix)
        != {short[name] for name in rule["entities"]} - {"sub", "ses"}
    ]

    assert differing == []
