"""The policy as data: every attribute of the edition has an action."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword

from imaging_platform.deid import tables_build
from imaging_platform.deid.elements import public_vr
from imaging_platform.deid.policy import (
    Action,
    Policy,
    decide_private,
    decide_public,
    deid_codes,
    method_text,
    policy_digest,
    temporal_information,
)
from imaging_platform.deid.settings import Characteristic, DeidSettings
from imaging_platform.deid.tables import table_edition
from imaging_platform.deid.values import PATTERNS
from imaging_platform.model.errors import BadInput

SETTINGS = DeidSettings()
DATA = files("imaging_platform.deid").joinpath("data")
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "nothing": {
        "dates": "remove",
        "characteristics": (),
        "descriptors": "remove",
        "private": "remove",
    },
    "full dates": {"dates": "full"},
    "device": {"device": "retain"},
    "institution": {"institution": "retain"},
    "uids": {"uids": "retain"},
    "graphics": {"graphics": "clean"},
    "structured content": {"structured_content": "clean"},
    "everything": {
        "dates": "full",
        "characteristics": get_args(Characteristic),
        "device": "retain",
        "institution": "retain",
        "uids": "retain",
        "graphics": "clean",
        "structured_content": "clean",
    },
}
COLUMNS = {
    "dates_full": "full dates",
    "retain_device": "device",
    "retain_institution": "institution",
    "retain_uids": "uids",
    "clean_graphics": "graphics",
    "clean_structured_content": "structured content",
}
OPTIONAL = {Action.RETAIN, Action.SHIFT, Action.KEEP_TIME, Action.RULE, Action.CAP_AGE}
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


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_attribute_has_an_action_that_a_column_allows_under_any_option(options):
    settings = DeidSettings(**options)

    for name, row in _rows().items():
        decision = decide_public(int(name.replace("x", "0"), 16), settings)
        assert decision.reason, name
        if set(row) == {"basic"} and name not in _PSEUDONYMS:
            allowed = _BASIC_ACTIONS[row["basic"]]
            assert decision.action in allowed | {Action.REMOVE}, name


_PSEUDONYMS = ("00100010", "00100020")
_BASIC_ACTIONS = {
    "X": {Action.REMOVE},
    "Z": {Action.EMPTY},
    "D": {Action.DUMMY},
    "U": {Action.REMAP},
    "X/Z": {Action.EMPTY},
    "X/D": {Action.DUMMY},
    "Z/D": {Action.DUMMY},
    "X/Z/D": {Action.EMPTY, Action.DUMMY},
    "X/Z/U*": {Action.RECURSE},
}


@pytest.mark.parametrize(("column", "option"), COLUMNS.items(), ids=COLUMNS.values())
def test_an_option_changes_the_attributes_of_its_column_and_no_other(column, option):
    settings = DeidSettings(**OPTIONS[option])

    for name, row in _rows().items():
        tag = int(name.replace("x", "0"), 16)
        before, after = decide_public(tag, SETTINGS), decide_public(tag, settings)
        if before != after:
            assert column in row, name
            assert after.action in OPTIONAL | {Action.RECURSE}, name


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_unknown_element_never_stays(options):
    settings = DeidSettings(**options)

    for tag in (0x00189999, 0x12341234):
        assert decide_public(tag, settings).action is Action.REMOVE
    private = decide_private(0x0029, 0x1010, "ACME SECRET", "LO", settings)
    assert private.action is Action.REMOVE


def test_no_date_stays_or_moves_when_the_study_removes_dates():
    settings = DeidSettings(dates="remove")

    for tag in DicomDictionary:
        if public_vr(tag) in ("DA", "DT", "TM"):
            action = decide_public(tag, settings).action
            assert action in (Action.REMOVE, Action.EMPTY, Action.DUMMY), hex(tag)


def test_the_birth_date_goes_under_every_option():
    for options in OPTIONS.values():
        decision = decide_public(_tag("PatientBirthDate"), DeidSettings(**options))
        assert decision.action is Action.EMPTY


def test_what_the_study_retains_is_spared_and_nothing_else():
    spared = Policy(DeidSettings(**OPTIONS["everything"])).spared

    assert {_tag("StationName"), _tag("StudyDate"), _tag("SOPInstanceUID")} <= spared
    assert not {_tag("PatientName"), _tag("PatientBirthDate")} & spared
    assert Policy(SETTINGS).spared == frozenset()


def test_private_uids_and_dates_are_spared_with_the_public_ones():
    retained = Policy(DeidSettings(uids="retain", dates="full"))

    assert retained.spares(0x00191001, "UI")
    assert retained.spares(0x00191001, "DA")
    assert not retained.spares(0x00191001, "LO")
    assert not Policy(SETTINGS).spares(0x00191001, "UI")


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


def test_the_digest_follows_the_options_and_nothing_else():
    assert policy_digest(SETTINGS) == policy_digest(DeidSettings())
    assert policy_digest(SETTINGS) != policy_digest(DeidSettings(private="remove"))


def test_the_edition_is_stamped():
    assert table_edition() == "2026c"
    assert method_text().endswith("PS3.15 2026c")
    assert len(method_text()) <= 64


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_codes_have_the_names_of_the_standard(options):
    from pydicom.sr.codedict import codes

    group = codes.cid7050
    known = {c.value: c.meaning for c in (getattr(group, n) for n in group.dir())}

    said = deid_codes(DeidSettings(**options), is_masked=True)

    assert said == tuple((code, known[code]) for code, _ in said)
    assert list(said) == sorted(said)


def test_each_option_has_its_code():
    every = dict(deid_codes(DeidSettings(**OPTIONS["everything"])))
    nothing = dict(deid_codes(DeidSettings(**OPTIONS["nothing"])))

    assert set(every) == {f"1131{n:02d}" for n in range(13)} - {
        "113101",
        "113102",
        "113107",
    }
    assert set(nothing) == {"113100"}


@pytest.mark.parametrize(
    ("dates", "said"),
    [("modified", "MODIFIED"), ("full", "UNMODIFIED"), ("remove", "REMOVED")],
)
def test_the_files_say_what_became_of_their_dates(dates, said):
    assert temporal_information(DeidSettings(dates=dates)) == said


BUILDS = {
    "ps3.15_e1-1_2026c.json": (
        "profile",
        "ps3.15_table_E.1-1_2024e_all_options.json",
        "ps3.15_table_E.1-1_2026c_basic.json",
        "2026c",
    ),
    "private_safe.json": (
        "private",
        "ps3.15_table_E.3.10-1_safe_private.json",
        "safe_private_ps3.15_and_tcia_keep.json",
        "tcia_private_tag_knowledge_base_2024-02-01.csv",
    ),
}


@pytest.mark.parametrize("name", BUILDS)
def test_the_script_rebuilds_a_table_byte_by_byte(
    name, tmp_path: Path, shared_data: Path
):
    standard = shared_data / "standard"
    kind, *sources = BUILDS[name]
    given = [str(standard / s) if "." in s else s for s in sources]

    subprocess.run(
        [sys.executable, "-m", tables_build.__name__, kind, *given, tmp_path / name],
        check=True,
    )

    assert (tmp_path / name).read_bytes() == DATA.joinpath(name).read_bytes()


def test_the_edition_has_all_its_attributes():
    assert len(_rows()) == 655


def test_an_edition_that_changes_an_action_is_refused():
    options = [{"id": "00100010", "basicProfile": "Z"}]
    basic = [{"tag": [0x10, 0x10], "basic": "X"}]

    with pytest.raises(BadInput, match="00100010") as caught:
        tables_build.merge_profile(options, basic, "2030a")

    assert caught.value.fix
