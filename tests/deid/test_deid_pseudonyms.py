"""Pseudonyms and dates: keyed, stable, and telling nothing."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.deid.actions import cap_age
from imaging_platform.deid.dates import keep_time, shift_date, shift_moment
from imaging_platform.deid.pseudonyms import (
    date_offset_days,
    key_fingerprint,
    new_uid,
    subject_label,
)
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.model.errors import MissingKey
from tests.deid.originals import OTHER_SECRET, SECRET

days = st.dates(min_value=date(1950, 1, 1), max_value=date(2100, 1, 1))
uids = st.from_regex(r"1\.[0-9]{1,3}(\.[1-9][0-9]{0,8}){2,5}", fullmatch=True)


@given(first=days, second=days, offset_days=st.integers(-3650, -1))
def test_shifting_keeps_the_interval_between_two_days(first, second, offset_days):
    moved = [
        date.fromisoformat(shift_date(day.strftime("%Y%m%d"), offset_days))
        for day in (first, second)
    ]

    assert moved[1] - moved[0] == second - first
    assert (moved[0] - first).days == offset_days


@given(day=days, time=st.times(), offset_days=st.integers(-3650, -1))
def test_shifting_a_moment_keeps_its_time(day, time, offset_days):
    text = day.strftime("%Y%m%d") + time.strftime("%H%M%S.%f") + "+0100"

    moved = shift_moment(text, offset_days)

    assert moved[8:] == text[8:]
    assert moved[:8] == shift_date(text[:8], offset_days)


@pytest.mark.parametrize(
    "text", ["2020", "202013", "20201301", "soon", "", "2020-02-1"]
)
def test_what_is_no_day_becomes_empty(text):
    assert shift_date(text, -1) == ""
    assert shift_moment(text, -1) == ""


def test_a_day_before_the_first_year_becomes_empty():
    assert shift_date("00010101", -1) == ""


@pytest.mark.parametrize(
    ("text", "kept"),
    [("131415.123456", True), ("1314", True), ("13:14:15", True), ("born 1314", False)],
)
def test_only_a_time_of_day_is_kept(text, kept):
    assert bool(keep_time(text)) == kept


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        ("089Y", "089Y"),
        ("090Y", "090Y"),
        ("099Y", "090Y"),
        ("999M", "999M"),
        ("005W", "005W"),
        ("Anna", ""),
        ("", ""),
    ],
)
def test_age_is_ninety_at_most(age, kept):
    assert cap_age(age) == kept


@given(uid=uids)
def test_a_new_uid_is_valid_stable_and_of_this_study_only(uid):
    new = new_uid(SECRET, uid)

    assert re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", new)
    assert new == new_uid(SECRET, uid + "\0")
    assert new != new_uid(OTHER_SECRET, uid)


@given(patient_id=st.text(min_size=1, max_size=64))
def test_a_label_is_a_bids_label_whatever_the_id(patient_id):
    label = subject_label(SECRET, patient_id)

    assert re.fullmatch(r"[0-9A-Z]{10}", label)
    assert label != subject_label(OTHER_SECRET, patient_id)


def test_labels_of_many_patients_differ():
    labels = {subject_label(SECRET, f"P{number}") for number in range(20_000)}

    assert len(labels) == 20_000


@given(label=st.from_regex(r"[A-Z0-9]{1,10}", fullmatch=True))
def test_dates_always_move_backwards_within_the_range(label):
    settings = DeidSettings(earliest_days=-30, latest_days=-10)

    assert -30 <= date_offset_days(SECRET, label, settings) <= -10


@pytest.mark.parametrize("changes", [{"latest_days": 0}, {"earliest_days": 5}])
def test_dates_cannot_be_told_to_move_forward_or_stay(changes):
    with pytest.raises(ValueError, match="-1"):
        DeidSettings(**changes)


def test_a_range_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="earliest_days"):
        DeidSettings(earliest_days=-10, latest_days=-20)


def test_the_fingerprint_tells_two_secrets_apart():
    assert key_fingerprint(SECRET) != key_fingerprint(OTHER_SECRET)
    assert SECRET.hex() not in key_fingerprint(SECRET)


def test_a_secret_of_another_length_is_refused():
    with pytest.raises(MissingKey, match="32 bytes") as caught:
        new_uid(b"", "1.2.3")

    assert caught.value.fix
