"""The site's own table of labels: read, proved, sealed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.deid.mapping import (
    MappingRow,
    check_rows,
    merge_rows,
    open_table,
    parse_csv,
    seal_table,
)
from imaging_platform.deid.pseudonyms import subject_label
from imaging_platform.model.errors import BadInput, MissingKey
from tests.deid.originals import OTHER_SECRET, SECRET

NONCE = bytes(range(12))
HEAD = "patient_id,subject,session,study_uid,accession_number,study_date\n"


def check(text: str, subjects: dict[str, str] | None = None) -> tuple[MappingRow, ...]:
    rows = parse_csv((HEAD + text).encode())
    return check_rows(rows, secret=SECRET, subjects=subjects or {})


def test_a_table_is_read_with_patients_and_their_sessions():
    rows = check("KES-1,01,,,,\nKES-1,01,base,1.2.3,,\nHER-2,02,,,,\n")

    assert rows == (
        MappingRow("HER-2", "02"),
        MappingRow("KES-1", "01"),
        MappingRow("KES-1", "01", "base", "1.2.3"),
    )


def test_columns_that_are_not_needed_may_be_left_out_and_stand_in_any_order():
    rows = parse_csv("\ufeffSubject, patient_id\r\n01,KES-1\r\n\r\n".encode())

    assert rows == [("line 2", MappingRow("KES-1", "01"))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"KESTREL,01\n",
        b"patient_id,session\nKESTREL,1\n",
        b"patient_id,patient_id,subject\nKESTREL,KESTREL,1\n",
        b"patient_id,subject\nKESTREL,01,more\n",
        b"patient_id,subject\nKESTREL\xff,01\n",
        b'patient_id,subject\n"KESTREL,01\n',
    ],
)
def test_what_is_no_such_table_is_refused_without_a_word_of_it(data):
    with pytest.raises(BadInput) as caught:
        parse_csv(data)

    assert "KESTREL" not in str(caught.value) + caught.value.fix
    assert "patient_id,subject" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("KES-1,01,,,,\nHER-2,01,,,,\n", "label in line 3 belongs to another"),
        ("KES-1,ab,,,,\nHER-2,AB,,,,\n", "label in line 3 belongs to another"),
        ("KES-1,01,,,,\nkes-1 ,02,,,,\n", "two subject labels, in line 2 and line 3"),
        ("KES-1,0-1,,,,\n", "line 2 has a subject that is not"),
        ("KES-1,,,,,\n", "line 2 has a subject that is not"),
        ("KES-1,KES1,,,,\n", "line 2 has a subject that repeats"),
        (",01,,,,\n", "line 2 has no patient_id"),
        ("KES-1,01,b-1,1.2.3,,\n", "line 2 has a session that is not"),
        ("KES-1,01,base,,,\n", "line 2 names a session without its study"),
        ("KES-1,01,,1.2.3,,\n", "line 2 names a session without its study"),
        ("KES-1,01,b,,,2026-01-02\n", "line 2 has a study_date"),
        ("KES-1,01,a,1.2,,\nKES-1,01,b,1.2,,\n", "session in line 3 clashes"),
        ("KES-1,01,a,1.2,,\nKES-1,01,A,1.3,,\n", "session in line 3 clashes"),
    ],
)
def test_a_table_that_cannot_hold_together_is_refused_by_line(text, told):
    with pytest.raises(BadInput, match=told) as caught:
        check(text)

    message = str(caught.value) + caught.value.fix
    assert "KES-1" not in message
    assert "HER-2" not in message


def test_a_subject_with_sessions_keeps_its_label_and_the_fix_says_how_to_change_it():
    subjects = {subject_label(SECRET, "KES-1"): "old"}

    with pytest.raises(BadInput, match="under the subject label old") as caught:
        check("KES-1,new,,,,\n", subjects)

    assert "relabel" in caught.value.fix
    assert check("KES-1,old,,,,\n", subjects)


def test_the_label_of_a_patient_with_sessions_is_given_to_nobody_else():
    subjects = {subject_label(SECRET, "KES-1"): "01"}

    with pytest.raises(BadInput, match="line 2 belongs to another patient"):
        check("HER-2,01,,,,\n", subjects)


def test_new_rows_of_a_patient_replace_the_old_ones_and_others_stay():
    table = [MappingRow("KES-1", "01"), MappingRow("HER-2", "02")]
    rows = [("line 2", MappingRow("kes-1", "09"))]

    assert merge_rows(table, rows) == [
        ("the table", MappingRow("HER-2", "02")),
        ("line 2", MappingRow("kes-1", "09")),
    ]


rows_of_any_kind = st.lists(
    st.builds(MappingRow, *[st.text(max_size=20)] * 6), max_size=5
)


@given(rows=rows_of_any_kind)
def test_a_sealed_table_opens_to_the_same_rows(rows):
    sealed = seal_table(rows, secret=SECRET, study="one", nonce=NONCE)

    assert open_table(sealed, secret=SECRET, study="one") == tuple(rows)


def test_a_sealed_table_shows_nothing_of_its_rows():
    rows = [MappingRow("KESTREL-1", "01", "base", "1.2.3.4")]

    sealed = seal_table(rows, secret=SECRET, study="one", nonce=NONCE)

    for word in (b"KESTREL", b"1.2.3.4", b"base"):
        assert word not in sealed


@given(place=st.floats(0, 1, exclude_max=True), other=st.integers(1, 255))
def test_a_table_with_any_changed_byte_does_not_open(place, other):
    rows = [MappingRow("KESTREL-1", "01")]
    sealed = bytearray(seal_table(rows, secret=SECRET, study="one", nonce=NONCE))
    sealed[int(place * len(sealed))] ^= other

    with pytest.raises(MissingKey):
        open_table(bytes(sealed), secret=SECRET, study="one")


@pytest.mark.parametrize(
    ("secret", "study", "cut"),
    [(OTHER_SECRET, "one", 0), (SECRET, "two", 0), (SECRET, "one", 40)],
)
def test_a_table_opens_only_whole_with_its_key_for_its_study(secret, study, cut):
    sealed = seal_table([], secret=SECRET, study="one", nonce=NONCE)

    with pytest.raises(MissingKey, match="does not open") as caught:
        open_table(sealed[cut:], secret=secret, study=study)

    assert "backup" in caught.value.fix
