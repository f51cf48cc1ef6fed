"""What scanners position, calibrate and compute, told by type, sequence and name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bids.sidecars import BOLD, DWI, decide, distinct, names, output
from tests.bids.test_bids_vendors import CANON, GE, PHILIPS, SIEMENS, UIH, facts

Facts = dict[str, Any]  # JSON of any kind

FLASH = facts("3D GR", 0.0014, 0.0032, FlipAngle=8, SequenceName="*fl3d1_ns")
SWAN = facts("3D GR", 0.025, 0.04, FlipAngle=15, PulseSequenceName="swan")
DERIVED = ["DERIVED", "PRIMARY"]


def typed(*values: str) -> Facts:
    """Return an ImageType as dcm2niix writes it: apart at each underscore."""
    return {"ImageType": list(values)}


@pytest.mark.parametrize(
    ("name", "physics"),
    [
        ("x17", SIEMENS | FLASH | {"PulseSequenceDetails": "%SiemensSeq%\\AALScout"}),
        ("x17", UIH | facts("2D GR", 0.003, 0.006, SequenceName="gre_scout")),
        ("Locator", CANON | facts("2D GR", 0.003, 0.007, FlipAngle=20)),
        ("SmartBrain", PHILIPS | facts("3D GR", 0.0027, 0.0057, FlipAngle=8)),
        ("Ref_32", PHILIPS | facts("3D GR", 0.0007, 0.004, FlipAngle=1)),
        ("x17", GE | facts("3D GR", 0.0005, 0.0025, FlipAngle=2)),
        ("Head_MRAC_UTE", SIEMENS | facts("3D GR", 0.0001, 0.0119, FlipAngle=10)),
    ],
)
def test_what_serves_other_scans_is_left_out(name, physics):
    assert names(output(name, physics)) == ["excluded"]


@pytest.mark.parametrize(
    ("physics", "kind", "label"),
    [
        (
            facts("3D IR", 0.34, 4.8, FlipAngle=90, EchoTrainLength=182),
            ("ORIGINAL", "PRIMARY", "FLUID", "ATTENUATED", "NONE"),
            "anat/FLAIR",
        ),
        (
            facts("3D GR", 0.0045, 0.015, PulseSequenceName="T1FFE"),
            ("ORIGINAL", "PRIMARY", "FLOW", "ENCODED", "NONE"),
            "anat/angio",
        ),
        (
            facts("3D GR", 0.0035, 0.023, PulseSequenceName="T1FFE"),
            ("DERIVED", "PRIMARY", "MAX", "IP", "MAGNITUDE"),
            "excluded",
        ),
        (
            facts("2D GR", 0.002, 0.5),
            ("DERIVED", "PRIMARY", "T2", "STAR MAP", "ND"),
            "anat/T2starmap",
        ),
        (
            facts("2D GR", 0.002, 0.01),
            ("DERIVED", "PRIMARY", "T1", "MAP"),
            "anat/T1map",
        ),
    ],
)
def test_a_type_that_was_taken_apart_is_read_as_one(physics, kind, label):
    assert names(output("x17", PHILIPS | physics | typed(*kind))) == [label]


@pytest.mark.parametrize(
    ("name", "kind", "suffix"),
    [
        ("x17", (*DERIVED, "DIFFUSION", "FRACTIONAL", "ANISOTROPY"), "FA"),
        ("ADC: Ax DWI", ("DERIVED", "SECONDARY", "COMBINED"), "ADC"),
        ("x17", (*DERIVED, "DIFFUSION", "TENSOR", "ND"), ""),
        ("x17", (*DERIVED, "DIFFUSION", "CALC", "BVALUE"), ""),
        ("x17", (*DERIVED, "DIFFUSION", "NONE"), "dwi"),
    ],
)
def test_a_computed_diffusion_image_has_the_name_of_its_map_or_none(name, kind, suffix):
    facts_of_map = DWI | typed(*kind)

    found = decide(output(name, facts_of_map))[0]

    assert found.suffix == suffix
    assert (found.outcome == "excluded") == (not suffix)


def test_a_computed_image_before_a_run_is_no_reference_of_it():
    computed = output("x17", BOLD | typed("DERIVED", "PRIMARY", "M", "ND"))
    run = output("x17", BOLD, at_s=5, volumes=100, number=2)

    assert decide(computed, run)[0].suffix != "sbref"


def test_a_processed_susceptibility_image_is_left_out_beside_its_magnitude():
    physics = SIEMENS | facts("3D GR", 0.02, 0.028, SequenceName="*swi3d1r")
    kind = typed("ORIGINAL", "PRIMARY", "M", "SWI", "ND")
    magnitude = output("swi", physics)
    processed = output("swi", physics | kind, number=2)

    assert names(magnitude, processed) == ["anat/T2starw", "excluded"]
    assert names(processed) == ["anat/T2starw"]


def test_the_filtered_phase_of_ge_is_left_out():
    filtered = output("Filt_Pha: Ax SWAN", GE | SWAN | typed("DERIVED", "SECONDARY"))

    assert names(filtered) == ["excluded"]


def test_inflow_of_philips_is_angiography():
    physics = facts("3D GR", 0.0035, 0.023, FlipAngle=18, PulseSequenceName="T1FFE")

    assert names(output("s3DI_MC_HR", PHILIPS | physics)) == ["anat/angio"]


def test_a_late_gradient_echo_that_is_called_t2w_is_weighted_by_t2_star():
    physics = facts("2D GR", 0.016, 0.7, FlipAngle=18, PulseSequenceName="FFE")

    assert names(output("T2W_FFE", PHILIPS | physics)) == ["anat/T2starw"]


@pytest.mark.parametrize("kind", ["MIP", "SCREEN SAVE"])
def test_projections_and_pictures_of_tomography_are_left_out(kind):
    picture = typed("DERIVED", "SECONDARY", kind) | {"Modality": "PT"}
    measured = typed("ORIGINAL", "PRIMARY") | {"Modality": "PT"}

    found = decide(*distinct([output("PET", picture), output("PET", measured)]))

    assert found[0].outcome == "excluded"
    assert found[1].suffix == "pet"
