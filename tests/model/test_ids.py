from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey, parse_drop_id, parse_study_name

labels = st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True)


@given(subject=labels, session=labels)
def test_a_session_key_reads_back_as_it_was_written(subject, session):
    key = SessionKey(subject, session)

    assert SessionKey.parse(str(key)) == key


@pytest.mark.parametrize("label", ["", "a b", "ä", "a-b", "../x", "x" * 33, "a\n"])
def test_a_label_holds_only_letters_and_digits(label):
    with pytest.raises(BadInput) as refused:
        SessionKey(label, "1")

    assert "mapping" in refused.value.fix


@pytest.mark.parametrize("text", ["sub-1", "sub-_ses-1", "sub-1_ses-1\n", "x"])
def test_another_text_is_no_session_key(text):
    with pytest.raises(BadInput):
        SessionKey.parse(text)


@pytest.mark.parametrize("text", ["drop-1", "drop-0123456789abcdeg", "../x"])
def test_another_text_is_no_drop(text):
    with pytest.raises(BadInput):
        parse_drop_id(text)


@pytest.mark.parametrize("text", ["", "Upper", "1st", "a-b", "a/b", "a" * 33])
def test_a_study_name_can_be_a_folder_and_an_asset_prefix(text):
    with pytest.raises(BadInput):
        parse_study_name(text)
