"""Invariants of the pixel gate over all that it can know of a file."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.deid import policy
from imaging_platform.deid.gate import (
    IMAGE_KINDS,
    GateFacts,
    judge,
    mask_for,
    may_be_released,
    needs_mask,
)
from imaging_platform.deid.mask_recipes import MaskRecipe, check_numbers
from imaging_platform.deid.settings import DeidSettings

IMAGES = sorted(set(IMAGE_KINDS.values()))
WRITTEN_ON = ["secondary capture", "ultrasound", "X-ray image", "photograph"]
NO_IMAGES = [
    "structured report",
    "presentation state",
    "encapsulated document",
    "segmentation",
    "raw data",
    "spectroscopy",
    "waveform",
    "radiotherapy object",
    "parametric map",
    "private kind of object",
    "another kind of object",
]
MASK = MaskRecipe.model_validate(
    {
        "name": "banner",
        "match": {"modality": "US", "rows": 4, "columns": 6},
        "regions": [{"left": 0, "top": 0, "width": 6, "height": 1}],
        "reason": "Looked at ten images.",
    }
)
MASKED = DeidSettings(masks=(MASK,))
PLAIN = DeidSettings()
MARKS = check_numbers(MASK.match.conditions())

facts = st.builds(
    GateFacts,
    kind=st.sampled_from([*IMAGES, *WRITTEN_ON, *NO_IMAGES]),
    burned_in=st.sampled_from(["", "NO", "YES"]),
    is_converted=st.booleans(),
    is_screen=st.booleans(),
    is_misfit=st.booleans(),
    is_colour=st.booleans(),
    has_spare_bits=st.booleans(),
    is_known_syntax=st.booleans(),
    is_encapsulated=st.booleans(),
    marks=st.sampled_from([(), MARKS, MARKS[:-1]]),
)


@given(facts=facts, is_released=st.booleans())
def test_no_image_passes_by_a_mask_or_a_person(facts, is_released):
    if facts.kind in NO_IMAGES:
        assert judge(facts, MASKED, is_released=is_released)


@given(facts=facts, is_released=st.booleans())
def test_what_cannot_be_read_or_holds_an_overlay_passes_by_nothing(facts, is_released):
    if facts.has_spare_bits or not facts.is_known_syntax:
        assert judge(facts, MASKED, is_released=is_released)


@given(facts=facts)
def test_a_mask_lets_pass_only_what_it_is_for_and_can_reach(facts):
    if judge(facts, PLAIN) and not judge(facts, MASKED):
        assert mask_for(facts, MASKED) == MASK
        assert not facts.is_encapsulated


@given(facts=facts)
def test_what_a_mask_is_for_passes_masked_or_not_at_all(facts):
    if mask_for(facts, MASKED) and facts.is_encapsulated:
        assert judge(facts, MASKED)


@given(facts=facts)
def test_what_passes_is_masked_whenever_a_recipe_is_for_it(facts):
    passes = not judge(facts, MASKED)

    assert needs_mask(facts, MASKED) == (passes and facts.marks == MARKS)


@given(facts=facts)
def test_a_person_lets_pass_what_is_said_to_be_releasable_and_nothing_more(facts):
    passes = not judge(facts, PLAIN, is_released=True)
    can_be_read = facts.is_known_syntax and not facts.has_spare_bits

    assert passes == (may_be_released(facts, PLAIN) and can_be_read)


@given(facts=facts)
def test_a_doubt_more_never_opens_the_gate(facts):
    if judge(facts, PLAIN):
        for doubt in ("is_converted", "is_screen", "is_misfit"):
            assert judge(dataclasses.replace(facts, **{doubt: True}), PLAIN)


@given(facts=facts)
def test_facts_are_the_same_after_json(facts):
    assert GateFacts.from_dict(facts.as_dict()) == facts


@pytest.mark.parametrize(
    ("kind", "code"),
    [("structured report", "113104"), ("presentation state", "113103")],
)
def test_a_person_lets_an_object_pass_whose_content_an_option_cleans(
    monkeypatch, kind, code
):
    facts = GateFacts(kind=kind)
    before = judge(facts, PLAIN, is_released=True)

    monkeypatch.setattr(policy, "deid_codes", lambda settings: ((code, "cleaned"),))

    assert before == f"{kind} is not released"
    assert judge(facts, PLAIN) == before
    assert judge(facts, PLAIN, is_released=True) == ""
