"""What the lint of a study's rules finds, and in which words."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.bids.evidence import read_evidence
from imaging_platform.bids.planned import plan_session
from imaging_platform.bids.rule_lint import Finding, lint_rules, lint_settings
from imaging_platform.bids.rule_overlap import covers, find_meetings
from imaging_platform.bids.settings import BidsSettings, Condition, StudyRule
from imaging_platform.bids.study_rules import matches
from imaging_platform.bids.vocabulary import load_vocabulary
from imaging_platform.model.ids import SessionKey
from tests.bids.sidecars import BOLD, MPRAGE, output

NAME = {"SeriesDescription": "a*"}
REST = {"match": NAME, "datatype": "func", "suffix": "bold"}


def errors(*rules: object) -> list[str]:
    return [f"{one.message} {one.fix}" for one in of_level("error", *rules)]


def of_level(level: str, *rules: object) -> list[Finding]:
    return [one for one in lint_rules(list(rules)) if one.level == level]


def test_a_right_rule_has_no_finding():
    right = REST | {"entities": {"task": "rest", "acq": "x", "run": 1}}

    assert lint_rules([right]) == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"datatype": "Func"},
            "Case and spaces count: Func is no datatype. Write func.",
        ),
        ({"datatype": "fnc"}, "There is no datatype fnc. Did you mean func?"),
        ({"suffix": "Bold"}, "Case and spaces count: Bold is no suffix of func."),
        ({"suffix": "bolt"}, "There is no suffix of func bolt. Did you mean bold?"),
        ({"suffix": "T1w"}, "BIDS has no func/T1w; T1w belongs to anat."),
        ({"entities": {"Task": "x"}}, "Case and spaces count: Task is no entity."),
        ({"entities": {"task ": "x"}}, "Case and spaces count: 'task ' is no entity."),
        ({"entities": {"tsk": "x"}}, "There is no entity tsk. Did you mean task?"),
        (
            {"entities": {"reconstruction": "x"}},
            "There is no entity reconstruction. Did you mean rec?",
        ),
        ({"entities": {"sub": "1"}}, "sub is given by the session, not by a rule."),
        ({"entities": {"task": "my task"}}, "found 'my task'. Write task: mytask."),
        ({"entities": {"task": "task-rest"}}, "Write task: rest."),
        ({"entities": {"run": "one"}}, "run is a number; found 'one'."),
        ({"entities": {"part": "magnitude"}}, "no label of part magnitude."),
        ({"entities": {"inv": "1"}}, "BIDS has no inv- in the name of a bold."),
        ({"excluded": "x"}, "There is no key excluded. Did you mean exclude?"),
        ({"match": {"SeriesDesciption": "a"}}, "Did you mean SeriesDescription?"),
        ({"match": {"dicom.Nothing": "a"}}, "Nothing is no keyword of the DICOM"),
        ({"match": {"EchoTime": {"regex": "("}}}, "not a regular expression"),
        ({"match": {"EchoTime": {"regex": "(a+)+"}}}, "repeats what already repeats"),
        ({"match": {"EchoTime": {"min": 2, "max": 1}}}, "min is larger than max"),
        ({"match": {}}, "should have at least 1 item"),
    ],
)
def test_an_error_is_told_in_words_of_the_field_with_the_nearest_name(change, told):
    found = errors(REST | change)

    assert len(found) >= 1
    assert any(told in one for one in found), found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"entities": {"run": "1", "task": "x"}}, "write task, run"),
        ({"match": {"EchoTime": {"max": 30}}}, "looks like milliseconds"),
        ({"match": {"SeriesDescription": ".*rest"}}, "looks like a regular expression"),
        ({"match": {"SeriesDescription": "rest "}}, "begins or ends with a space"),
        ({"match": {"ContentQualification": "x"}}, "Write dicom.ContentQualification"),
        ({"metadata": {"IntendedFor": "x"}}, "worked out for each session"),
        ({"metadata": {"EchoTyme": 0.01}}, "Did you mean EchoTime?"),
        ({"metadata": {"EchoTime": "..."}}, "EchoTime has no value yet"),
        ({"metadata": {"SliceTiming": [0, "..."]}}, "SliceTiming has no value yet"),
        ({"datatype": "anat", "suffix": "MP2RAGE", "entities": {}}, "requires inv"),
    ],
)
def test_a_risk_is_told_and_is_no_error(change, told):
    found = lint_rules([REST | change])

    assert [one.level for one in found] == ["risk"]
    assert told in f"{found[0].message} {found[0].fix}"


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ({"SeriesDescription": "*"}, {"SeriesDescription": "rest"}),
        ({"SeriesDescription": "*rest*"}, {"SeriesDescription": "my_rest_?"}),
        ({"SeriesDescription": ["a*", "b*"]}, {"SeriesDescription": "ab"}),
        ({"EchoTime": {"min": 0.01}}, {"EchoTime": {"min": 0.02, "max": 0.03}}),
        ({"EchoTime": {"max": 0.01}}, {"EchoTime": 0.005, "FlipAngle": 9}),
        ({"MTState": {"absent": True}}, {"MTState": {"absent": True}, "EchoTime": 1}),
    ],
)
def test_a_rule_behind_a_wider_one_is_unreachable(early, late):
    first = {"match": early, "exclude": "x"}
    second = {"match": late, "exclude": "y"}

    found = errors(first, second)

    assert [text for text in found if "unreachable" in text] == [
        "The rule is unreachable: all that it matches is decided by rule 0 before it. "
        "Put it above bids.rules[0], or remove it."
    ]
    assert not any("unreachable" in text for text in errors(second, first))


def test_a_rule_that_only_supplements_shadows_nothing():
    supplement = {"match": {"SeriesDescription": "*"}, "metadata": {"EchoTime": 0.01}}

    assert lint_rules([supplement, REST, supplement]) == ()


def test_two_rules_with_one_name_and_one_run_collide():
    first = REST | {"entities": {"task": "x", "run": "1"}}
    second = first | {"match": {"SeriesDescription": "b*"}}

    (found,) = of_level("risk", first, second)

    assert "Rule 0 gives the same name" in found.message


def test_series_of_a_session_that_would_get_one_name_are_told_by_number():
    settings = BidsSettings.model_validate(
        {"rules": [REST | {"match": {"Volumes": 9}, "entities": {"task": "x"}}]}
    )
    images = [
        output("a", BOLD, volumes=9, number=3),
        output("b", BOLD, volumes=9, number=5, at_s=60),
        output("t1", MPRAGE, number=7, at_s=90),
    ]

    planned = plan_session(images, key=SessionKey("1", "1"), settings=settings)
    (found,) = find_meetings("sub-1_ses-1", planned)

    assert (found.name, found.series) == ("func/task-x_bold", (3, 5))


def test_rules_that_are_valid_are_linted_as_they_were_written():
    settings = BidsSettings.model_validate({"rules": [REST, REST]})

    assert [one.level for one in lint_settings(settings)] == ["error"]


@pytest.mark.parametrize("rules", [None, "x", 3, {"match": {}}, ["x"], [None]])
def test_what_is_no_list_of_rules_is_an_error_and_no_crash(rules):
    assert [one.level for one in lint_rules(rules)] == ["error"]


GLOBS = st.text(alphabet="ab*?", max_size=5)
TESTS = st.one_of(
    GLOBS,
    st.integers(0, 3),
    st.lists(GLOBS | st.integers(0, 3), min_size=1, max_size=3).map(tuple),
    st.builds(
        lambda a, b: Condition(minimum=min(a, b), maximum=max(a, b)),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    st.just(Condition(absent=True)),
    st.builds(lambda g: Condition(glob=g, absent=False), GLOBS),
)
VALUES = st.one_of(st.text(alphabet="ab", max_size=4), st.integers(0, 3), st.none())


@given(wide=TESTS, narrow=TESTS, value=VALUES)
def test_what_a_narrower_test_takes_the_covering_one_takes_too(wide, narrow, value):
    image = read_evidence(output("x", {}, Field=value))

    def holds(test: object) -> bool:
        return matches(StudyRule(match={"Field": test}, exclude="x"), image)

    if covers(wide, narrow) and holds(narrow):
        assert holds(wide)


@given(pattern=GLOBS, text=st.text(alphabet="ab", max_size=5))
def test_a_shell_pattern_covers_exactly_the_texts_that_it_fits(pattern, text):
    assert covers(pattern, text) == fnmatch.fnmatchcase(text, pattern)


def test_every_suffix_of_the_schema_may_be_named_by_a_rule():
    words = load_vocabulary()

    assert ("func", "bold") in words.names
    assert ("anat", "UNIT1") in words.names
    assert ("pet", "blood") not in words.names
    for datatype, suffix in words.names:
        rule = {"match": NAME, "datatype": datatype, "suffix": suffix}
        assert errors(rule) == []


@pytest.mark.parametrize(
    ("test", "place"),
    [
        ({"regex": "(a+)+$"}, "bids.rules[0].match.ProtocolName.regex"),
        ({"regx": "a"}, "bids.rules[0].match.ProtocolName.regx"),
        ({"min": 3, "max": 1}, "bids.rules[0].match.ProtocolName"),
    ],
)
def test_a_wrong_test_is_one_error_at_its_own_place(test, place):
    found = of_level("error", REST | {"match": {"ProtocolName": test}})

    assert [one.field for one in found] == [place]
