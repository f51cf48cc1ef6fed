"""Configurations of XNAT and dcm2bids become rules, or a reason why not."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.bids.rule_import import ImportedRules, import_rules
from imaging_platform.bids.rule_lint import lint_rules
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.model.errors import BadConfig
from tests.bids.sidecars import BOLD, FIELDMAP, MPRAGE, names, output

BIDSMAP = [
    {"series_description": "T1 [head]*", "bidsname": "T1w"},
    {"series_description": "fMRI rest", "bidsname": "task-rest_run-01_bold"},
    {"series_description": "FMRI Rest", "bidsname": "task-rest_acq-x_bold"},
    {"series_description": "ref", "bidsname": "task-rest_sbref"},
    {"series_description": "ref dti", "bidsname": "sbref"},
    {"series_description": "old", "bidsname": "t2w"},
    {"series_description": "puls", "bidsname": "task-rest_physio"},
    {"series_description": "half"},
]

DCM2BIDS_3 = {
    "search_method": "fnmatch",
    "case_sensitive": False,
    "post_op": [{"cmd": "pydeface src_file"}],
    "descriptions": [
        {
            "id": "id_rest",
            "datatype": "func",
            "suffix": "bold",
            "custom_entities": "task-rest_acq-x",
            "criteria": {
                "SeriesDescription": "*rest*",
                "EchoTime": {"btwe": [0.02, 0.04]},
                "ImageType": ["ORIG*", "PRIMARY", "M", "*"],
            },
            "sidecar_changes": {"TaskName": "rest", "Instructions": "Lie still"},
        },
        {
            "datatype": "fmap",
            "suffix": "magnitude1",
            "criteria": {"ProtocolName": "*field*", "EchoTime": {"lt": 0.006}},
            "sidecar_changes": {"IntendedFor": "id_rest"},
        },
        {
            "datatype": "anat",
            "suffix": "T1w",
            "criteria": {"SidecarFilename": "*T1*"},
        },
        {
            "datatype": "anat",
            "suffix": "_T2w",
            "custom_entities": ["acq-hi", "run"],
            "criteria": {"SeriesDescription": {"any": ["*t2*", "*spc*"]}},
        },
        {"datatype": "beh", "suffix": "beh", "criteria": {"ProtocolName": "x"}},
    ],
}

DCM2BIDS_2 = {
    "searchMethod": "re",
    "dcm2niixOptions": "-b y",
    "descriptions": [
        {
            "dataType": "anat",
            "modalityLabel": "T1w",
            "customLabels": "acq-hi",
            "criteria": {"SeriesDescription": "t1.*hi"},
            "sidecarChanges": {"Note": ""},
            "IntendedFor": 0,
        },
        {
            "dataType": "anat",
            "modalityLabel": "T2w",
            "criteria": {"SeriesDescription": "(a+)+"},
        },
    ],
}


def imported(content: object) -> ImportedRules:
    return import_rules(json.dumps(content))


def settings_of(found: ImportedRules) -> BidsSettings:
    return BidsSettings.model_validate(yaml.safe_load(found.to_yaml())["bids"])


def test_a_bidsmap_names_series_as_xnat_does():
    settings = settings_of(imported(BIDSMAP))

    assert names(output("t1 [HEAD]*", MPRAGE), settings=settings) == ["anat/T1w"]
    assert names(output("t1 [head]x", BOLD, volumes=9), settings=settings) != [
        "anat/T1w"
    ]
    assert names(output("old", MPRAGE), settings=settings) == ["anat/T2w"]
    assert names(output("fMRI rest", BOLD, volumes=9), settings=settings) == [
        "func/task-rest_acq-x_bold"
    ]
    assert names(output("ref", BOLD), settings=settings) == ["func/task-rest_sbref"]


def test_what_a_bidsmap_says_and_a_rule_cannot_has_a_reason():
    found = imported(BIDSMAP)

    assert len(found.rules) == 4
    assert [(one.where, one.why.split(";")[0]) for one in found.remarks] == [
        ("entry 2", "A later entry of the same series takes its place, as in XNAT."),
        ("entry 4", "sbref belongs to dwi or func"),
        ("entry 5", "The suffix is written T2w."),
        ("entry 6", "physio is no suffix of a BIDS image."),
        ("entry 7", "It has no series_description or bidsname."),
    ]


def test_a_dcm2bids_configuration_of_version_3_becomes_rules():
    found = imported(DCM2BIDS_3)
    settings = settings_of(found)

    rest = output("my rest", BOLD, volumes=9)
    field = output("Field map", FIELDMAP, EchoTime=0.005)
    assert names(rest, settings=settings) == ["func/task-rest_acq-x_bold"]
    assert names(field, settings=settings) == ["fmap/magnitude1"]
    assert names(output("x_spc", MPRAGE), settings=settings) == ["anat/acq-hi_T2w"]
    assert found.rules[0]["name"] == "id_rest"
    assert found.rules[0]["metadata"] == {"Instructions": "Lie still"}


def test_what_dcm2bids_says_and_a_rule_cannot_has_a_reason():
    told = {
        f"{one.where} {one.what[:11]}": one.why for one in imported(DCM2BIDS_3).remarks
    }

    assert {
        key.split(" {")[0]: why.split(";")[0][:40] for key, why in told.items()
    } == {
        'post_op [{"cmd": "p': "The platform runs no command of a config",
        "description 1 EchoTime lt": "It meant strictly below 0.006",
        "description 1 IntendedFor": "Fieldmaps are tied to scans in each sess",
        "description 2": "SidecarFilename tests names that dcm2nii",
        "description 3 run": "It is no entity with a label",
        "description 4": "beh is no suffix of a BIDS image.",
    }


def test_a_list_in_regular_expressions_is_compared_part_by_part():
    criteria = {"ImageType": ["ORIG", "PRIMARY", "M"]}
    entry = {"datatype": "anat", "suffix": "T2w", "criteria": criteria}
    content = {"search_method": "re", "descriptions": [entry]}

    imported = import_rules(json.dumps(content))

    settings = BidsSettings.model_validate({"rules": imported.rules})
    longer = MPRAGE | {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}
    same = MPRAGE | {"ImageType": ["ORIGINAL", "PRIMARY", "M"]}
    assert names(output("a", same), settings=settings)[0].endswith("T2w")
    assert names(output("a", longer), settings=settings)[0].endswith("T1w")


def test_a_dcm2bids_configuration_of_version_2_becomes_rules():
    found = imported(DCM2BIDS_2)
    settings = settings_of(found)

    assert names(output("T1_very_hi", MPRAGE), settings=settings) == ["anat/acq-hi_T1w"]
    assert names(output("x t1 hi", MPRAGE), settings=settings) == ["anat/T1w"]
    assert {one.what[:15] for one in found.remarks} == {
        '"-b y"',
        "true",
        "Note",
        "IntendedFor",
        '{"criteria": {"',
    }


@pytest.mark.parametrize("content", [BIDSMAP, DCM2BIDS_2, DCM2BIDS_3])
def test_imported_rules_have_no_error(content):
    found = imported(content)

    assert found.rules
    assert [f for f in lint_rules(list(found.rules)) if f.level == "error"] == []


@pytest.mark.parametrize("text", ["", "{", "3", "{}", '{"descriptions": 3}', "null"])
def test_a_file_of_another_kind_is_refused(text):
    with pytest.raises(BadConfig) as error:
        import_rules(text)

    assert error.value.fix


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["criteria", "datatype", "suffix", "any", "bidsname", "id"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(entries=st.lists(JSON, max_size=4), is_map=st.booleans())
def test_every_entry_becomes_a_valid_rule_or_a_remark(entries, is_map):
    found = imported(entries if is_map else {"descriptions": entries})

    assert len(found.rules) + len(found.remarks) >= len(entries)
    assert len(settings_of(found).rules) == len(found.rules)
