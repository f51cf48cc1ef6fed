"""Studies of one scanner within some hours are one visit, however they come."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.files.digests import digest_bytes
from imaging_platform.intake import drop as intake_drop
from imaging_platform.intake.assignment import StudyOfPatient
from imaging_platform.intake.ledger import place_studies, read_ledger
from imaging_platform.intake.resolving import Resolution
from imaging_platform.intake.selection import carry_out, choose_of_session, moves_to
from imaging_platform.intake.settings import IntakeSettings
from imaging_platform.intake.zone import moving_path
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import WantedLabels
from tests.intake.drops import Site, mr_bytes

DAY = "20260102"


@pytest.fixture
def merging(tmp_path: Path) -> Site:
    """A site whose studies within two hours are one visit."""
    settings = IntakeSettings(merge_within_hours=2)
    return Site(tmp_path / "inbox", tmp_path / "zone", settings)


def image(study: int, started: str, **facts: str) -> bytes:
    return mr_bytes(study=study, started=started, **{"device": "S1", **facts})


CHAIN = {1: "080000", 2: "093000", 3: "110000"}
"""The first and the third are three hours apart; the second links them."""


def sessions_of(site: Site) -> dict[str, set[str]]:
    """Return the studies of each session, by the indexes."""
    found: dict[str, set[str]] = {}
    for row in site.rows():
        found.setdefault(row.session_key, set()).add(row.header.study_uid)
    return found


@pytest.mark.usefixtures("in_one_process")
@pytest.mark.parametrize("order", [*itertools.permutations(CHAIN)])
def test_three_chained_studies_are_one_session_in_any_order(
    merging: Site, tmp_path: Path, order: tuple[int, ...]
):
    for study in order:
        merging.take_in(f"d{study}", {f"{study}.dcm": image(study, CHAIN[study])})

    assert sessions_of(merging) == {"sub-A_ses-1": {"1.2.3.1", "1.2.3.2", "1.2.3.3"}}
    assert merging.gather("sub-A_ses-1", tmp_path / "raw").n_instances == 3
    assert list(moving_path(merging.zone).glob("*")) == []


@pytest.mark.usefixtures("in_one_process")
def test_a_study_that_links_two_sessions_says_which_of_them_is_gone(merging: Site):
    merging.take_in("one", {"1.dcm": image(1, CHAIN[1])})
    merging.take_in("three", {"3.dcm": image(3, CHAIN[3])})

    report = merging.take_in("two", {"2.dcm": image(2, CHAIN[2])})

    assert [(s.session_key, s.n_instances) for s in report.sessions] == [
        ("sub-A_ses-1", 3)
    ]
    assert report.gone == ("sub-A_ses-2",)


@pytest.mark.usefixtures("in_one_process")
def test_the_number_of_a_session_that_is_gone_is_not_given_again(merging: Site):
    for study in (1, 3, 2):
        merging.take_in(f"d{study}", {f"{study}.dcm": image(study, CHAIN[study])})

    later = merging.take_in("later", {"4.dcm": image(4, "200000")})

    assert [s.session_key for s in later.sessions] == ["sub-A_ses-3"]


@pytest.mark.usefixtures("in_one_process")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (image(1, "080000"), image(2, "110000")),
        (image(1, "080000"), image(2, "090000", device="S2")),
        (image(1, "080000", device=""), image(2, "090000", device="")),
        (image(1, "080000"), image(2, "090000", patient_id="Bob^2")),
        (image(1, "080000"), image(2, "090000", study_date="20260103")),
        (image(1, ""), image(2, "")),
    ],
    ids=["too late", "another scanner", "no scanner", "other", "next day", "no time"],
)
def test_studies_that_are_not_surely_one_visit_stay_apart(
    merging: Site, first: bytes, second: bytes
):
    merging.take_in("drop", {"a.dcm": first, "b.dcm": second})

    assert len(sessions_of(merging)) == 2


@pytest.mark.usefixtures("in_one_process")
def test_without_the_rule_each_study_is_a_session(site: Site):
    site.take_in("drop", {"a.dcm": image(1, "080000"), "b.dcm": image(2, "080000")})

    assert len(sessions_of(site)) == 2


def studies_at(hours: list[float]) -> list[StudyOfPatient]:
    return [
        StudyOfPatient(
            WantedLabels("P", "P"),
            f"{DAY}{int(hour):02d}{int(hour % 1 * 60):02d}00",
            f"1.{number}",
            frozenset({"scanner"}),
        )
        for number, hour in enumerate(hours)
    ]


def groups(zone: Path) -> set[frozenset[str]]:
    """Return which studies share a session."""
    found: dict[SessionKey, set[str]] = {}
    for (_, study), key in read_ledger(zone).items():
        found.setdefault(key, set()).add(study)
    return set(map(frozenset, found.values()))


@given(
    hours=st.lists(st.floats(0, 23.9), min_size=1, max_size=7),
    names=st.dictionaries(st.integers(0, 6), st.sampled_from("ab"), max_size=2),
    seed=st.integers(0, 9),
)
def test_what_is_one_visit_does_not_depend_on_the_order_of_arrival(
    tmp_path_factory: pytest.TempPathFactory,
    hours: list[float],
    names: dict[int, str],
    seed: int,
):
    studies = studies_at(hours)
    one_each = {label: number for number, label in names.items()}
    for label, number in one_each.items():
        if number < len(studies):
            labels = WantedLabels("P", "P", session=label)
            known = studies[number]
            studies[number] = StudyOfPatient(
                labels, known.started, known.study_uid, known.scanners
            )
    shuffled = list(studies)
    random.Random(seed).shuffle(shuffled)
    zones = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")

    for study in studies:
        place_studies(zones[0], [study], within_hours=2)
    for study in shuffled:
        place_studies(zones[1], [study], within_hours=2)

    assert groups(zones[0]) == groups(zones[1])


def test_studies_whose_sessions_the_site_names_differently_stay_apart(tmp_path: Path):
    first, between, last = studies_at([8, 9, 10.5])
    named = [
        StudyOfPatient(
            WantedLabels("P", "P", session=label), s.started, s.study_uid, s.scanners
        )
        for s, label in ((first, "a"), (last, "b"))
    ]

    placed = place_studies(tmp_path, [between, *named], within_hours=2)

    assert [str(placed[s.identity]) for s in (*named, between)] == [
        "sub-P_ses-a",
        "sub-P_ses-b",
        "sub-P_ses-a",
    ]


@pytest.mark.usefixtures("in_one_process")
def test_a_session_that_a_person_named_keeps_its_studies(merging: Site):
    merging.take_in("three", {"3.dcm": image(3, CHAIN[3])})
    merging.take_in("one", {"1.dcm": image(1, CHAIN[1])})
    moves = moves_to(choose_of_session(merging.zone, "sub-A_ses-2"), "sub-A_ses-mri")
    study = ("A", digest_bytes(b"1.2.3.1"), "sub-A_ses-mri")
    told = Resolution("relabel", "Ann", "why", "2026-01-01", moves, (study,))
    carry_out(merging.zone, told)

    merging.take_in("two", {"2.dcm": image(2, CHAIN[2])})

    assert sessions_of(merging) == {"sub-A_ses-mri": {"1.2.3.1", "1.2.3.2", "1.2.3.3"}}


@pytest.mark.usefixtures("in_one_process")
def test_files_follow_their_study_also_after_a_kill(
    merging: Site, monkeypatch: pytest.MonkeyPatch
):
    merging.take_in("one", {"1.dcm": image(1, CHAIN[1])})
    merging.take_in("three", {"3.dcm": image(3, CHAIN[3])})
    drop_id = merging.send("two", {"2.dcm": image(2, CHAIN[2])})

    def die(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(intake_drop, "follow_moves", die)
        merging.index(drop_id)
    assert len(sessions_of(merging)) == 2
    merging.index(drop_id, names=[])

    assert len(sessions_of(merging)) == 1
    assert merging.left_over() == []
