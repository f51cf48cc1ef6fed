"""What makers write of field maps, perfusion, diffusion and what is no image."""

from __future__ import annotations

import pytest

from tests.bids.sidecars import decide, distinct, names, output
from tests.bids.test_bids_vendors import GE, PHILIPS, facts

PHASE = {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE", "PHASE"]}
FIELD = {"ImageType": ["ORIGINAL", "PRIMARY", "REAL", "FIELDMAPHZ"], "Units": "Hz"}


@pytest.mark.parametrize(
    "told", [{"ScanOptions": "VB_GEMS"}, {"PulseSequenceName": "B0rf"}]
)
def test_a_field_map_of_ge_has_an_echo_spacing_and_is_no_run(told):
    physics = facts("2D RM", 0.0046, 0.2, FlipAngle=20, EffectiveEchoSpacing=0.0011)
    magnitude = output("x17", GE | physics | told)
    field = output("x17", GE | physics | told | FIELD)

    found = names(*distinct([magnitude, field]))
    assert found == ["fmap/magnitude", "fmap/fieldmap"]


def test_echo_planar_images_of_ge_are_known_by_its_flag():
    physics = facts("2D RM", 0.03, 2.0, FlipAngle=77, EffectiveEchoSpacing=0.0005)

    one = output("x17", GE | physics | {"ScanOptions": "EPI_GEMS\\PFF"}, volumes=4)

    assert names(one) == ["func/task-x17_bold"]


def _two_echoes(name: str, first_s: float, second_s: float, scanning: str = "2D GR"):
    images = [
        output(
            name,
            PHILIPS | facts(scanning, echo_s, 0.65, FlipAngle=80) | kind,
            EchoNumber=number,
        )
        for number, echo_s in ((1, first_s), (2, second_s))
        for kind in ({}, PHASE)
    ]
    return distinct(images)


@pytest.mark.parametrize("name", ["WIP Field Mapping", "B0 field-map", "x17"])
def test_magnitude_and_phase_of_two_early_echoes_map_the_field(name):
    found = names(*_two_echoes(name, 0.007, 0.010))

    assert found == [
        "fmap/magnitude1",
        "fmap/phase1",
        "fmap/magnitude2",
        "fmap/phase2",
    ]


def test_magnitude_and_phase_of_late_echoes_are_structural():
    found = decide(*_two_echoes("x17", 0.020, 0.030))

    assert {one.datatype for one in found} == {"anat"}


def test_the_first_echo_of_an_echo_planar_run_of_philips_is_early():
    physics = PHILIPS | facts("2D GR", 0.0082, 1.5, FlipAngle=72, EchoTrainLength=62)
    later = physics | {"EchoTime": 0.023}

    echoes = [output("rest", one, volumes=3) for one in (physics, later)]
    found = names(*distinct(echoes))

    assert found == ["func/task-rest_echo-1_bold", "func/task-rest_echo-2_bold"]
