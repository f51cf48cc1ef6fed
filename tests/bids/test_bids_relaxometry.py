"""Sets of images that measure a quantity together, and what is no such set."""

from __future__ import annotations

import pytest

from tests.bids.sidecars import MPRAGE, decide, distinct, names, output

SPOILED = {
    "ScanningSequence": "GR",
    "SequenceVariant": "SP",
    "SequenceName": "fl3d1",
    "MRAcquisitionType": "3D",
    "EchoTime": 0.0025,
    "RepetitionTime": 0.025,
    "FlipAngle": 6,
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
}
INVERTED = {
    "ScanningSequence": "SE\\IR",
    "MRAcquisitionType": "2D",
    "EchoTime": 0.01,
    "RepetitionTime": 3.0,
    "FlipAngle": 90,
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
}


def test_gradient_echoes_that_differ_in_flip_angle_alone_are_one_set():
    found = names(
        output("flash", SPOILED, FlipAngle=20, number=1),
        output("flash low", SPOILED, FlipAngle=4, at_s=300, number=2),
    )

    assert found == ["anat/flip-2_VFA", "anat/flip-1_VFA"]


def test_a_flip_angle_that_is_none_is_asked_for():
    known, unknown = decide(
        output("flash", SPOILED, FlipAngle=20, number=1),
        output("flash low", SPOILED, FlipAngle=0, at_s=300, number=2),
    )

    assert (known.outcome, unknown.outcome) == ("converted", "incomplete")
    assert "FlipAngle" in unknown.why


def test_another_echo_time_makes_another_image_and_no_set():
    found = names(
        output("t1 flash", SPOILED, FlipAngle=20, number=1),
        output("t1 other", SPOILED, FlipAngle=8, EchoTime=0.004, at_s=300, number=2),
    )

    assert found == ["anat/run-1_T1w", "anat/run-2_T1w"]


def test_transfer_pulse_and_flip_angle_make_the_three_images_of_mts():
    found = names(
        output("a", SPOILED, MTState=True, number=1),
        output("b", SPOILED, MTState=False, at_s=300, number=2),
        output("c", SPOILED, MTState=False, FlipAngle=20, at_s=600, number=3),
    )

    assert found == [
        "anat/flip-1_mt-on_MTS",
        "anat/flip-1_mt-off_MTS",
        "anat/flip-2_mt-off_MTS",
    ]


def test_two_images_that_differ_in_the_pulse_alone_are_a_ratio():
    found = names(
        output("a", SPOILED, MTState=True, number=1),
        output("b", SPOILED, MTState=False, at_s=300, number=2),
    )

    assert found == ["anat/mt-on_MTR", "anat/mt-off_MTR"]


@pytest.mark.parametrize(
    "pulse",
    [
        {"SequenceVariant": "MTC_SP", "ScanOptions": "MT"},
        {"SequenceVariant": "MTC\\SP"},
        {"ScanOptions": "EDR_GEMS_MT_GEMS_FILTERED_GEMS_PFF"},
    ],
)
def test_a_transfer_pulse_is_known_without_the_key_of_newer_versions(pulse):
    decisions = decide(
        output("gre mt", SPOILED | pulse, number=1),
        output("gre", SPOILED, at_s=300, number=2),
    )

    assert [(d.suffix, d.entities["mt"]) for d in decisions] == [
        ("MTR", "on"),
        ("MTR", "off"),
    ]
    assert [d.metadata["MTState"] for d in decisions] == [True, False]


def test_a_stated_transfer_state_wins_over_the_options():
    decisions = decide(
        output("a", SPOILED, MTState=False, ScanOptions="MT", number=1),
        output("b", SPOILED, MTState=True, at_s=300, number=2),
    )

    assert [d.entities["mt"] for d in decisions] == ["off", "on"]


def test_an_angiography_with_a_transfer_pulse_is_no_part_of_a_ratio():
    found = names(
        output("tof", SPOILED | {"SequenceName": "fl3d1r_t70"}, MTState=True),
        output("t1", SPOILED, MTState=False, FlipAngle=12, at_s=300, number=2),
    )

    assert found == ["anat/angio", "anat/T1w"]


def test_three_inversion_times_of_one_sequence_measure_t1():
    times = (0.4, 0.05, 1.2)

    found = names(
        *(
            output(f"ir {n}", INVERTED, InversionTime=time, at_s=300 * n, number=n + 1)
            for n, time in enumerate(times)
        )
    )

    assert found == ["anat/inv-2_IRT1", "anat/inv-1_IRT1", "anat/inv-3_IRT1"]


def test_two_inversions_of_one_protocol_are_mp2rage_without_its_name():
    found = decide(
        output("a", MPRAGE, InversionTime=2.5, ProtocolName="p", number=1),
        output("b", MPRAGE, InversionTime=0.7, ProtocolName="p", at_s=1, number=2),
    )

    assert [(d.suffix, d.entities["inv"]) for d in found] == [
        ("MP2RAGE", "2"),
        ("MP2RAGE", "1"),
    ]


def test_an_inversion_of_mp2rage_waits_for_what_only_the_protocol_says():
    one = output("mp2rage_INV1", MPRAGE, MagneticFieldStrength=3)

    decision = decide(one)[0]

    assert decision.outcome == "incomplete"
    assert "NumberShots" in decision.why
    assert "MagneticFieldStrength" not in decision.why


def test_an_excitation_of_a_spoiled_gradient_echo_takes_a_whole_repetition():
    decision = decide(
        output("low", SPOILED, FlipAngle=4),
        output("high", SPOILED, FlipAngle=20, at_s=300, number=2),
    )[0]

    assert decision.metadata["RepetitionTimeExcitation"] == SPOILED["RepetitionTime"]


def test_a_late_echo_alone_is_known_by_its_number():
    late = SPOILED | {"EchoTime": 0.02, "EchoNumber": 4}

    assert names(output("x17", late)) == ["anat/echo-4_MEGRE"]


def test_echoes_of_a_spin_echo_train_are_numbered_in_order_of_time():
    train = {"ScanningSequence": "SE", "RepetitionTime": 3.0, "MRAcquisitionType": "2D"}

    found = names(
        *distinct(
            [
                output("x17", train, EchoTime=echo, EchoNumber=n + 1, at_s=n / 100)
                for n, echo in enumerate((0.01, 0.02, 0.03))
            ]
        )
    )

    assert found == [f"anat/echo-{n}_MESE" for n in (1, 2, 3)]


def test_an_image_with_a_transfer_pulse_alone_is_no_t1w():
    facts = SPOILED | {"SequenceVariant": "MTC_SP"}

    decision = decide(output("GRE-MT1", facts))[0]

    assert (decision.suffix, decision.confidence) == ("MTR", "low")
    assert decision.entities == {"mt": "on"}


def test_a_name_says_the_transfer_pulse_where_classic_philips_does_not():
    philips = SPOILED | {"Manufacturer": "Philips"}

    found = names(
        output("Axi_3D_FFE", philips),
        output("Axi_3D_FFE_MTC", philips, number=2, at_s=60.0),
    )

    assert found == ["anat/mt-off_MTR", "anat/mt-on_MTR"]


def test_a_name_ending_in_its_inversion_is_mp2rage_without_the_others():
    decision = decide(output("set1_INV2", MPRAGE | {"InversionTime": 2.75}))[0]

    assert (decision.suffix, decision.entities["inv"]) == ("MP2RAGE", "2")
