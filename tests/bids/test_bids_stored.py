"""Deciding again on what was kept: the same as converting again, without converting."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform import bids
from imaging_platform.bids.outputs import Output, sort_key
from imaging_platform.bids.planned import outcome_digest, plan_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.stored import (
    STORED_KEYS,
    StoredSession,
    lens_digest,
    rules_version,
    store_session,
)
from imaging_platform.model.ids import SessionKey
from tests.bids.sidecars import BOLD, DWI, MPRAGE, gradient_fieldmap, output

KEY = SessionKey("01", "1")

SESSIONS: dict[str, list[Output]] = {
    "two runs": [
        output("t1", MPRAGE),
        output("rest", BOLD, at_s=60, volumes=9, number=2),
        output("rest", BOLD, at_s=120, volumes=9, number=3),
    ],
    "fieldmap": [*gradient_fieldmap(0.0, 1), output("faces", BOLD, at_s=60, volumes=9)],
    "diffusion": [output("dwi", DWI, volumes=3, bvals=(0.0, 1000.0, 1000.0))],
    "unknown": [output("odd", {"ImageType": ["ORIGINAL"]}), output("t1", MPRAGE)],
    "empty": [],
}

CHANGES: dict[str, dict[str, object]] = {
    "nothing": {},
    "a rule that fits nobody": {
        "rules": [{"match": {"SeriesDescription": "nobody*"}, "exclude": "No."}]
    },
    "a label": {
        "rules": [
            {
                "match": {"SeriesDescription": "rest"},
                "datatype": "func",
                "suffix": "bold",
                "entities": {"task": "still"},
            }
        ]
    },
    "the label that the product gives anyway": {
        "rules": [
            {
                "match": {"SeriesDescription": "t1"},
                "datatype": "anat",
                "suffix": "T1w",
                "name": "the head",
            }
        ]
    },
    "an exclusion": {
        "rules": [{"match": {"EchoTime": {"max": 0.004}}, "exclude": "Trial."}]
    },
    "another reason": {
        "rules": [{"match": {"EchoTime": {"max": 0.004}}, "exclude": "Other."}]
    },
    "metadata": {
        "rules": [{"match": {"LargestB": {"min": 500}}, "metadata": {"Note": 1}}]
    },
    "metadata that one session has already": {
        "rules": [
            {
                "match": {"SequenceName": "epfid2d1_64"},
                "metadata": {"EchoTime": 0.03, "TaskName": "faces"},
            }
        ]
    },
    "the gap of fieldmaps": {"maximum_fieldmap_gap_s": 1.0},
    "the name of the dataset": {"dataset_name": "Other"},
    "the time limit": {"convert_timeout_s": 10.0},
    "the default task": {"default_task": "other"},
}


def settings_of(change: str) -> BidsSettings:
    return BidsSettings.model_validate(CHANGES[change])


def store(name: str, settings: BidsSettings) -> StoredSession:
    outputs = sorted(SESSIONS[name], key=sort_key)
    planned = plan_session(outputs, key=KEY, settings=settings)
    return StoredSession.from_dict(store_session(outputs, planned, settings).to_dict())


@pytest.mark.parametrize("before", ["nothing", "an exclusion", "a label"])
@pytest.mark.parametrize("after", list(CHANGES))
@pytest.mark.parametrize("name", list(SESSIONS))
def test_a_session_is_marked_exactly_when_its_files_would_differ(name, before, after):
    stored = store(name, settings_of(before))
    made_anew = store(name, settings_of(after))

    marked = rules_version(stored, KEY, settings_of(after)) != stored.version

    assert marked == (made_anew.outcome != stored.outcome)


def test_the_matrix_holds_both_marked_and_unmarked_sessions():
    first = BidsSettings()
    marked = {
        change: {
            name
            for name in SESSIONS
            if rules_version(store(name, first), KEY, settings_of(change))
            != store(name, first).version
        }
        for change in CHANGES
    }

    assert marked == {
        "nothing": set(),
        "a rule that fits nobody": set(),
        "a label": {"two runs"},
        "the label that the product gives anyway": set(),
        "an exclusion": {"two runs", "unknown"},
        "another reason": {"two runs", "unknown"},
        "metadata": {"diffusion"},
        "metadata that one session has already": {"two runs"},
        "the gap of fieldmaps": {"fieldmap"},
        "the name of the dataset": set(),
        "the time limit": set(),
        "the default task": set(),
    }


def test_a_session_that_rules_treat_alike_is_told_without_deciding(monkeypatch):
    stored = store("two runs", settings_of("a label"))
    behind = BidsSettings.model_validate(
        {
            "rules": [
                *CHANGES["a rule that fits nobody"]["rules"],
                CHANGES["a label"]["rules"][0] | {"name": "still"},
            ]
        }
    )
    monkeypatch.setattr(StoredSession, "decide_again", None)

    assert rules_version(stored, KEY, behind) == stored.version


def test_a_field_that_was_not_kept_marks_the_session_until_it_is_converted():
    stored = store("two runs", BidsSettings())
    asking = BidsSettings.model_validate(
        {"rules": [{"match": {"dicom.PatientPosition": "HFS"}, "exclude": "x"}]}
    )

    assert stored.missing_fields(asking) == ("dicom.PatientPosition",)
    assert rules_version(stored, KEY, asking) == f"{lens_digest(asking)}.unknown"
    again = store("two runs", asking)
    assert rules_version(again, KEY, asking) == again.version


def test_only_named_fields_are_kept_beyond_the_list():
    named = BidsSettings.model_validate(
        {"rules": [{"match": {"StationName": "x"}, "exclude": "x"}]}
    )
    one = output("t1", MPRAGE, StationName="A", InstitutionName="B", Volumes="C")
    image = replace(one, fields={"PatientName": "D"})
    planned = plan_session([image], key=KEY, settings=named)

    (kept,) = store_session([image], planned, named).outputs
    (bare,) = store_session([image], planned, BidsSettings()).outputs

    assert set(kept.sidecar) - set(bare.sidecar) == {"StationName"}
    assert (kept.fields, bare.fields) == ({}, {})
    assert not {"InstitutionName", "Volumes"} & set(kept.sidecar)


def test_every_sidecar_key_that_the_rules_read_is_kept():
    read = re.compile(
        r"""(?:\.text|\.number|sidecar\.get|_number|_text)\(\s*"([A-Z]\w+)"|"""
        r"""sidecar\["([A-Z]\w+)"\]"""
    )
    sources = [p.read_text() for p in Path(bids.__file__).parent.glob("*.py")]

    named = {key for text in sources for pair in read.findall(text) for key in pair}

    assert {"EchoTime", "ShimSetting"} <= named
    assert named - {""} - STORED_KEYS - {"TaskName"} == set()


@given(order=st.permutations(range(4)), number=st.integers(1, 9))
def test_a_decision_on_what_was_kept_is_the_decision_on_everything(order, number):
    everything = [
        output("rest", BOLD, at_s=at * 60, volumes=9, number=number + at, Other=at)
        for at in order
    ]
    outputs = sorted(everything, key=sort_key)
    planned = plan_session(outputs, key=KEY, settings=BidsSettings())

    stored = store_session(outputs, planned, BidsSettings())

    again = stored.decide_again(KEY, BidsSettings())
    assert outcome_digest(again) == outcome_digest(planned)
