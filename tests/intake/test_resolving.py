"""What a person decides about files holds, whatever comes and whoever replays it."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging_platform.intake.drop_report import report_drop
from imaging_platform.intake.ledger import read_ledger
from imaging_platform.intake.resolving import (
    DISCARDED,
    Resolution,
    append_resolution,
    read_resolutions,
)
from imaging_platform.intake.selection import (
    carry_out,
    catch_up,
    choose_of_drop,
    choose_of_session,
    choose_waiting,
    mark_conflicts,
    moves_back,
    moves_to,
    narrow,
    refuse_known,
    studies_to,
)
from imaging_platform.intake.session import list_held
from imaging_platform.model.errors import BadConfig, BadInput, MissingInput
from imaging_platform.model.ids import SessionKey
from tests.intake.drops import Site, mr_bytes

ANN, ANN_2 = mr_bytes(), mr_bytes(instance=2)
CHANGED = mr_bytes(note="changed")
KEY = "sub-A_ses-1"


def decide(site: Site, action, moves, studies=()) -> None:
    carry_out(site.zone, Resolution(action, "Ann", "why", "2026-01-01", moves, studies))


def discard(site: Site, chosen) -> None:
    decide(site, "discard", moves_to(chosen, DISCARDED))


def gathered(site: Site, key: str, target: Path) -> set[bytes]:
    site.gather(key, target)
    return {path.read_bytes() for path in target.glob("*.dcm")}


def test_a_discarded_drop_is_in_no_session_and_its_receipt_says_so(site: Site):
    report = site.take_in("one", {"a.dcm": ANN, "b.dcm": ANN_2, "x": b"no"})

    discard(site, choose_of_drop(site.zone, report.drop_id))

    after = report_drop(site.zone, report.drop_id)
    assert after.sessions == ()
    assert after.verdicts["discarded"] == after.n_files == 3
    assert after.reasons == {"discarded by a person": 3}
    assert after.data_version != report.data_version
    assert list_held(site.zone).files == ()
    assert site.stored() >= {ANN, ANN_2}


def test_what_was_discarded_comes_back_as_it_was(site: Site):
    report = site.take_in("one", {"a.dcm": ANN, "b.dcm": ANN_2, "x": b"no"})
    discard(site, choose_of_drop(site.zone, report.drop_id))

    decide(site, "restore", moves_back(site.zone, report.drop_id))

    assert report_drop(site.zone, report.drop_id) == report
    with pytest.raises(BadConfig) as caught:
        moves_back(site.zone, report.drop_id)
    assert "Name the drop" in caught.value.fix


def test_of_two_contents_of_an_image_the_wrong_one_is_discarded(
    site: Site, tmp_path: Path
):
    first = site.take_in("one", {"a.dcm": ANN, "b.dcm": ANN_2})
    site.take_in("two", {"a.dcm": CHANGED})
    marked = mark_conflicts(site.zone, KEY)

    discard(site, narrow(marked, drop_id=first.drop_id, is_conflicting=True))

    assert gathered(site, KEY, tmp_path / "out") == {CHANGED, ANN_2}
    assert list_held(site.zone).sessions == ()


def test_a_discarded_drop_that_arrives_again_stays_out(site: Site):
    report = site.take_in("one", {"a.dcm": ANN})
    discard(site, choose_of_drop(site.zone, report.drop_id))

    again = site.take_in("one", {"a.dcm": ANN})

    assert again.drop_id == report.drop_id
    assert again.sessions == ()
    assert again.verdicts["accepted"] == 0


def test_killed_before_it_was_carried_out_the_next_call_does_it(site: Site):
    report = site.take_in("one", {"a.dcm": ANN})
    moves = moves_to(choose_of_drop(site.zone, report.drop_id), DISCARDED)
    append_resolution(
        site.zone, Resolution("discard", "Ann", "why", "2026-01-01", moves)
    )

    catch_up(site.zone)
    once = report_drop(site.zone, report.drop_id)
    catch_up(site.zone)

    assert once.sessions == ()
    assert report_drop(site.zone, report.drop_id) == once


def move_whole(site: Site, action: str, origin: str, to: str) -> None:
    studies = studies_to(site.zone, SessionKey.parse(origin), SessionKey.parse(to))
    moves = moves_to(choose_of_session(site.zone, origin), to)
    decide(site, action, moves, studies)


def test_two_studies_that_are_one_visit_are_one_session(site: Site, tmp_path: Path):
    other = mr_bytes(study=2)
    site.take_in("one", {"a.dcm": ANN})
    site.take_in("two", {"c.dcm": other})

    move_whole(site, "merge", "sub-A_ses-2", KEY)
    site.take_in("late", {"late one.dcm": mr_bytes(study=2, instance=2)})

    late = mr_bytes(study=2, instance=2)
    assert gathered(site, KEY, tmp_path / "out") == {ANN, other, late}
    with pytest.raises(MissingInput):
        choose_of_session(site.zone, "sub-A_ses-2")


def test_a_session_keeps_its_new_label_and_the_old_one_can_be_another(
    site: Site, tmp_path: Path
):
    site.take_in("one", {"a.dcm": ANN})
    move_whole(site, "relabel", KEY, "sub-B_ses-7")
    site.take_in("late", {"late one.dcm": ANN_2})
    moved = gathered(site, "sub-B_ses-7", tmp_path / "out")

    move_whole(site, "relabel", "sub-B_ses-7", KEY)
    catch_up(site.zone)

    assert moved == {ANN, ANN_2}
    assert set(read_ledger(site.zone).values()) == {SessionKey.parse(KEY)}
    assert gathered(site, KEY, tmp_path / "back") == {ANN, ANN_2}


def test_series_of_a_session_go_to_another(site: Site, tmp_path: Path):
    other = mr_bytes(series=2)
    site.take_in("one", {"a.dcm": ANN, "b.dcm": other})

    chosen = narrow(choose_of_session(site.zone, KEY), series=[2])
    made = (("A", "0" * 64, "sub-A_ses-2"),)
    decide(site, "split", moves_to(chosen, "sub-A_ses-2"), made)

    assert gathered(site, KEY, tmp_path / "one") == {ANN}
    assert gathered(site, "sub-A_ses-2", tmp_path / "two") == {other}


def test_a_label_that_is_taken_is_refused_in_any_case(site: Site):
    site.take_in("one", {"a.dcm": ANN})

    with pytest.raises(BadConfig) as caught:
        refuse_known(site.zone, SessionKey("a", "1"))

    assert "merge" in caught.value.fix


@pytest.mark.parametrize("narrowing", [{"digests": ["0" * 8]}, {"series": [9]}])
def test_what_fits_nothing_changes_nothing(site: Site, narrowing):
    site.take_in("one", {"a.dcm": ANN})

    with pytest.raises(BadConfig) as caught:
        narrow(choose_of_session(site.zone, KEY), **narrowing)

    assert "--dry-run" in caught.value.fix


def test_a_damaged_list_moves_no_file_by_a_guess(site: Site):
    site.take_in("one", {"a.dcm": ANN})
    (site.zone / "resolutions.jsonl").write_text('{"moves": 3}\n')

    with pytest.raises(BadInput) as caught:
        read_resolutions(site.zone)

    assert "backup" in caught.value.fix


def test_files_without_a_patient_are_given_to_a_session(site: Site, tmp_path: Path):
    site.take_in("one", {"a.dcm": ANN})
    nameless = mr_bytes(patient_id="", instance=2)
    drop = site.take_in("two", {"b.dcm": nameless, "x": b"no"})

    chosen = choose_waiting(site.zone, drop.drop_id)
    decide(site, "assign", moves_to(chosen, KEY))
    again = site.index(drop.drop_id)

    assert [held.reason for held in list_held(site.zone).files] == ["not DICOM"]
    assert gathered(site, KEY, tmp_path / "out") == {ANN, nameless}
    assert again.verdicts["accepted"] == 1
    assert again.n_files == 2
    with pytest.raises(MissingInput) as caught:
        choose_waiting(site.zone, drop.drop_id)
    assert "status" in caught.value.fix


def test_what_was_discarded_comes_back_under_the_label_of_now(
    site: Site, tmp_path: Path
):
    site.take_in("one", {"a.dcm": ANN, "b.dcm": mr_bytes(series=2)})
    discard(site, narrow(choose_of_session(site.zone, KEY), series=[2]))
    move_whole(site, "relabel", KEY, "sub-B_ses-7")

    decide(site, "restore", moves_back(site.zone, "sub-B_ses-7"))

    both = {ANN, mr_bytes(series=2)}
    assert gathered(site, "sub-B_ses-7", tmp_path / "out") == both
