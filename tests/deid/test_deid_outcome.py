"""A change of policy concerns a session exactly when its bytes would change."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.deid.additions import KeptElement
from imaging_platform.deid.gate import GateFacts
from imaging_platform.deid.inventory import (
    Inventory,
    merge_inventories,
    take_inventory,
)
from imaging_platform.deid.outcome import describe_change, outcome_digest
from imaging_platform.deid.policy import Policy
from imaging_platform.deid.session import DeidReport, anonymize_session
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.deid.tables import known_creators
from imaging_platform.files.digests import digest_tree
from imaging_platform.model.ids import SessionKey
from tests.deid.originals import SECRET
from tests.deid.sessions import write_kinds

BEFORE = DeidSettings()
LAB = KeptElement(
    element="(0019,SIEMENS MR HEADER,xx0C)", pattern=r"\d{1,3}", reason="b-value"
)
KERNEL = KeptElement(element="FilterType", pattern="WEDGE_[13]", reason="reviewed")
CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "fewer kinds": {"released_kinds": ("MR",)},
    "other kinds": {"released_kinds": ("CT", "PT")},
    "burned in": {"quarantine_burned_in": False},
    "one more characteristic": {
        "characteristics": ("age", "sex", "size", "weight", "ethnic_group")
    },
    "pregnancy": {"characteristics": ("age", "sex", "size", "weight", "pregnancy")},
    "one fewer characteristic": {"characteristics": ("age", "sex", "size")},
    "no descriptors": {"descriptors": "remove"},
    "no private": {"private": "remove"},
    "other range": {"earliest_days": -3000, "latest_days": -2000},
    "full dates": {"dates": "full"},
    "institution": {"institution": "retain"},
    "structured content": {"structured_content": "clean"},
    "remove one": {"remove": ("ConvolutionKernel",)},
    "remove a private one": {"remove": ("(0019,SIEMENS MR HEADER,xx0c)",)},
    "remove what is nowhere": {"remove": ("RescaleType",)},
    "keep by a narrower pattern": {"keep": (LAB,)},
    "keep a value of nobody": {"keep": (KERNEL,)},
}


@dataclasses.dataclass(frozen=True)
class Made:
    """What came out of a session under some options."""

    report: DeidReport
    content: str

    @property
    def inventory(self) -> Inventory:
        return Inventory.from_dict(_through_json(self.report.inventory))

    @property
    def facts(self) -> tuple[GateFacts, ...]:
        return tuple(
            GateFacts.from_dict(_through_json(one)) for one in self.report.gate_facts
        )


def _through_json(values: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(values))


def _make(source: Path, folder: Path, settings: DeidSettings) -> Made:
    folder.mkdir(parents=True)
    report = anonymize_session(
        source, folder, key=SessionKey("AB12", "1"), settings=settings, secret=SECRET
    )
    return Made(report, digest_tree(folder))


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> dict[str, Path]:
    return write_kinds(tmp_path_factory.mktemp("originals"))


@pytest.fixture(scope="module")
def made(originals, tmp_path_factory) -> dict[str, Made]:
    folder = tmp_path_factory.mktemp("before")
    return {k: _make(path, folder / k, BEFORE) for k, path in originals.items()}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_marks_the_sessions_whose_bytes_change_and_no_other(
    change, originals, made, tmp_path
):
    after = DeidSettings(**change)

    marked = {
        kind
        for kind, one in made.items()
        if outcome_digest(one.inventory, BEFORE, one.facts)
        != outcome_digest(one.inventory, after, one.facts)
    }

    changed = {
        kind
        for kind, one in made.items()
        if _make(originals[kind], tmp_path / kind, after).content != one.content
    }
    assert marked == changed


def test_the_matrix_has_changes_that_concern_some_sessions_only(made):
    def marks(change: dict[str, Any]) -> int:
        after = DeidSettings(**change)
        return sum(
            outcome_digest(one.inventory, BEFORE, one.facts)
            != outcome_digest(one.inventory, after, one.facts)
            for one in made.values()
        )

    counts = {name: marks(change) for name, change in CHANGES.items()}

    assert counts["nothing"] == counts["remove what is nowhere"] == 0
    assert {1, 2, 3} <= set(counts.values())


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_session_that_was_made_anew_is_not_marked_again(change, originals, tmp_path):
    after = DeidSettings(**change)
    anew = _make(originals["rich"], tmp_path / "a", after)

    again = _make(originals["rich"], tmp_path / "b", after)

    assert anew == again
    assert outcome_digest(anew.inventory, after, anew.facts) == outcome_digest(
        again.inventory, after, again.facts
    )


@pytest.mark.slow
def test_several_processes_take_the_same_inventory(tmp_path, originals):
    source = tmp_path / "in"
    source.mkdir()
    for kind, folder in originals.items():
        for path in folder.iterdir():
            if kind == "rich":
                (source / f"{kind}{path.name}").write_bytes(path.read_bytes())
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    options: dict[str, Any] = {
        "key": SessionKey("AB12", "1"),
        "settings": BEFORE,
        "secret": SECRET,
    }

    one = anonymize_session(source, tmp_path / "one", jobs=1, **options)
    two = anonymize_session(source, tmp_path / "two", jobs=2, **options)

    assert one.inventory == two.inventory


def test_an_inventory_holds_no_name_of_a_stranger(made):
    told = json.dumps(made["rich"].report.inventory).lower()

    assert made["rich"].inventory.has_strangers
    assert "siemens mr header" in told
    assert "lab sequences" not in told


def test_a_creator_that_the_study_names_is_no_stranger(originals, tmp_path):
    kept = KeptElement(
        element="(0019,LAB SEQUENCES,xx01)", pattern=r"MODE-\d", reason="reviewed"
    )
    settings = DeidSettings(keep=(kept,))

    held = _make(originals["rich"], tmp_path / "out", settings).inventory

    assert (0x0019, 0x01, "LAB SEQUENCES", "LO") in held.private


def test_keeping_an_element_of_a_stranger_marks_every_session_with_strangers(made):
    kept = KeptElement(
        element="(0019,LAB SEQUENCES,xx01)", pattern=r"MODE-\d", reason="reviewed"
    )
    after = DeidSettings(keep=(kept,))

    for one in made.values():
        differs = outcome_digest(one.inventory, BEFORE) != outcome_digest(
            one.inventory, after
        )
        assert differs == one.inventory.has_strangers


def test_a_session_without_files_depends_on_verdicts_alone():
    facts = (GateFacts("secondary capture"),)
    other = DeidSettings(descriptors="remove", dates="full", characteristics=())

    assert outcome_digest(Inventory(), BEFORE, facts) == outcome_digest(
        Inventory(), other, facts
    )


def test_the_order_of_facts_does_not_matter():
    first, second = GateFacts("MR"), GateFacts("CT")

    assert outcome_digest(Inventory(), BEFORE, (first, second)) == outcome_digest(
        Inventory(), BEFORE, (second, first, first)
    )


def test_a_change_is_told_in_words_with_the_first_element(made):
    one = made["rich"]
    after = DeidSettings(remove=("SeriesDescription", "EchoTime"))

    told = describe_change(one.inventory, BEFORE, after, one.facts)

    assert told == "policy: 2 elements are treated differently, first (0008,103e)"


def test_a_changed_verdict_is_told_in_words(made):
    one = made["computed tomography"]
    after = DeidSettings(released_kinds=("MR",))

    told = describe_change(one.inventory, BEFORE, after, one.facts)

    assert told == "policy: 1 kind(s) of files are judged differently"


tags = st.integers(0, 0xFFFFFFFF)
creators = st.one_of(st.sampled_from(sorted(known_creators())), st.text(max_size=12))
names = st.tuples(
    st.integers(0, 0xFFFF), st.integers(0, 255), creators, st.text(max_size=2)
)


@given(public=st.lists(tags), private=st.lists(names))
def test_an_inventory_survives_json_and_tells_only_listed_names(public, private):
    taken = take_inventory(tuple(public), tuple(private), also=frozenset())

    read = Inventory.from_dict(_through_json(taken.as_dict()))

    assert read == taken
    assert {c.strip().lower() for _, _, c, _ in taken.private} <= known_creators()
    assert all(vr.isupper() or vr == "??" for *_, vr in taken.private)


@given(st.lists(st.lists(tags), max_size=4))
def test_merged_inventories_hold_what_one_would(parts):
    taken = [take_inventory(tuple(part), (), also=frozenset()) for part in parts]
    together = tuple(tag for part in parts for tag in part)

    merged = merge_inventories(taken)

    assert merged == take_inventory(together, (), also=frozenset())


def test_a_policy_tells_what_it_was_asked():
    policy = Policy(BEFORE)
    policy.public(0x0008103E)
    policy.private(0x0019, 0x100C, "SIEMENS MR HEADER", "IS")
    policy.private(0x0019, 0x100C, "DOE JANE", "IS")

    held = policy.met()

    assert held.public == (0x0008103E,)
    assert held.private == ((0x0019, 0x0C, "SIEMENS MR HEADER", "IS"),)
    assert held.has_strangers


def test_five_thousand_sessions_are_asked_in_three_seconds(made):
    one = made["rich"]
    stored = [
        json.dumps({"inventory": one.report.inventory, "facts": one.report.gate_facts})
        for _ in range(5000)
    ]
    started_s = time.perf_counter()

    for text in stored:
        read = json.loads(text)
        facts = tuple(map(GateFacts.from_dict, read["facts"]))
        outcome_digest(Inventory.from_dict(read["inventory"]), BEFORE, facts)

    assert time.perf_counter() - started_s < 3
