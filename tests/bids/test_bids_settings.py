"""Rules of the study: what they may say and what they do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from imaging_platform.bids.metadata import expand_volume_types
from imaging_platform.bids.settings import BidsSettings
from tests.bids.sidecars import (
    BOLD,
    EPI,
    MPRAGE,
    decide,
    gradient_fieldmap,
    names,
    output,
)


def rules(*found: dict[str, object]) -> BidsSettings:
    return BidsSettings.model_validate({"rules": list(found)})


def test_a_label_of_the_study_comes_before_every_built_in_rule():
    settings = rules(
        {
            "match": {"SeriesDescription": "secret*"},
            "datatype": "anat",
            "suffix": "T2w",
            "entities": {"acq": "hippo"},
        }
    )

    assert names(output("secret_7", MPRAGE), settings=settings) == [
        "anat/acq-hippo_T2w"
    ]


def test_the_first_label_wins_and_metadata_adds_up():
    settings = rules(
        {"match": {"ProtocolName": "x"}, "datatype": "anat", "suffix": "T2w"},
        {"match": {"ProtocolName": "*"}, "datatype": "anat", "suffix": "PDw"},
        {"match": {"EchoTime": {"maximum": 0.01}}, "metadata": {"Note": 1}},
    )

    decision = decide(output("x", MPRAGE), settings=settings)[0]

    assert (decision.suffix, decision.metadata) == ("T2w", {"Note": 1})


def test_a_study_excludes_with_its_own_reason():
    settings = rules({"match": {"Volumes": {"maximum": 1}}, "exclude": "Practice."})

    decision = decide(output("x", MPRAGE), settings=settings)[0]

    assert decision.outcome == "excluded"
    assert decision.why == "Practice. A rule of the study: Volumes at most 1."


def test_entities_alone_refine_a_built_in_decision():
    settings = rules(
        {"match": {"ProtocolName": {"regex": "^r"}}, "entities": {"acq": "a"}}
    )

    found = names(output("rest", BOLD, volumes=9), settings=settings)

    assert found == ["func/task-rest_acq-a_bold"]


def test_a_field_that_is_missing_fulfils_no_condition():
    settings = rules({"match": {"NotThere": "*"}, "exclude": "Never."})

    assert names(output("t1", MPRAGE), settings=settings) == ["anat/T1w"]


def test_supplements_release_labelling_from_quarantine():
    facts = EPI | {
        "ImageType": ["ORIGINAL", "PRIMARY", "ASL"],
        "MRAcquisitionType": "3D",
        "EchoTime": 0.01,
        "FlipAngle": 90,
        "RepetitionTime": 4.0,
        "MagneticFieldStrength": 3,
    }
    settings = rules(
        {
            "match": {"ImageType": "*ASL*"},
            "metadata": {
                "ArterialSpinLabelingType": "PCASL",
                "PostLabelingDelay": 1.8,
                "LabelingDuration": 1.8,
                "BackgroundSuppression": True,
            },
            "volume_types": ["m0scan", "label", "control"],
        }
    )

    assert names(output("x", facts, volumes=7), settings=settings) == ["perf/asl"]


@pytest.mark.parametrize(
    "rule",
    [
        {"match": {}, "exclude": "x"},
        {"match": {"A": "b"}},
        {"match": {"A": "b"}, "datatype": "anat"},
        {"match": {"A": "b"}, "exclude": "x", "datatype": "anat", "suffix": "T1w"},
        {"match": {"A": {"regex": "("}}, "exclude": "x"},
        {"match": {"A": {}}, "exclude": "x"},
        {"match": {"A": []}, "exclude": "x"},
        {"match": {"A": {"min": 2, "max": 1}}, "exclude": "x"},
        {"match": {"A": {"absent": True, "glob": "x"}}, "exclude": "x"},
        {"match": {"A": "b"}, "entities": {"task": "a-b"}},
        {"match": {"A": "b"}, "entities": {"sub": "1"}},
        {"match": {"A": "b"}, "excluded": "x"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule):
    with pytest.raises(ValidationError):
        rules(rule)


def test_volume_types_repeat_but_for_the_leading_calibration():
    found = expand_volume_types(["m0scan", "label", "control"], 5)

    assert found == ["m0scan", "label", "control", "label", "control"]


@pytest.mark.parametrize(
    ("field", "test", "value"),
    [
        ("EchoTime", {"min": 0.002, "max": 0.004}, 0.003),
        ("EchoTime", 0.003, 0.0030000001),
        ("EchoTime", [0.001, 0.003], 0.003),
        ("SeriesDescription", ["*T1*", "*mprage*"], "a MPRAGE b"),
        ("MTState", True, True),
        ("MTState", {"any": [True, "OFF"]}, "off"),
        ("ImageType", "*\\M\\*", ["ORIGINAL", "PRIMARY", "M", "ND"]),
        ("ImageType", {"regex": r"\\M\\(?!DIS)"}, ["ORIGINAL", "PRIMARY", "M", "ND"]),
        ("ImageComments", {"absent": True}, None),
        ("ImageComments", {"absent": True}, ""),
        ("ImageComments", {"absent": False}, "x"),
    ],
)
def test_a_test_holds_for_what_it_describes(field, test, value):
    settings = rules({"match": {field: test}, "exclude": "Yes."})
    facts = MPRAGE | {field: value}

    assert names(output("x", facts), settings=settings) == ["excluded"]


@pytest.mark.parametrize(
    ("field", "test", "value"),
    [
        ("EchoTime", {"min": 0.002, "max": 0.004}, 0.005),
        ("EchoTime", {"min": 0.002}, "long"),
        ("EchoTime", 0.003, 0.0031),
        ("SeriesDescription", ["T1", "mprage"], "mprage 2"),
        ("MTState", True, 1),
        ("MTState", True, False),
        ("ImageComments", {"absent": True}, "x"),
        ("ImageComments", {"absent": False}, None),
        ("ImageComments", {"absent": False, "glob": "y"}, "x"),
        ("SeriesDescription", {"regex": "z"}, "a" * 256 + "z"),
    ],
)
def test_a_test_does_not_hold_for_anything_else(field, test, value):
    settings = rules({"match": {field: test}, "exclude": "Yes."})
    facts = MPRAGE | {field: value}

    assert decide(output("x", facts), settings=settings)[0].rule != "study"


@pytest.mark.parametrize(
    ("field", "test"),
    [
        ("Volumes", 9),
        ("Slices", {"min": 30, "max": 30}),
        ("Rows", 64),
        ("Direction", "AP"),
        ("dicom.ContentQualification", "RESEARCH"),
    ],
)
def test_rules_see_the_image_and_the_dicom_fields_of_its_series(field, test):
    settings = rules({"match": {field: test}, "exclude": "Yes."})
    image = replace(
        output("rest", BOLD, volumes=9), fields={"ContentQualification": "RESEARCH"}
    )

    assert decide(image, settings=settings)[0].rule == "study"


def test_the_reason_names_the_rule_and_not_its_place():
    first = {"match": {"ProtocolName": "nothing"}, "exclude": "Never."}
    second = {
        "match": {"SeriesDescription": "x*", "EchoTime": {"max": 0.01}},
        "datatype": "anat",
        "suffix": "T2w",
    }

    alone = decide(output("x", MPRAGE), settings=rules(second))[0]
    behind = decide(output("x", MPRAGE), settings=rules(first, second))[0]
    named = decide(output("x", MPRAGE), settings=rules(second | {"name": "hippo"}))[0]

    assert alone.why == (
        "A rule of the study: SeriesDescription x*, EchoTime at most 0.01."
    )
    assert behind == alone
    assert named.why == "A rule of the study: hippo."


def test_a_supplement_keeps_what_the_product_knows():
    settings = rules({"match": {"EchoTime": 0.0075}, "metadata": {"Note": "a"}})

    phase = decide(*gradient_fieldmap(0.0, 3), settings=settings)[2]

    assert phase.suffix == "phasediff"
    assert phase.metadata["Note"] == "a"


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|aa)+$", ".*.*.*.*x", "(.*a){20}", "(a|aa){100}", r"(a)\1", "(x"],
)
def test_a_pattern_that_a_value_could_keep_busy_is_refused(pattern):
    with pytest.raises(ValidationError, match="regular expression"):
        rules({"match": {"A": {"regex": pattern}}, "exclude": "x"})


def test_a_pattern_with_three_open_repeats_or_a_look_ahead_is_taken():
    settings = rules(
        {
            "match": {"ProtocolName": {"regex": "^(?!.*sbref).*rest.*run"}},
            "exclude": "x",
        }
    )

    found = names(output("rest_run", MPRAGE), settings=settings)

    assert found == ["excluded"]


def test_a_number_as_run_is_taken_as_its_text():
    settings = rules(
        {
            "match": {"ProtocolName": "x"},
            "datatype": "anat",
            "suffix": "T2w",
            "entities": {"run": 2},
        }
    )

    assert names(output("x", MPRAGE), settings=settings) == ["anat/run-2_T2w"]
