"""The same key gives the same everywhere; another key shares nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.deid.dates import shift_date
from imaging_platform.deid.pseudonyms import (
    date_offset_days,
    derive_key,
    key_fingerprint,
    new_uid,
    subject_label,
)
from imaging_platform.deid.settings import DeidSettings
from tests.deid.originals import OTHER_SECRET, SECRET

REPOSITORY = Path(__file__).resolve().parents[2]
IDS = ["KES-0001", "  kes-0001", "İstanbul^ß", "東京 7", "0"]
GOLDEN = (
    "K3ZYE857GV",
    "2.25.9329288013717257628690195652361332979",
    "753548a5ee85",
    "43a00ae0e91422f7",
)
PROGRAM = """
import json, sys
from imaging_platform.deid.pseudonyms import *
from imaging_platform.deid.settings import DeidSettings
secret, ids = bytes.fromhex(sys.argv[1]), json.loads(sys.argv[2])
print(json.dumps([
    [subject_label(secret, one), new_uid(secret, one), derive_key(secret, one).hex(),
     date_offset_days(secret, subject_label(secret, one), DeidSettings())]
    for one in ids
] + [key_fingerprint(secret)]))
"""

secrets = st.binary(min_size=32, max_size=32)
uids = st.from_regex(r"1\.[0-9]{1,3}(\.[1-9][0-9]{0,8}){2,5}", fullmatch=True)
days = st.dates(min_value=date(1990, 1, 1), max_value=date(2035, 12, 31))
DEFAULT = DeidSettings()
MOVES = st.integers(DEFAULT.earliest_days, DEFAULT.latest_days)


@pytest.mark.parametrize(
    ("seed", "zone", "locale"),
    [("0", "Pacific/Auckland", "C"), ("4711", "America/St_Johns", "tr_TR.UTF-8")],
)
def test_another_process_with_other_surroundings_gives_the_same(seed, zone, locale):
    here = [
        [
            subject_label(SECRET, one),
            new_uid(SECRET, one),
            derive_key(SECRET, one).hex(),
            date_offset_days(SECRET, subject_label(SECRET, one), DEFAULT),
        ]
        for one in IDS
    ]

    there = subprocess.run(
        [sys.executable, "-c", PROGRAM, SECRET.hex(), json.dumps(IDS)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": locale,
        },
        capture_output=True,
        check=True,
        text=True,
    )

    assert json.loads(there.stdout) == [*here, key_fingerprint(SECRET)]


def test_what_the_key_makes_never_changes_between_versions():
    """A changed value here gives every subject of every study another label."""
    made = (
        subject_label(SECRET, "KES-0001"),
        new_uid(SECRET, "1.2.840.1"),
        key_fingerprint(SECRET),
        derive_key(SECRET, "mapping").hex()[:16],
    )

    assert made == GOLDEN


@given(mine=secrets, other=secrets, known=st.lists(uids, min_size=1, max_size=20))
def test_two_keys_share_no_uid_and_one_key_keeps_uids_apart(mine, other, known):
    ours = {new_uid(mine, uid) for uid in known}
    theirs = {new_uid(other, uid) for uid in known}

    assert len(ours) == len(set(known))
    assert (ours == theirs) if mine == other else not ours & theirs
    assert not ours & set(known)


@given(secret=secrets, text=st.text(max_size=40))
def test_what_is_made_for_one_purpose_says_nothing_about_another(secret, text):
    made = [
        derive_key(secret, "mapping"),
        derive_key(secret, "backup"),
        secret,
        bytes.fromhex(key_fingerprint(secret)),
        int(new_uid(secret, text).removeprefix("2.25.")).to_bytes(16, "big"),
    ]

    heads = {part[:6] for part in made}

    assert len(heads) == len(made)


@given(first=days, second=days, offset_days=MOVES)
def test_a_default_move_keeps_intervals_exact_also_over_leap_years(
    first, second, offset_days
):
    moved = [
        date.fromisoformat(shift_date(day.strftime("%Y%m%d"), offset_days))
        for day in (first, second)
    ]

    assert moved[1] - moved[0] == second - first


@pytest.mark.parametrize("day", ["20000229", "20240229", "20200301", "20991231"])
def test_leap_days_and_the_day_after_move_by_exactly_the_offset(day):
    for offset_days in (-36_525, -40_177, -47_482):
        moved = date.fromisoformat(shift_date(day, offset_days))

        assert date.fromisoformat(day) - moved == timedelta(days=-offset_days)


@given(day=days, offset_days=MOVES)
def test_by_default_each_date_until_2035_becomes_one_of_1925_or_earlier(
    day, offset_days
):
    """BIDS 1.10, common principles, units: shifted dates are of 1925 or earlier."""
    moved = shift_date(day.strftime("%Y%m%d"), offset_days)

    assert "1850" < moved[:4] <= "1925"


@given(label=st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True))
def test_a_subject_has_one_move_whatever_the_session_and_another_under_another_key(
    label,
):
    mine = {date_offset_days(SECRET, label, DEFAULT) for _ in range(3)}

    assert len(mine) == 1
    assert DEFAULT.earliest_days <= mine.pop() <= DEFAULT.latest_days


def test_the_moves_of_many_subjects_are_spread_over_the_whole_range():
    moves = {date_offset_days(SECRET, f"S{number}", DEFAULT) for number in range(3000)}
    others = {
        date_offset_days(OTHER_SECRET, f"S{number}", DEFAULT) for number in range(3000)
    }

    span = DEFAULT.latest_days - DEFAULT.earliest_days
    assert max(moves) - min(moves) > 0.98 * span
    assert len(moves) > 2000
    assert moves != others
