from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.planning.versions import explain_version

CASES = [
    (("code",), "1", "2", "code", "code changed: 1 to 2"),
    (
        ("code", "parameter quality"),
        "1.aa",
        "1.bb",
        "parameter",
        "settings changed: quality in the study file, aa to bb",
    ),
    (
        ("code", "code", "tool dcm2niix"),
        "3.f.v1.0.2",
        "3.f.v1.0.3",
        "tool",
        "tool changed: dcm2niix v1.0.2 to v1.0.3",
    ),
    (
        ("code", "notebook"),
        "1.aa",
        "1.bb",
        "notebook",
        "template notebook changed: aa to bb",
    ),
]
words = st.text("abc123", min_size=1, max_size=4)


@pytest.mark.parametrize(("parts", "before", "after", "kind", "sentence"), CASES)
def test_the_reason_names_the_part_that_changed(parts, before, after, kind, sentence):
    (reason,) = explain_version(parts, before, after)

    assert (reason.kind, reason.sentence) == (kind, sentence)


def test_a_version_of_another_form_is_other_code():
    (reason,) = explain_version(("code", "notebook"), "import", "1.aa")

    assert (reason.kind, reason.before, reason.after) == ("code", "import", "1.aa")


@given(st.lists(st.tuples(words, words), min_size=1, max_size=4))
def test_exactly_the_parts_that_differ_are_named(pairs):
    parts = tuple(f"tool t{number}" for number in range(len(pairs)))
    before, after = (".".join(each) for each in zip(*pairs, strict=True))

    reasons = explain_version(parts, before, after)

    assert [(r.before, r.after) for r in reasons] == [p for p in pairs if p[0] != p[1]]
