"""The physics and the sequence names of the makers, without a word of a name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bids.sidecars import decide, names, output

Facts = dict[str, Any]  # JSON of any kind

GE: Facts = {"Manufacturer": "GE", "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"]}
PHILIPS: Facts = {"Manufacturer": "Philips", "ImageType": ["ORIGINAL", "PRIMARY", "M"]}
UIH: Facts = {"Manufacturer": "UIH", "ImageType": ["ORIGINAL", "PRIMARY", "M"]}
CANON: Facts = {"Manufacturer": "Canon", "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"]}
SIEMENS: Facts = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}


def facts(kind: str, echo_s: float, repetition_s: float, **more: Any) -> Facts:
    """Return the timing and the kind of a sequence: ``3D GR`` or ``2D SE IR``."""
    dimensions, *scanning = kind.split()
    return {
        "MRAcquisitionType": dimensions,
        "ScanningSequence": "\\".join(scanning),
        "EchoTime": echo_s,
        "RepetitionTime": repetition_s,
    } | more


@pytest.mark.parametrize(
    ("maker", "physics", "label"),
    [
        (
            GE,
            facts("3D RM", 0.003, 0.007, InversionTime=1.06, FlipAngle=8),
            "anat/T1w",
        ),
        (
            GE,
            facts("3D GR", 0.003, 0.008, FlipAngle=12, PulseSequenceName="efgre3d"),
            "anat/T1w",
        ),
        (
            GE,
            facts("3D RM", 0.09, 3.2, FlipAngle=90, EchoTrainLength=140),
            "anat/T2w",
        ),
        (
            GE,
            facts("3D GR", 0.025, 0.04, FlipAngle=15, PulseSequenceName="swan"),
            "anat/T2starw",
        ),
        (GE, facts("2D SE", 0.1, 6.0, PulseSequenceName="fse-xl"), "anat/T2w"),
        (
            GE,
            facts("2D SE IR", 0.12, 9.0, InversionTime=2.4, PulseSequenceName="fse"),
            "anat/FLAIR",
        ),
        (
            PHILIPS,
            facts("3D GR", 0.0035, 0.008, FlipAngle=8, SequenceVariant="MP"),
            "anat/T1w",
        ),
        (PHILIPS, facts("2D SE", 0.08, 3.0, PulseSequenceName="TSE"), "anat/T2w"),
        (
            PHILIPS,
            facts("3D IR", 0.28, 4.8, InversionTime=1.65, FlipAngle=90),
            "anat/FLAIR",
        ),
        (PHILIPS, facts("2D IR", 0.016, 2.0, InversionTime=0.8), "anat/T1w"),
        (
            UIH,
            facts("3D GR", 0.003, 0.008, FlipAngle=10, SequenceName="gre_fsp"),
            "anat/T1w",
        ),
        (UIH, facts("2D SE", 0.1, 5.0, SequenceName="fse"), "anat/T2w"),
        (
            CANON,
            facts("3D GR", 0.0028, 0.006, FlipAngle=9, PulseSequenceName="FE3D_MPRAGE"),
            "anat/T1w",
        ),
        (
            SIEMENS,
            facts("3D GR", 0.0034, 0.021, SequenceName="_fl3d1r_t70", FlipAngle=18),
            "anat/angio",
        ),
        (SIEMENS, facts("3D SE", 0.4, 3.2, SequenceName="*spc_282ns"), "anat/T2w"),
        (
            SIEMENS,
            facts("2D SE IR", 0.0085, 4.1, SequenceName="tir2d1_5", InversionTime=1.7),
            "anat/T1w",
        ),
        (
            SIEMENS,
            facts("3D GR", 0.002, 0.005, SequenceName="*tfi3d1", FlipAngle=60),
            "anat/T2w",
        ),
        (
            SIEMENS,
            facts("3D EP", 0.03, 0.06, SequenceName="epfid3d1_15", FlipAngle=10),
            "anat/T2starw",
        ),
    ],
)
def test_one_volume_is_named_by_its_physics_alone(maker, physics, label):
    assert names(output("x17", maker | physics)) == [label]


@pytest.mark.parametrize(
    ("maker", "physics"),
    [
        (GE, facts("2D EP RM", 0.03, 2.0, FlipAngle=77)),
        (GE, facts("2D EP GR", 0.03, 2.0, PulseSequenceName="epiRT")),
        (PHILIPS, facts("2D GR", 0.03, 2.0, FlipAngle=77, EchoTrainLength=31)),
        (PHILIPS, facts("2D GR", 0.03, 2.0, PulseSequenceName="FEEPI")),
        (UIH, facts("2D GR", 0.03, 2.0, SequenceName="epi_fid")),
        (CANON, facts("2D EP GR", 0.03, 2.0, PulseSequenceName="FE_EPI")),
        (SIEMENS, facts("2D SE EP", 0.03, 2.0)),
        (SIEMENS, facts("2D EP", 0.03, 2.0, SequenceName="epfid2d1_64")),
        (SIEMENS, facts("2D EP", 0.03, 2.0, PulseSequenceName="*epfid2d1_64")),
    ],
)
def test_gradient_echo_planar_series_of_every_maker_are_runs(maker, physics):
    one = output("x17", maker | physics, volumes=200)

    assert names(one) == ["func/task-x17_bold"]


@pytest.mark.parametrize(
    ("maker", "physics"),
    [
        (GE, facts("2D EP SE", 0.08, 8.0, PulseSequenceName="epi2")),
        (PHILIPS, facts("2D SE", 0.08, 8.0, PulseSequenceName="SEEPI")),
        (SIEMENS, facts("2D EP", 0.06, 8.0, SequenceName="epse2d1_104")),
        (SIEMENS, facts("2D EP", 0.066, 8.0)),
    ],
)
def test_spin_echo_planar_volumes_of_every_maker_map_the_field(maker, physics):
    readout = {"TotalReadoutTime": 0.04, "PhaseEncodingDirection": "j"}

    found = names(output("x17", maker | physics | readout, volumes=3))

    assert found == ["fmap/dir-PA_epi"]


def test_diffusion_that_philips_calls_a_spin_echo_is_no_t2w():
    physics = PHILIPS | facts("2D SE", 0.06, 2.7)

    decision = decide(output("SSh_DWI", physics))[0]

    assert (decision.outcome, decision.suffix) == ("incomplete", "dwi")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("inplane T2 anatomy", "anat/inplaneT2"),
        ("T1w in-plane", "anat/inplaneT1"),
    ],
)
def test_slices_in_the_plane_of_the_runs_have_their_own_suffix(name, label):
    late = 0.09 if "T2" in name else 0.01
    physics = facts("2D SE", late, 4.0, SequenceName="tse2d1_11")

    assert names(output(name, SIEMENS | physics)) == [label]


def test_a_prescan_normalized_image_is_no_prescan():
    physics = facts("3D GR IR", 0.002, 2.3, SequenceName="tfl3d1", InversionTime=0.9)

    assert names(output("t1 prescan norm", SIEMENS | physics)) == ["anat/T1w"]
    assert names(output("Prescan", SIEMENS | facts("3D GR", 0.002, 0.01))) == [
        "excluded"
    ]


def test_a_session_called_localizer_holds_measurements():
    physics = facts("3D GR", 0.003, 0.01, FlipAngle=9, SequenceName="fl3d1")

    found = names(output("anat-T1w_ses-localizer", SIEMENS | physics))

    assert found == ["anat/T1w"]


def test_no_echo_planar_readout_fits_into_nine_milliseconds():
    physics = facts("2D GR", 0.004, 0.0086, SequenceName="epi2", FlipAngle=20)

    assert names(output("3Plane Loc", GE | physics)) == ["excluded"]


def test_the_reference_of_a_functional_localizer_positions_nothing():
    physics = facts("2D EP", 0.03, 2.0, SequenceName="epfid2d1_64")

    found = names(output("face localizer_SBRef", SIEMENS | physics))

    assert found == ["func/task-faceLocalizer_sbref"]


def test_a_transmit_field_is_told_by_its_sequence():
    physics = facts("2D GR", 0.002, 5.0, PulseSequenceDetails="%SiemensSeq%\\tfl_b1map")

    assert names(output("x17", SIEMENS | physics)) == ["fmap/acq-anat_TB1TFL"]
