"""The policy as data: every attribute of the edition has an action."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword

from imaging_platform.deid import tables_build
from imaging_platform.deid.elements import public_vr
from imaging_platform.deid.policy import (
    Action,
    decide_private,
    decide_public,
    deid_codes,
    explain_element,
    policy_digest,
)
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import table_edition
from imaging_platform.deid.values import PATTERNS
from imaging_platform.model.errors import BadInput

SETTINGS = DeidSettings()
DATA = files("imaging_platform.deid").joinpath("data")
KEPT = {Action.KEEP, Action.RULE, Action.CAP_AGE, Action.KEEP_TIME}


def _rows() -> dict[str, dict[str, str]]:
    table = json.loads(DATA.joinpath("ps3.15_e1-1_2026c.json").read_text("utf-8"))
    return table["attributes"]


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return tag


def test_every_attribute_of_the_edition_is_treated_as_its_row_allows():
    may_stay = {"dates_modified", "retain_characteristics", "clean_descriptors"}

    for name, row in _rows().items():
        if "x" in name or name.startswith("0002"):
            continue
        decision = decide_public(int(name, 16), SETTINGS)
        if decision.action in KEPT | {Action.SHIFT}:
            assert may_stay & set(row), name
        if row["basic"] == "X" and not may_stay & set(row):
            assert decision.action is Action.REMOVE, name


def test_no_text_stays_that_is_on_no_list():
    text = {"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
    listed = json.loads(DATA.joinpath("technique.json").read_text("utf-8"))

    for tag, entry in DicomDictionary.items():
        if public_vr(tag) not in text:
            continue
        decision = decide_public(tag, SETTINGS)
        if decision.action is Action.RULE:
            assert entry[4] in listed["attributes"] or "characteristics" in (
                decision.reason
            )
        else:
            assert decision.action is not Action.KEEP


def test_every_rule_that_a_list_names_exists():
    technique = json.loads(DATA.joinpath("technique.json").read_text("utf-8"))
    siemens = json.loads(DATA.joinpath("siemens.json").read_text("utf-8"))
    reviewed = json.loads(DATA.joinpath("private_reviewed.json").read_text("utf-8"))
    special = {"descriptor", "drop", "recurse", "number_or_recurse", "by_vr"}
    special |= {"siemens_csa", "siemens_protocol", "ge_protocol", "ge_user_data"}

    named = {row[0] for row in technique["attributes"].values()}
    named |= set(siemens["csa_texts"].values())
    named |= set(siemens["protocol_texts"].values())
    named |= {row[1] for row in reviewed["elements"].values()}

    assert named <= set(PATTERNS) | special


def test_every_reviewed_private_element_gives_its_reason():
    reviewed = json.loads(DATA.joinpath("private_reviewed.json").read_text("utf-8"))

    assert all(len(row) == 3 and row[2] for row in reviewed["elements"].values())


@pytest.mark.parametrize("tag", [0x00189999, 0x00130001, 0x12341234])
def test_an_unknown_element_never_stays(tag):
    assert explain_element(tag, SETTINGS).action == Action.REMOVE


def test_a_private_element_of_a_stranger_is_removed():
    decision = decide_private(0x0029, 0x1010, "ACME SECRET", "LO", SETTINGS)

    assert decision.action is Action.REMOVE


def test_private_elements_go_when_the_study_says_so():
    settings = DeidSettings(private="remove")

    decision = decide_private(0x0019, 0x100C, "SIEMENS MR HEADER", "IS", settings)

    assert decision.action is Action.REMOVE


def test_the_day_of_the_scan_in_the_csa_version_is_removed():
    decision = decide_private(0x0029, 0x1009, "SIEMENS CSA HEADER", "LO", SETTINGS)

    assert decision.action is Action.REMOVE


def test_an_explanation_names_action_and_ground():
    shown = explain_element(_tag("PatientBirthDate"), SETTINGS)

    assert shown.tag == "(0010,0030)"
    assert shown.action == "empty"
    assert "E.1-1 2026c" in shown.reason


def test_an_explanation_of_a_private_element_names_its_list():
    shown = explain_element(0x00191029, SETTINGS, creator="SIEMENS MR HEADER")

    assert shown.tag == "(0019,xx29)"
    assert "slice times" in shown.reason


def test_the_digest_follows_the_options_and_nothing_else():
    assert policy_digest(SETTINGS) == policy_digest(DeidSettings())
    assert policy_digest(SETTINGS) != policy_digest(DeidSettings(private="remove"))


def test_the_edition_is_stamped_and_codes_are_of_the_standard():
    from pydicom.sr.codedict import codes

    known = {getattr(codes.cid7050, name).value for name in codes.cid7050.dir()}

    assert table_edition() == "2026c"
    assert {code for code, _ in deid_codes(SETTINGS)} <= known


def test_the_tables_are_what_the_standards_sources_give(shared_data: Path):
    standard = shared_data / "standard"
    options = json.loads(
        (standard / "ps3.15_table_E.1-1_2024e_all_options.json").read_text()
    )
    basic = json.loads((standard / "ps3.15_table_E.1-1_2026c_basic.json").read_text())

    table = tables_build.merge_profile(options, basic, "2026c")

    assert table["attributes"] == _rows()
    assert len(_rows()) == 655


def test_an_edition_that_changes_an_action_is_refused():
    options = [{"id": "00100010", "basicProfile": "Z"}]
    basic = [{"tag": [0x10, 0x10], "basic": "X"}]

    with pytest.raises(BadInput, match="00100010") as caught:
        tables_build.merge_profile(options, basic, "2030a")

    assert caught.value.fix
