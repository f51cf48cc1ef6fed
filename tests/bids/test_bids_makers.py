"""What makers write of field maps, perfusion, diffusion and what is no image."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bids.sidecars import DWI, MPRAGE, decide, distinct, names, output
from tests.bids.test_bids_vendors import CANON, GE, PHILIPS, SIEMENS, facts

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


@pytest.mark.parametrize(
    "kind",
    [
        ["ORIGINAL", "PRIMARY", "PERFUSION", "FFE", "PERFUSION", "FFE"],
        ["ORIGINAL", "PRIMARY", "PERFUSION", "NONE", "REAL"],
    ],
)
def test_what_philips_averaged_of_labelling_is_a_map_and_no_calibration(kind):
    physics = PHILIPS | facts("3D GR", 0.009, 4.2, PulseSequenceName="GraSE")
    raw = {"ImageType": ["ORIGINAL", "PRIMARY", "PERFUSION", "NONE", "MAGNITUDE"]}

    averaged = output("3DpCASL", physics | {"ImageType": kind}, number=1901)
    source = output("WIP SOURCE - 3DpCASL", physics | raw, volumes=12, number=1903)

    found = decide(averaged, source)
    assert found[0].outcome == "excluded"
    assert found[1].suffix == "asl"


def test_fast_volumes_after_a_contrast_agent_are_no_run():
    physics = facts("3D GR", 0.0017, 0.0035, FlipAngle=15, SequenceName="fl3d1")

    assert names(output("x17", SIEMENS | physics, volumes=40)) == ["excluded"]


def test_spectra_are_no_run_and_no_structural_image():
    physics = facts("3D SVS", 0.03, 4.0, SequenceName="*svs_se")
    kind = {"ImageType": ["ORIGINAL", "PRIMARY", "SPECTROSCOPY", "NONE"]}

    many = output("svs_se", SIEMENS | physics | kind, volumes=1024)
    one = output("svs_se", SIEMENS | physics | kind)

    assert names(*distinct([many, one])) == ["unknown", "unknown"]


@pytest.mark.parametrize("shape", [(64, 64, 30, 7), ()])
def test_enhanced_diffusion_of_canon_says_nothing_of_its_readout(shape):
    physics = CANON | {"EchoTime": 0.079, "RepetitionTime": 10, "FlipAngle": 90}

    decision = decide(replace(output("DTI_PA", physics), shape=shape))[0]

    assert decision.suffix == "dwi"


def test_an_unweighted_image_of_the_direction_of_its_run_is_diffusion():
    run = output("dwi_AP_b1500", DWI, volumes=2, bvals=(5.0, 1500.0))
    unweighted = output("dwi_AP_B0", DWI, at_s=900, number=8)

    assert decide(run, unweighted)[1].suffix == "dwi"


def test_unweighted_images_of_both_directions_map_the_field():
    run = output("dwi_AP_b1500", DWI, volumes=2, bvals=(5.0, 1500.0))
    same = output("dwi_AP_B0", DWI, at_s=900, number=8, TotalReadoutTime=0.03)
    other = {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.03}
    opposite = output("dwi_PA_B0", DWI | other, at_s=960, number=9)

    found = names(run, same, opposite)

    assert found[1:] == ["fmap/dir-AP_epi", "fmap/dir-PA_epi"]


def test_the_first_echo_of_an_echo_planar_run_of_philips_is_early():
    physics = PHILIPS | facts("2D GR", 0.0082, 1.5, FlipAngle=72, EchoTrainLength=62)
    later = physics | {"EchoTime": 0.023}

    echoes = [output("rest", one, volumes=3) for one in (physics, later)]
    found = names(*distinct(echoes))

    assert found == ["func/task-rest_echo-1_bold", "func/task-rest_echo-2_bold"]


@pytest.mark.parametrize("echo", [{"EchoTime": 0.0017}, {}])
def test_the_root_mean_square_of_echoes_is_no_echo(echo):
    physics = MPRAGE | {"SequenceName": "*tfl3d2_16ns"}
    untimed = {key: value for key, value in physics.items() if key != "EchoTime"}
    kind = {"ImageType": ["ORIGINAL", "PRIMARY", "OTHER", "ND", "NORM", "MEAN"]}

    echoes = [output("t1", physics | {"EchoTime": te_s}) for te_s in (0.0017, 0.0036)]
    combined = output("t1", untimed | echo | kind, number=2)

    assert names(*distinct([*echoes, combined])) == [
        "anat/echo-1_T1w",
        "anat/echo-2_T1w",
        "anat/rec-rms_T1w",
    ]


def test_the_sequence_of_ge_for_opposite_polarity_maps_the_field():
    physics = facts("2D EP RM", 0.08, 7.4, PulseSequenceName="epi_pepolar")
    readout = {"TotalReadoutTime": 0.04, "PhaseEncodingDirection": "j"}

    assert names(output("fMRI", GE | physics | readout)) == ["fmap/dir-PA_epi"]
