"""What a series is, from its sidecar, its shape and its session."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.outputs import sort_key
from imaging_platform.bids.rules import decide_session
from imaging_platform.bids.settings import BidsSettings
from tests.bids.sidecars import (
    BOLD,
    DWI,
    EPI,
    FIELDMAP,
    MPRAGE,
    SPIN_ECHO_EPI,
    decide,
    distinct,
    gradient_fieldmap,
    names,
    output,
)

WEIGHTED = (0.0,) + (1000.0,) * 20


def test_a_magnetization_prepared_gradient_echo_is_t1w():
    assert names(output("t1_mpr_sag", MPRAGE)) == ["anat/T1w"]


def test_mprage_without_its_inversion_is_pdw_where_the_name_says_so():
    facts = {k: v for k, v in MPRAGE.items() if k != "InversionTime"}
    facts |= {"ScanningSequence": "GR"}

    found = names(output("pd_mprage", facts), output("pd_mprage", MPRAGE, number=2))

    assert found == ["anat/PDw", "anat/T1w"]


@pytest.mark.parametrize(
    ("flip_degrees", "suffix"), [(30, "T2starw"), (56, "T2starw"), (58, "T1w")]
)
def test_a_late_gradient_echo_below_the_ernst_angle_shows_t2star(flip_degrees, suffix):
    facts = {
        "ScanningSequence": "GR",
        "MRAcquisitionType": "2D",
        "EchoTime": 0.0108,
        "RepetitionTime": 0.6,
        "FlipAngle": flip_degrees,
    }

    assert decide(output("x17", facts))[0].suffix == suffix


def test_a_navigator_in_the_name_of_a_t1w_sequence_is_not_echo_planar():
    facts = MPRAGE | {"PulseSequenceDetails": "%CustomerSeq%\\tfl_mgh_epinav_ABCD"}

    assert names(output("T1w_vNav", facts)) == ["anat/T1w"]


def test_a_localizer_by_type_is_left_out():
    facts = MPRAGE | {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}

    assert decide(output("x", facts))[0].outcome == "excluded"


def test_a_functional_localizer_is_a_run():
    assert names(output("task-localizer", BOLD, volumes=100)) == [
        "func/task-localizer_bold"
    ]


def test_a_fa_task_is_not_a_fractional_anisotropy_map():
    assert names(output("func-bold_task-fa_run-1", BOLD, volumes=20)) == [
        "func/task-fa_run-1_bold"
    ]


def test_a_reformatted_copy_is_left_out_but_a_derived_t1w_is_kept():
    reformat = MPRAGE | {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}
    derived = MPRAGE | {"ImageType": ["DERIVED", "SECONDARY", "M"]}

    assert names(output("t1_mpr_tra", reformat)) == ["excluded"]
    assert names(output("t1_mpr_tra", derived)) == ["anat/T1w"]


def test_scanner_maps_keep_their_name_or_are_excluded_by_the_study():
    facts = DWI | {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}

    assert names(output("dti", facts)) == ["dwi/dir-AP_ADC"]
    assert names(
        output("dti", facts), settings=BidsSettings(scanner_maps="exclude")
    ) == ["excluded"]


def test_a_series_with_b_values_is_diffusion():
    assert names(output("dti", DWI, volumes=21, bvals=WEIGHTED)) == ["dwi/dir-AP_dwi"]


def test_diffusion_without_gradients_is_kept_back_and_says_what_it_lacks():
    decision = decide(output("dti", DWI, volumes=21))[0]

    assert decision.outcome == "incomplete"
    assert "bval and bvec" in decision.why


def test_unweighted_volumes_opposite_to_a_diffusion_run_map_the_field():
    opposite = DWI | {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.03}

    found = names(
        output("dti", DWI, volumes=21, bvals=WEIGHTED),
        output("dti_PA", opposite, volumes=2, bvals=(0.0, 5.0), at_s=300, number=2),
    )

    assert found == ["dwi/dir-AP_dwi", "fmap/dir-PA_epi"]


def test_diffusion_without_b_values_maps_the_field_in_the_direction_of_its_name():
    one = output("diff_PA", DWI | {"SequenceName": "ep_b0", "TotalReadoutTime": 0.03})

    decision = decide(one)[0]

    assert (decision.suffix, decision.confidence) == ("epi", "low")


@pytest.mark.parametrize("name", ["DWI_AP_109vol", "mb2_67dir_P>>A", "b1000_AP"])
def test_a_name_that_counts_directions_is_diffusion_even_without_b_values(name):
    one = output(name, DWI | {"SequenceName": "ep_b0"})

    assert decide(one)[0].suffix == "dwi"


@pytest.mark.parametrize(
    ("spacing_s", "is_epi"), [(1.25e-6, False), (5e-4, True), (0.79, False)]
)
def test_only_a_spacing_within_reach_of_gradients_makes_an_echo_train(
    spacing_s, is_epi
):
    fields = {"EffectiveEchoSpacing": spacing_s, "EchoTime": 0.004}

    image = read_evidence(output("x", fields | {"RepetitionTime": 3.5}))

    assert image.is_epi is is_epi


@pytest.mark.parametrize("sequence", ["brain_T1_MPRAGE_125", "Bruker_MDEFT"])
def test_a_prefix_does_not_hide_a_t1_weighted_sequence(sequence):
    fields = {"SequenceName": sequence, "EchoTime": 0.004, "InversionTime": 1.3}

    assert decide(output("x", fields))[0].suffix == "T1w"


def test_the_name_of_a_spin_echo_epi_sequence_maps_the_field():
    assert decide(output("mbep2d_se_x", BOLD))[0].suffix == "epi"


def test_two_whole_diffusion_runs_of_opposite_direction_are_both_diffusion():
    opposite = DWI | {"PhaseEncodingDirection": "j"}

    found = names(
        output("dti", DWI, volumes=21, bvals=WEIGHTED),
        output("dti2", opposite, volumes=21, bvals=WEIGHTED, at_s=300, number=2),
    )

    assert found == ["dwi/dir-AP_dwi", "dwi/dir-PA_dwi"]


def test_a_single_volume_just_before_its_run_is_the_reference():
    found = names(
        output("memory", BOLD, at_s=0, number=1),
        output("memory", BOLD, at_s=10, volumes=200, number=2),
    )

    assert found == ["func/task-memory_sbref", "func/task-memory_bold"]


def test_each_reference_takes_the_run_number_of_its_run():
    found = names(
        output("memory", BOLD, at_s=10, volumes=200, number=1),
        output("memory_SBRef", BOLD, at_s=600, number=2, ProtocolName="memory"),
        output("memory", BOLD, at_s=610, volumes=200, number=3),
    )

    assert found == [
        "func/task-memory_run-1_bold",
        "func/task-memory_run-2_sbref",
        "func/task-memory_run-2_bold",
    ]


def test_one_volume_of_gradient_echo_epi_alone_is_kept_back_as_no_run():
    decision = decide(output("memory", BOLD))[0]

    assert decision.outcome == "incomplete"
    assert "more than one volume" in decision.why


def test_spin_echo_epi_maps_the_field_in_two_directions():
    found = names(
        output("se_ap", SPIN_ECHO_EPI, PhaseEncodingDirection="j-", volumes=3),
        output("se_pa", SPIN_ECHO_EPI, PhaseEncodingDirection="j", at_s=60, number=2),
    )

    assert found == ["fmap/dir-AP_epi", "fmap/dir-PA_epi"]


def test_direction_comes_from_the_images_and_a_wrong_name_is_a_warning():
    one = output("se_fieldmap_PA", SPIN_ECHO_EPI, PhaseEncodingDirection="j-")

    decision = decide(one)[0]

    assert decision.entities["dir"] == "AP"
    assert "PA" in decision.warnings[0]


def test_a_named_direction_supplies_the_polarity_that_philips_leaves_out():
    facts = {k: v for k, v in SPIN_ECHO_EPI.items() if k != "TotalReadoutTime"} | {
        "Manufacturer": "Philips",
        "PhaseEncodingAxis": "j",
        "EstimatedTotalReadoutTime": 0.04,
    }

    assert names(output("fmap_AP", facts)) == ["fmap/dir-AP_epi"]
    assert decide(output("fieldmap", facts))[0].outcome == "incomplete"


def test_a_gradient_echo_fieldmap_has_two_magnitudes_and_a_difference():
    found = names(*distinct(gradient_fieldmap(0, 1)))

    assert found == ["fmap/magnitude1", "fmap/magnitude2", "fmap/phasediff"]


def test_a_phase_is_a_difference_for_certain_only_with_both_echo_times():
    *magnitudes, difference = gradient_fieldmap(at_s=0, number=1)
    sidecar = {k: v for k, v in difference.sidecar.items() if "EchoTime" not in k}
    untold = replace(difference, sidecar=sidecar | {"EchoTime": 0.0075})

    found = [decide(*magnitudes, phase) for phase in (difference, untold)]

    assert [d.confidence for d in found[0]] == ["medium", "medium", "high"]
    assert [d.confidence for d in found[1]] == ["medium", "medium", "medium"]


def test_fieldmaps_are_numbered_by_acquisition_not_by_part():
    found = names(*distinct([*gradient_fieldmap(0, 1), *gradient_fieldmap(600, 3)]))

    assert found[:3] == [
        "fmap/run-1_magnitude1",
        "fmap/run-1_magnitude2",
        "fmap/run-1_phasediff",
    ]
    assert {name.split("_")[0] for name in found[3:]} == {"fmap/run-2"}


def test_a_field_in_hertz_needs_its_magnitude():
    field = output("B0_map", FIELDMAP, Units="Hz", ImageType=["ORIGINAL", "B0 MAP"])
    magnitude = output("B0_map", FIELDMAP, EchoTime=0.002)

    assert decide(field)[0].outcome == "incomplete"
    assert names(*distinct([field, magnitude])) == ["fmap/fieldmap", "fmap/magnitude"]


def test_echoes_are_numbered_by_echo_time():
    echoes = [
        output("rest_me", BOLD | {"EchoTime": echo}, volumes=50, at_s=n / 100)
        for n, echo in enumerate((0.05, 0.013, 0.03))
    ]

    assert names(*distinct(echoes)) == [
        "func/task-rest_echo-3_bold",
        "func/task-rest_echo-1_bold",
        "func/task-rest_echo-2_bold",
    ]


def test_phase_and_magnitude_of_a_run_are_told_apart():
    phase = BOLD | {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}

    decisions = decide(
        output("rest", BOLD, volumes=50),
        output("rest", phase, volumes=50, number=2),
    )

    assert [d.entities["part"] for d in decisions] == ["mag", "phase"]
    assert decisions[1].metadata["Units"] == "arbitrary"


def test_copies_of_one_acquisition_differ_in_rec():
    plain = MPRAGE | {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}

    found = names(output("t1", plain), output("t1", MPRAGE, number=2))

    assert found == ["anat/rec-nonorm_T1w", "anat/rec-norm_T1w"]


def test_a_motion_corrected_copy_is_left_out_unless_it_is_the_only_one():
    moco = BOLD | {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOCO"]}
    copy = output("rest", moco, volumes=50, number=2)

    assert names(output("rest", BOLD, volumes=50), copy) == [
        "func/task-rest_bold",
        "excluded",
    ]
    assert names(copy) == ["func/task-rest_rec-moco_bold"]


def test_runs_are_numbered_in_order_of_time_not_of_series_number():
    later = output("rest", BOLD, volumes=50, at_s=900, number=2)
    earlier = output("rest", BOLD, volumes=50, at_s=0, number=9)

    assert names(later, earlier) == [
        "func/task-rest_run-2_bold",
        "func/task-rest_run-1_bold",
    ]


def test_a_run_number_that_is_taken_is_replaced_with_a_warning():
    first = output("func-bold_task-a_run-1", BOLD, volumes=50)
    second = output("func-bold_task-a_run-1", BOLD, volumes=50, at_s=600, number=2)

    decisions = decide(first, second)

    assert [d.entities["run"] for d in decisions] == ["1", "2"]
    assert "taken" in decisions[1].warnings[0]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("ep2d_bold_rest_AP", "rest"),
        ("rsfMRI 2mm", "rest"),
        ("func_task-nback_run-2", "nback"),
        ("cmrr_mbep2d_bold_faces_MB4_AP", "faces"),
        ("ep2d_bold", "unnamed"),
        ("WIP working memory SENSE", "workingMemory"),
        ("WIPmemorySENSE", "memory"),
    ],
)
def test_a_task_is_read_from_the_name(name, task):
    decision = decide(output(name, BOLD, volumes=50))[0]

    assert decision.entities["task"] == task


def test_an_entity_that_the_standard_forbids_is_dropped_with_a_warning():
    decision = decide(output("anat-T1w_dir-AP_acq-x", MPRAGE))[0]

    assert dict(decision.entities) == {"acq": "x"}
    assert "dir-AP" in decision.warnings[0]


def test_a_structural_image_of_several_volumes_is_kept_back():
    assert decide(output("t1", MPRAGE, volumes=4))[0].outcome == "incomplete"


def test_a_named_reference_is_certain_only_after_its_volumes_are_counted():
    counted = output("rest_SBRef", BOLD)
    named = output("func_task-rest_SBRef", BOLD)

    found = [
        decide(replace(one, shape=shape))[0]
        for one in (counted, named)
        for shape in (counted.shape, ())
    ]

    assert [d.suffix for d in found] == ["sbref"] * 4
    assert [d.confidence for d in found] == ["high", "medium"] * 2


def test_the_reference_of_a_fieldmap_is_left_out_but_not_that_of_diffusion():
    reference = output("se_fmap_SBRef", SPIN_ECHO_EPI, PhaseEncodingDirection="j")
    run = output("dti", DWI, volumes=21, bvals=WEIGHTED, at_s=10, number=2)
    before = output(
        "x", SPIN_ECHO_EPI, PhaseEncodingDirection="j-", EchoTime=DWI["EchoTime"]
    )

    assert names(reference) == ["excluded"]
    assert names(before, run)[1] == "dwi/dir-AP_dwi"


def test_the_reference_of_a_few_volumes_against_a_run_is_left_out_like_a_fieldmap():
    against = BOLD | {"PhaseEncodingDirection": "j"}

    found = names(
        output("rest_AP_SBRef", BOLD),
        output("rest_AP", BOLD, at_s=5, volumes=300, number=2),
        output("rest_PA_SBRef", against, at_s=700, number=3),
        output("rest_PA", against, at_s=705, volumes=5, number=4),
    )

    assert found == [
        "func/task-rest_sbref",
        "func/task-rest_bold",
        "excluded",
        "fmap/dir-PA_epi",
    ]


def test_segmented_epi_of_a_sequence_for_bold_is_a_run_until_its_volumes_are_counted():
    shots = BOLD | {
        "MRAcquisitionType": "3D",
        "SequenceName": "mine",
        "PulseSequenceDetails": "%CustomerSeq%\\mine_ep3d_bold",
        "RepetitionTime": 0.055,
    }
    counted = output("ep3d", shots)
    uncounted = replace(counted, shape=(), zooms=())

    assert decide(counted)[0].suffix == "T2starw"
    assert decide(uncounted)[0].suffix == "bold"


@pytest.mark.parametrize(
    ("echo_s", "suffix"), [(0.028, "bold"), (0.004, ""), (None, "")]
)
def test_a_name_makes_a_run_where_only_a_fitting_echo_time_is_known(echo_s, suffix):
    whole = output("task-rest_bold", {"EchoTime": echo_s, "RepetitionTime": 0.8})
    decision = decide(replace(whole, shape=(), zooms=()))[0]

    assert decision.suffix == suffix
    assert decision.confidence == "low"


@pytest.mark.parametrize(
    "name", ["WIPT1wSENSE", "T1CLEAR", "WIP T1w SENSE", "WIPsT13DTFE_P25SENSE"]
)
def test_what_a_console_glues_to_a_name_does_not_hide_its_words(name):
    facts = {"Manufacturer": "Philips", "EchoTime": 0.004, "RepetitionTime": 0.008}

    assert names(output(name, facts)) == ["anat/T1w"]


def test_the_magnitude_beside_a_field_in_hertz_is_no_t1w():
    field = output("B0 3D", FIELDMAP | {"SequenceName": "T1FFE"}, Units="Hz")
    field = replace(field, sidecar={**field.sidecar, "ImageType": ["B0 MAP"]})
    magnitude = output("B0 3D", FIELDMAP | {"SequenceName": "T1FFE"}, EchoTime=0.002)

    assert names(*distinct([field, magnitude])) == ["fmap/fieldmap", "fmap/magnitude"]


def test_the_parts_of_an_mp2rage_are_told_apart():
    uniform = MPRAGE | {"ImageType": ["DERIVED", "PRIMARY", "M", "UNI"]}
    uniform = {k: v for k, v in uniform.items() if k != "InversionTime"}

    decisions = decide(
        output("mp2rage_INV1", MPRAGE | {"InversionTime": 0.7}, ProtocolName="mp2rage"),
        output(
            "mp2rage_INV2",
            MPRAGE | {"InversionTime": 2.5},
            ProtocolName="mp2rage",
            number=2,
        ),
        output("mp2rage_UNI", uniform, ProtocolName="mp2rage", number=3),
    )

    found = [(d.suffix, d.entities.get("inv")) for d in decisions]
    assert found == [("MP2RAGE", "1"), ("MP2RAGE", "2"), ("UNIT1", None)]


@pytest.mark.parametrize(
    ("facts", "label"),
    [
        ({"ScanningSequence": "SE", "EchoTime": 0.1, "RepetitionTime": 4.0}, "T2w"),
        ({"ScanningSequence": "SE", "EchoTime": 0.01, "RepetitionTime": 0.6}, "T1w"),
        ({"ScanningSequence": "SE", "EchoTime": 0.02, "RepetitionTime": 3.0}, "PDw"),
        (
            {
                "ScanningSequence": "SE\\IR",
                "EchoTime": 0.1,
                "RepetitionTime": 9.0,
                "InversionTime": 2.5,
            },
            "FLAIR",
        ),
        (
            {"ScanningSequence": "GR", "EchoTime": 0.02, "RepetitionTime": 0.7},
            "T2starw",
        ),
    ],
)
def test_contrast_follows_from_physics_when_the_name_says_nothing(facts, label):
    assert names(output("x17", facts)) == [f"anat/{label}"]


def test_a_gradient_echo_without_inversion_is_no_flair_whatever_its_name_says():
    facts = {"ScanningSequence": "GR", "EchoTime": 0.02, "RepetitionTime": 0.65}

    found = names(
        output("Axial T2 Star (Rx 2D FLAIR)", facts, FlipAngle=20),
        output("Axial FLAIR", facts, FlipAngle=20, number=2, at_s=90.0),
    )

    assert found == ["anat/run-1_T2starw", "anat/run-2_T2starw"]


@pytest.mark.parametrize(
    ("echo_train", "repetition_s", "flip_degrees", "suffix"),
    [
        (3, 0.6, 30, "T2starw"),
        (1, 0.6, 30, "T1w"),
        (3, 0.6, 80, "T1w"),
        (240, 0.2, 8, "T1w"),
    ],
)
def test_several_echoes_of_a_weak_excitation_in_one_image_show_t2star(
    echo_train, repetition_s, flip_degrees, suffix
):
    facts = {
        "ScanningSequence": "GR",
        "MRAcquisitionType": "2D",
        "EchoTime": 0.007,
        "RepetitionTime": repetition_s,
        "FlipAngle": flip_degrees,
        "EchoTrainLength": echo_train,
    }

    assert decide(output("x17", facts))[0].suffix == suffix


@pytest.mark.parametrize(("inner", "suffix"), [("00", "cbv"), ("01", "bold")])
def test_only_the_first_image_after_an_inversion_of_vaso_is_without_blood(
    inner, suffix
):
    facts = EPI | {
        "ScanningSequence": "RM\\IR",
        "MRAcquisitionType": "3D",
        "PulseSequenceDetails": "%CustomerSeq%\\mine_ep3d_vaso",
        "EchoTime": 0.0136,
        "RepetitionTime": 3.2,
        "InversionTime": 0.9,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "SET", inner],
    }

    decision = decide(output("ep3d_vaso", facts, volumes=50))[0]

    assert (decision.datatype, decision.suffix) == ("func", suffix)


def test_a_mosaic_is_one_of_many_volumes_even_where_they_are_not_counted():
    shots = BOLD | {
        "MRAcquisitionType": "3D",
        "SequenceName": "ep3d",
        "RepetitionTime": 0.044,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
    }
    uncounted = replace(output("mine", shots), shape=(), zooms=())

    assert decide(uncounted)[0].suffix == "bold"


def test_the_difference_that_ge_keeps_is_labelling_and_its_flow_is_a_map():
    facts = {
        "Manufacturer": "GE",
        "ScanningSequence": "RM",
        "MRAcquisitionType": "3D",
        "EchoTime": 0.0105,
        "RepetitionTime": 4.9,
    }
    kept = ["DERIVED", "PRIMARY", "ASL", "PERFUSION", "ASL", "REAL"]

    difference, flow = decide(
        output("Axial 3D pCASL", facts, ImageType=kept),
        output("Axial 3D pCASL CBF", facts, ImageType=kept, number=2),
    )

    assert (difference.outcome, difference.suffix) == ("incomplete", "asl")
    assert flow.outcome == "excluded"


def test_labelling_without_its_metadata_is_kept_back():
    facts = EPI | {"ImageType": ["ORIGINAL", "PRIMARY", "ASL"], "EchoTime": 0.01}

    decision = decide(output("x", facts, volumes=8))[0]

    assert (decision.outcome, decision.suffix) == ("incomplete", "asl")
    assert "PostLabelingDelay" in decision.why


def test_contrast_agent_perfusion_is_left_out_with_its_reason():
    decision = decide(output("ep2d_perf_dsc", BOLD, volumes=60))[0]

    assert decision.outcome == "excluded"
    assert "DSC" in decision.why


def test_no_rule_means_unknown_not_lost():
    assert decide(output("x", {"ScanningSequence": "RM"}))[0].outcome == "unknown"


def test_the_guess_of_dcm2niix_is_recorded_and_never_followed():
    decision = decide(output("t1", MPRAGE, BidsGuess=["dwi", "_acq-x_FA"]))[0]

    assert decision.suffix == "T1w"
    assert decision.second_opinion == "dwi/FA"


POOL = [
    output("t1_mpr", MPRAGE),
    output("t1_mpr", MPRAGE, at_s=400, number=2),
    output("rest", BOLD, volumes=50, at_s=800, number=3),
    output("rest", BOLD, volumes=50, at_s=1200, number=4),
    output("rest_SBRef", BOLD, at_s=1190, number=5, ProtocolName="rest"),
    output("dti", DWI, volumes=21, bvals=WEIGHTED, at_s=1600, number=6),
    output("se", SPIN_ECHO_EPI, PhaseEncodingDirection="j", at_s=2000, number=7),
    output("se", SPIN_ECHO_EPI, PhaseEncodingDirection="j", at_s=2000, number=8),
    *distinct(gradient_fieldmap(2400, 9)),
    output("mystery", {"ScanningSequence": "RM"}, at_s=3000, number=11),
]


@given(st.lists(st.sampled_from(range(len(POOL))), unique=True, min_size=1))
def test_no_two_images_of_a_session_share_a_name(chosen):
    decisions = decide(*(POOL[n] for n in chosen))

    made = [(d.datatype, d.name("x")) for d in decisions if d.is_converted]
    assert len(made) == len(set(made))
    assert len(decisions) == len(chosen)


@given(st.randoms(use_true_random=False))
def test_decisions_do_not_depend_on_the_order_of_files(order: random.Random):
    shuffled = list(POOL)
    order.shuffle(shuffled)

    decisions = decide_session(sorted(shuffled, key=sort_key), BidsSettings())

    assert decisions == decide_session(sorted(POOL, key=sort_key), BidsSettings())
