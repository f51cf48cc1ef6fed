"""Rules of the study: what they may say and what they do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from imaging_platform.bids.metadata import expand_volume_types
from imaging_platform.bids.settings import BidsSettings
from tests.bids.sidecars import BOLD, EPI, MPRAGE, decide, names, output


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

    assert (decision.outcome, decision.why) == ("excluded", "Practice.")


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
