"""What a study may keep and remove by itself, and what it may not."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_platform.deid.additions import KeptElement, parse_element
from imaging_platform.deid.decision import Action
from imaging_platform.deid.patterns import OWN_RULE, check_pattern, matches_own
from imaging_platform.deid.policy import decide_private, decide_public
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.values import keep_by_rule
from imaging_platform.model.errors import BadConfig
from imaging_platform.settings import parse_study
from tests.deid.conftest import Anonymize
from tests.deid.originals import make_original, save

LAB = "(0019,LAB SEQUENCES,xx01)"


def _keep(element: str, pattern: str = "[A-Z]{1,8}", reason: str = "reviewed") -> dict:
    return {"element": element, "pattern": pattern, "reason": reason}


def _study(**deid: object) -> DeidSettings:
    return parse_study({"name": "memory", "deid": deid}).deid


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SeriesDescription", "(0008,103e)"),
        ("(0008,103E)", "(0008,103e)"),
        ("0008103e", "(0008,103e)"),
        ("(0019,SIEMENS MR HEADER,xx0C)", "(0019,siemens mr header,xx0c)"),
        (
            "(2005,Philips MR Imaging DD 001, xx10)",
            "(2005,philips mr imaging dd 001,xx10)",
        ),
        ("(0019,A (B), C,xx01)", "(0019,a (b), c,xx01)"),
    ],
)
def test_an_element_is_named_by_keyword_tag_or_creator(text, shown):
    assert str(parse_element(text)) == shown


@pytest.mark.parametrize(
    "text",
    ["SeriesDescripton", "(0009,1010)", "(0008,CREATOR,xx01)", "", "(0019,,xx01)"],
)
def test_what_names_no_element_is_refused(text):
    with pytest.raises(BadConfig, match="no element"):
        _study(remove=[text])


@pytest.mark.parametrize(
    ("element", "why"),
    [
        ("PatientName", "E.1-1"),
        ("PatientComments", "E.1-1"),
        ("StudyInstanceUID", "E.1-1"),
        ("SeriesDescription", "E.1-1"),
        ("(6000,3000)", "container"),
        ("(0019,1010)", "no element"),
        ("SpectroscopyData", "kind OF"),
        ("SourceImageEvidenceSequence", "kind SQ"),
        ("ConsultingPhysicianName", "E.1-1"),
        ("(0029,SIEMENS CSA HEADER,xx09)", "drops it"),
        ("Rows", "every file has it"),
    ],
)
def test_what_identifies_or_hides_cannot_be_kept(element, why):
    with pytest.raises(BadConfig, match=re.escape(why)) as caught:
        _study(keep=[_keep(element)])

    assert caught.value.fix


@pytest.mark.parametrize(
    "element", ["SOPInstanceUID", "PixelData", "PatientID", "Rows"]
)
def test_what_every_file_needs_cannot_be_removed(element):
    with pytest.raises(BadConfig, match="no image can be read"):
        _study(remove=[element])


def test_an_identifying_element_may_be_removed_altogether():
    settings = _study(remove=["PatientSex", "StudyDate"])

    assert decide_public(0x00100040, settings).action is Action.REMOVE
    assert decide_public(0x00080020, settings).action is Action.REMOVE


def test_an_element_cannot_be_kept_and_removed():
    with pytest.raises(BadConfig, match="under keep and under remove"):
        _study(keep=[_keep("FilterType")], remove=["(0018,1160)"])


def test_an_element_cannot_be_kept_twice():
    with pytest.raises(BadConfig, match="twice under keep"):
        _study(keep=[_keep("FilterType"), _keep("(0018,1160)", "[0-9]")])


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "(",
        "(a+)+",
        "(a|a)*b",
        "(?:a*)*",
        "a*a*a*a*b",
        "(?:[A-Z]{1,20} ?){1,20}",
        r"(a)\1",
        "(?=a)a",
        "(?<!x)a",
        "käse",
        "a\nb",
        "a" * 201,
    ],
)
def test_a_pattern_that_is_broken_or_slow_is_refused(pattern):
    with pytest.raises(BadConfig, match="pattern"):
        _study(keep=[_keep("FilterType", pattern)])


@pytest.mark.parametrize(
    "pattern",
    [r"MODE-\d{1,3}", "[A-Z]{1,16}(?:_[A-Z0-9]{1,8}){0,2}", "a|b|c", "(?i:on)"],
)
def test_a_pattern_with_bounds_is_taken(pattern):
    assert _study(keep=[_keep("FilterType", pattern)]).keep[0].pattern == pattern


atoms = st.sampled_from(["a", "[ab]", ".", r"\w", "(a|b)", "(?:ab?)"])
repeats = st.sampled_from(["", "?", "*", "+", "{1,3}", "{0,40}", "*?", "{2,}"])
pieces = st.tuples(atoms, repeats).map("".join)
groups = st.tuples(st.lists(pieces, min_size=1, max_size=4), repeats).map(
    lambda made: f"(?:{''.join(made[0])}){made[1]}"
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(pieces, groups), min_size=1, max_size=4).map("".join))
def test_no_pattern_that_is_taken_can_be_kept_busy(pattern):
    try:
        check_pattern(pattern)
    except ValueError:
        return
    started_s = time.perf_counter()

    matches_own(OWN_RULE + pattern, "a" * 63 + "!")

    assert time.perf_counter() - started_s < 1


def test_a_kept_value_stays_only_as_a_whole(anonymize: Anonymize, tmp_path):
    values = ("MODE-7", "MODE-7 of Quirina", "MODE-1234567")

    written = [_written(anonymize, tmp_path / str(n), v) for n, v in enumerate(values)]

    assert written == ["MODE-7", "", ""]


def _written(anonymize: Anonymize, folder, value: str) -> str:
    original = make_original()
    block = original.private_block(0x0019, "LAB SEQUENCES", create=True)
    block.add_new(0x01, "LO", value)
    folder.mkdir()
    save(original, folder / "a")
    kept = KeptElement(element=LAB, pattern=r"MODE-\d{1,9}", reason="lab")
    (file,) = anonymize(folder, settings=DeidSettings(keep=(kept,))).files
    return file.private_block(0x0019, "LAB SEQUENCES")[0x01].value or ""


def test_a_kept_public_element_replaces_the_rule_of_the_list():
    settings = _study(keep=[_keep("FilterType", "WEDGE")])

    decision = decide_public(0x00181160, settings)

    assert (decision.action, decision.rule) == (Action.RULE, OWN_RULE + "WEDGE")


def test_a_kept_private_number_stays_a_number_and_a_date_still_moves():
    settings = _study(keep=[_keep(LAB)])

    number = decide_private(0x0019, 0x1001, "LAB SEQUENCES", "US", settings)
    day = decide_private(0x0019, 0x1001, "LAB SEQUENCES", "DA", settings)
    uid = decide_private(0x0019, 0x1001, "LAB SEQUENCES", "UI", settings)
    bulk = decide_private(0x0019, 0x1001, "LAB SEQUENCES", "OB", settings)

    assert number.action is Action.KEEP
    assert day.action is Action.SHIFT
    assert uid.action is Action.REMAP
    assert bulk.action is Action.REMOVE


def test_a_creator_is_found_in_any_case():
    settings = _study(keep=[_keep(LAB)])

    decision = decide_private(0x0019, 0x2001, " Lab Sequences ", "LO", settings)

    assert decision.action is Action.RULE


def test_a_private_element_that_the_study_removes_goes():
    settings = _study(remove=["(0019,SIEMENS MR HEADER,xx0C)"])

    decision = decide_private(0x0019, 0x100C, "SIEMENS MR HEADER", "IS", settings)

    assert decision.action is Action.REMOVE


def test_an_own_pattern_never_lets_an_identifier_pass(anonymize: Anonymize, tmp_path):
    from imaging_platform.deid.identifiers import Identifiers

    known = Identifiers(words=frozenset({"quirina"}))

    assert keep_by_rule(OWN_RULE + r"[A-Za-z ]{1,30}", "Head Quirina", known) is None
    assert keep_by_rule(OWN_RULE + r"[A-Za-z ]{1,30}", "Head", known) == "Head"
