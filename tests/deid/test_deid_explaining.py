"""A policy explained, checked and compared in words."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_platform.deid.additions import ElementName, KeptElement
from imaging_platform.deid.explaining import (
    compare_policies,
    explain_element,
    explain_policy,
    name_element,
)
from imaging_platform.deid.lint import lint_policy
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import PROFILE_FILE, load_table
from imaging_platform.model.errors import BadConfig

SETTINGS = DeidSettings()


def _kept(element: str, pattern: str) -> KeptElement:
    return KeptElement(element=element, pattern=pattern, reason="reviewed")


def test_an_explanation_names_action_and_ground():
    shown = explain_element(name_element("PatientBirthDate"), SETTINGS)

    assert (shown.tag, shown.action) == ("(0010,0030)", "empty")
    assert "E.1-1 2026c" in shown.reason


def test_an_explanation_of_a_private_element_names_its_list():
    name = name_element("(0019,1029)", creator="SIEMENS MR HEADER")

    shown = explain_element(name, SETTINGS)

    assert shown.tag == "(0019,siemens mr header,xx29)"
    assert "slice times" in shown.reason


def test_an_explanation_shows_the_studys_own_pattern_and_reason():
    settings = DeidSettings(keep=(_kept("FilterType", "WEDGE_[12]"),))

    shown = explain_element(name_element("FilterType"), settings)

    assert shown.reason == "the study keeps it: reviewed [WEDGE_[12]]"


@pytest.mark.parametrize(
    "text", ["0008103e", "(0008,103E)", "0008,103e", "SeriesDescription"]
)
def test_an_element_can_be_named_in_every_usual_way(text):
    assert name_element(text) == ElementName(0x0008, 0x103E)


@pytest.mark.parametrize("text", ["(0019,100c)", "Seriesdescriptio", "0008"])
def test_what_cannot_be_found_is_an_error_that_shows_how(text):
    with pytest.raises(BadConfig) as caught:
        name_element(text)

    assert "--creator" in caught.value.fix


def test_the_whole_table_is_explained():
    told = explain_policy(SETTINGS)

    assert len(told) > len(load_table(PROFILE_FILE)["attributes"])
    assert len({one.tag for one in told}) == len(told)
    assert all(one.action and one.reason for one in told)


def test_a_difference_names_elements_codes_and_gate():
    after = DeidSettings(
        descriptors="remove",
        released_kinds=("MR",),
        remove=("EchoTime",),
        dates="full",
    )

    found = compare_policies(SETTINGS, after)

    by_tag = {change.tag: change for change in found.elements}
    assert by_tag["(0008,103e)"].before == "keep by rule [descriptor]"
    assert by_tag["(0008,103e)"].after == "remove"
    assert by_tag["(0018,0081)"].keyword == "EchoTime"
    assert [code for code, _ in found.codes_gone] == ["113105", "113107"]
    assert [code for code, _ in found.codes_new] == ["113106"]
    assert ("released_kinds", "MR, CT, PT, NM", "MR") in found.settings
    assert (
        "LongitudinalTemporalInformationModified",
        "MODIFIED",
        "UNMODIFIED",
    ) in found.settings


def test_a_policy_does_not_differ_from_itself():
    assert compare_policies(SETTINGS, DeidSettings()).is_empty


def test_a_difference_read_backwards_is_its_mirror():
    after = DeidSettings(private="remove", uids="retain")

    there, back = (
        compare_policies(SETTINGS, after),
        compare_policies(after, SETTINGS),
    )

    assert [(c.tag, c.before, c.after) for c in there.elements] == [
        (c.tag, c.after, c.before) for c in back.elements
    ]
    assert there.codes_new == back.codes_gone


def test_the_defaults_have_no_finding():
    assert lint_policy(SETTINGS) == ()


LAB = "(0019,LAB SEQUENCES,xx01)"
ERRORS: dict[str, tuple[str, dict[str, Any]]] = {
    "uids with moved dates": ("uids", {"uids": "retain", "device": "retain"}),
    "uids without device": ("uids", {"uids": "retain", "dates": "full"}),
    "nothing released": ("released_kinds", {"released_kinds": ()}),
    "private keep without private": (
        "keep",
        {"private": "remove", "keep": (_kept(LAB, "A"),)},
    ),
    "pattern of a number": ("keep", {"keep": (_kept("InversionTimes", r"\d"),)}),
    "removal of what goes": ("remove", {"remove": ("PatientComments",)}),
}
RISKS: dict[str, tuple[str, dict[str, Any]]] = {
    "full dates": ("dates", {"dates": "full"}),
    "no dates": ("dates", {"dates": "remove"}),
    "narrow range": ("earliest_days", {"earliest_days": -400, "latest_days": -390}),
    "uids": ("uids", {"uids": "retain", "dates": "full", "device": "retain"}),
    "device": ("device", {"device": "retain"}),
    "institution": ("institution", {"institution": "retain"}),
    "ethnic group": (
        "characteristics",
        {"characteristics": ("weight", "ethnic_group")},
    ),
    "no weight": ("characteristics", {"characteristics": ("age",)}),
    "no descriptors": ("descriptors", {"descriptors": "remove"}),
    "no private": ("private", {"private": "remove"}),
    "burned in": ("quarantine_burned_in", {"quarantine_burned_in": False}),
    "unknown creator": ("keep", {"keep": (_kept(LAB, "MODE"),)}),
    "pattern of names": ("keep", {"keep": (_kept("FilterType", "[A-Za-z]{1,9}"),)}),
    "removal of technique": ("remove", {"remove": ("EchoTime",)}),
}


@pytest.mark.parametrize(("field", "options"), ERRORS.values(), ids=ERRORS)
def test_a_contradiction_is_an_error(field, options):
    found = lint_policy(DeidSettings(**options))

    errors = [one for one in found if one.level == "error"]
    assert [one.field for one in errors] == [f"deid.{field}"]
    assert all(one.message and one.fix for one in found)


@pytest.mark.parametrize(("field", "options"), RISKS.values(), ids=RISKS)
def test_a_risk_is_named_and_is_no_error(field, options):
    found = lint_policy(DeidSettings(**options))

    assert f"deid.{field}" in {one.field for one in found}
    assert {one.level for one in found} == {"risk"}
