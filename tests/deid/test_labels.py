"""What subjects and sessions are called: table, then pattern, then pseudonym."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.deid.labels import LabelPattern, Labels, LabelSettings
from imaging_platform.deid.mapping import MappingRow
from imaging_platform.deid.pseudonyms import subject_label
from imaging_platform.dicom.headers import Header
from imaging_platform.model.errors import BadConfig
from imaging_platform.model.labels import LabelProblem
from imaging_platform.settings import parse_study
from tests.deid.originals import OTHER_SECRET, SECRET

BY_ID = LabelPattern(field="PatientID", pattern=r"^ABC(?P<label>\d{3})$")
BY_STUDY = LabelPattern(field="StudyDescription", pattern=r"visit (?P<label>\w+)")


def header(**facts: str) -> Header:
    told: dict[str, Any] = {}  # Any: text, numbers and None
    for field in dataclasses.fields(Header):
        told[field.name] = "" if field.type == "str" else None
    return Header(**{**told, "patient_id": "ABC123", "study_uid": "1.2.3", **facts})


def test_without_table_and_pattern_the_subject_gets_a_keyed_pseudonym():
    labels = Labels(SECRET).of_study(header())

    assert labels.subject == subject_label(SECRET, "ABC123")
    assert (labels.is_chosen, labels.session, labels.problem) == (False, "", None)


def test_the_table_comes_before_the_pattern_and_the_pattern_before_the_pseudonym():
    settings = LabelSettings(subject=BY_ID, session=BY_STUDY)
    table = [MappingRow("ABC123", "T1", "base", study_uid="1.2.3")]
    facts = header(study_description="visit two")

    by_table = Labels(SECRET, settings, table).of_study(facts)
    by_pattern = Labels(SECRET, settings).of_study(facts)
    by_key = Labels(SECRET, settings).of_study(header(patient_id="XYZ"))

    assert (by_table.subject, by_table.session) == ("T1", "base")
    assert (by_pattern.subject, by_pattern.session) == ("123", "two")
    assert by_key.subject == subject_label(SECRET, "XYZ")
    assert [by_table.is_chosen, by_pattern.is_chosen, by_key.is_chosen] == [
        True,
        True,
        False,
    ]


def test_the_version_changes_with_patterns_table_and_key_and_shows_none_of_them():
    table = [MappingRow("ABC123", "T1")]
    different = [
        Labels(SECRET),
        Labels(OTHER_SECRET),
        Labels(SECRET, LabelSettings(subject=BY_ID)),
        Labels(SECRET, table=table),
    ]

    versions = {labels.version for labels in different}

    assert len(versions) == 4
    assert Labels(SECRET, table=table).version in versions
    assert all(re.fullmatch("[0-9a-f]{16}", version) for version in versions)


def test_a_patient_of_the_table_has_one_pseudonym_whatever_the_label():
    table = [MappingRow("ABC123", "T1")]

    with_table = Labels(SECRET, table=table).of_study(header())

    assert with_table.patient == Labels(SECRET).of_study(header()).patient


def test_the_table_knows_a_patient_in_any_spelling_of_the_id():
    table = [MappingRow("abc  123", "T1")]

    labels = Labels(SECRET, table=table).of_study(header(patient_id="ABC 123"))

    assert labels.subject == "T1"


@pytest.mark.parametrize(
    "named",
    [
        {"study_uid": "1.2.3"},
        {"accession_number": "A77"},
        {"study_date": "20260102"},
        {"study_uid": "1.2.3", "accession_number": "A77"},
    ],
)
def test_a_session_of_the_table_is_found_by_all_that_names_its_study(named):
    table = [MappingRow("ABC123", "T1", "base", **named)]
    fits = header(accession_number="A77", study_date="20260102")
    other = header(accession_number="A78", study_date="20260103", study_uid="9")

    labels = Labels(SECRET, table=table)

    assert labels.of_study(fits).session == "base"
    assert labels.of_study(other).session == ""


def test_two_sessions_of_the_table_that_fit_one_study_hold_it():
    table = [
        MappingRow("ABC123", "T1", "one", study_uid="1.2.3"),
        MappingRow("ABC123", "T1", "two", study_date="20260102"),
    ]

    labels = Labels(SECRET, table=table).of_study(header(study_date="20260102"))

    assert labels.problem is LabelProblem.AMBIGUOUS_SESSION


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?P<label>.*)-1", LabelProblem.BAD_SUBJECT),
        ("(?P<label>)", LabelProblem.BAD_SUBJECT),
        ("(?P<label>9)?", LabelProblem.BAD_SUBJECT),
        ("(?P<label>P[0-9]+)", LabelProblem.SUBJECT_ECHOES),
    ],
)
def test_a_match_that_is_no_label_or_the_whole_id_holds_the_study(pattern, problem):
    settings = LabelSettings(subject=LabelPattern(field="PatientID", pattern=pattern))
    patient_id = "P00123" if problem is LabelProblem.SUBJECT_ECHOES else "a b-1"

    labels = Labels(SECRET, settings).of_study(header(patient_id=patient_id))

    assert labels.problem is problem


@pytest.mark.parametrize(
    ("name", "held"), [("KESTREL^ANNIKA", True), ("Study^012", False), ("", False)]
)
def test_a_name_is_never_a_label_and_a_number_in_its_place_may_be(name, held):
    pattern = LabelPattern(field="PatientName", pattern=r"(?P<label>KESTREL|\d+)")

    labels = Labels(SECRET, LabelSettings(subject=pattern)).of_study(
        header(patient_name=name)
    )

    assert (labels.problem is LabelProblem.SUBJECT_ECHOES) == held


@pytest.mark.parametrize("told", ["20260102", "A7712", "ABC123"])
def test_a_session_label_never_repeats_date_accession_or_id(told):
    pattern = LabelPattern(field="StudyDescription", pattern=r"(?P<label>\w+)")
    facts = header(
        study_description=told, study_date="20260102", accession_number="A7712"
    )

    labels = Labels(SECRET, LabelSettings(session=pattern)).of_study(facts)

    assert labels.problem is LabelProblem.SESSION_ECHOES


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "not a regular expression"),
        (r"ABC(\d+)", "no group"),
        (r"(?P<label>(a+)+)b", "repeats"),
        (r"(?P<label>(?:a|aa)*)b", "repeats"),
        (r"(?P<label>(a?){30})b", "repeats"),
        (r".*.*.*.*(?P<label>x)", "open repeats"),
        (r"(?P<label>a)(?P=label)", "refers back"),
        (r"(?P<label>a)\1", "refers back"),
        ("(?P<label>" + "a" * 200 + ")", "200"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_when_the_study_is_read(pattern, why):
    labels = {"subject": {"field": "PatientID", "pattern": pattern}}

    with pytest.raises(BadConfig, match=re.escape(why)) as caught:
        parse_study({"name": "s", "labels": labels})

    assert "labels.subject.pattern" in caught.value.fix


def test_only_fields_of_the_closed_list_are_searched():
    labels = {"subject": {"field": "PatientBirthDate", "pattern": "(?P<label>.)"}}

    with pytest.raises(BadConfig, match=re.escape("labels.subject.field")):
        parse_study({"name": "s", "labels": labels})


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<label>\w*)\w*\w*!",
        r"^\s*[(*+][a-z]+\((?P<label>\d+)\)",
        r"(?P<label>[]a])",
    ],
)
def test_a_pattern_that_is_allowed_is_fast_on_a_hostile_header(pattern):
    usable = LabelPattern(field="PatientComments", pattern=pattern)
    started = time.perf_counter()

    usable.find_label(header(patient_comments="a" * 100_000))

    assert time.perf_counter() - started < 2


@given(patient_id=st.text(min_size=1, max_size=64))
def test_a_label_that_is_given_is_a_bids_label_whatever_the_header_says(patient_id):
    anything = LabelPattern(field="PatientID", pattern="^.(?P<label>.*)")

    labels = Labels(SECRET, LabelSettings(subject=anything)).of_study(
        header(patient_id=patient_id)
    )

    assert labels.problem or re.fullmatch("[A-Za-z0-9]{1,32}", labels.subject)


def test_labels_are_read_from_the_convention_of_xnat():
    settings = LabelSettings(
        subject=LabelPattern(
            field="PatientComments", pattern=r"Subject: ?(?P<label>[A-Za-z0-9]+)"
        ),
        session=LabelPattern(
            field="PatientComments", pattern=r"Session: ?(?P<label>[A-Za-z0-9]+)"
        ),
    )
    facts = header(patient_comments="Project: memory Subject: p023 Session: mri1")

    labels = Labels(SECRET, settings).of_study(facts)

    assert (labels.subject, labels.session) == ("p023", "mri1")
