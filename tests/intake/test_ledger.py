"""Which study is which session: given once, kept for ever."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from imaging_platform.deid.labels import LabelPattern, Labels, LabelSettings
from imaging_platform.deid.mapping import MappingRow
from imaging_platform.deid.pseudonyms import subject_label
from imaging_platform.files.digests import digest_bytes
from imaging_platform.intake.assignment import StudyOfPatient
from imaging_platform.intake.drop import index_drop
from imaging_platform.intake.ledger import (
    place_studies,
    read_ledger,
    subjects_of_patients,
)
from imaging_platform.intake.zone import ledger_path, waiting_drops
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import LabelProblem, WantedLabels
from tests.intake.drops import Site, mr_bytes

KEY = bytes(range(32))


def study(
    patient: str, uid: str, subject: str = "", session: str = "", started: str = ""
) -> StudyOfPatient:
    labels = WantedLabels(patient, subject or patient, bool(subject), session)
    return StudyOfPatient(labels, started, uid)


def place(zone: Path, *studies: StudyOfPatient) -> list[str]:
    placed = place_studies(zone, studies)
    return [str(placed[each.identity]) for each in studies]


def take_in(site: Site, name: str, data: bytes, labels: Labels) -> dict[str, int]:
    drop_id = site.send(name, {f"{name}.dcm": data})
    report = index_drop(
        [site.inbox / name],
        drop_id=drop_id,
        zone=site.zone,
        label_study=labels.of_study,
        limits=site.settings,
    )
    return {
        **{session.session_key: session.n_instances for session in report.sessions},
        **report.reasons,
    }


def place_many(zone: Path, patient: str) -> None:
    for number in range(20):
        place(zone, study(patient, f"1.{number}"), study("shared", f"2.{number}"))


def test_a_session_label_of_the_site_is_written_down_and_stays(tmp_path):
    assert place(tmp_path, study("P", "1", "01", "base")) == ["sub-01_ses-base"]

    assert place(tmp_path, study("P", "1", "02", "other")) == ["sub-01_ses-base"]
    assert place(tmp_path, study("P", "1")) == ["sub-01_ses-base"]


def test_a_known_study_keeps_its_key_also_when_its_labels_have_become_a_problem(
    tmp_path,
):
    place(tmp_path, study("P", "1"))
    labels = WantedLabels("P", "x", problem=LabelProblem.BAD_SUBJECT)

    placed = place_studies(tmp_path, [StudyOfPatient(labels, "", "1")])

    assert list(placed.values()) == [SessionKey("P", "1")]


def test_a_patient_with_sessions_stays_under_one_label(tmp_path):
    place(tmp_path, study("P", "1", "01"))

    assert place(tmp_path, study("P", "2", "02")) == [LabelProblem.SUBJECT_CHANGED]
    assert place(tmp_path, study("P", "3")) == ["sub-01_ses-2"]


def test_two_patients_never_share_a_label_whatever_its_case(tmp_path):
    assert place(tmp_path, study("P", "1", "ab"), study("Q", "2", "AB")) == [
        LabelProblem.SUBJECT_TAKEN,
        "sub-AB_ses-1",
    ]
    assert place(tmp_path, study("R", "3", "aB")) == [LabelProblem.SUBJECT_TAKEN]
    assert len(read_ledger(tmp_path)) == 1


def test_two_studies_never_share_a_session_label(tmp_path):
    place(tmp_path, study("P", "1", session="base"))

    assert place(tmp_path, study("P", "2", session="BASE")) == [
        LabelProblem.SESSION_TAKEN
    ]
    assert place(tmp_path, study("P", "3"), study("P", "4", session="1")) == [
        "sub-P_ses-2",
        "sub-P_ses-1",
    ]


def test_numbers_count_on_from_the_highest_that_there_is(tmp_path):
    place(tmp_path, study("P", "1", session="07"), study("P", "2", session="mid"))

    assert place(tmp_path, study("P", "3")) == ["sub-P_ses-8"]


def test_a_ledger_of_the_first_version_is_read(tmp_path):
    line = {"session": "sub-P_ses-1", "study": digest_bytes(b"1")}
    ledger_path(tmp_path).write_text(json.dumps(line) + "\n")

    assert place(tmp_path, study("P", "1"), study("P", "2")) == [
        "sub-P_ses-1",
        "sub-P_ses-2",
    ]


def test_a_study_that_is_held_leaves_no_line(tmp_path):
    labels = WantedLabels("P", "P", problem=LabelProblem.BAD_SESSION)

    place_studies(tmp_path, [StudyOfPatient(labels, "", "1")])

    assert not ledger_path(tmp_path).exists()


def test_two_processes_at_once_give_no_label_twice(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=place_many, args=(tmp_path, name)) for name in "AB"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    lines = ledger_path(tmp_path).read_text().splitlines()
    keys = [json.loads(line)["session"] for line in lines]
    assert len(keys) == len(set(keys)) == 60


def test_a_session_keeps_its_key_when_the_table_changes_later(site: Site):
    first = Labels(KEY, table=[MappingRow("Ann^1", "01", "base", "1.2.3.1")])
    later = Labels(KEY, table=[MappingRow("Ann^1", "77", "late", "1.2.3.1")])

    before = take_in(site, "one", mr_bytes(), first)
    after = take_in(site, "two", mr_bytes(instance=2), later)
    new_visit = take_in(site, "three", mr_bytes(study=2), later)

    assert before == {"sub-01_ses-base": 1}
    assert after == {"sub-01_ses-base": 2}
    assert new_visit == {LabelProblem.SUBJECT_CHANGED: 1}


def test_a_patient_who_leaves_the_table_keeps_the_label_for_new_sessions(site: Site):
    take_in(site, "one", mr_bytes(), Labels(KEY, table=[MappingRow("Ann^1", "01")]))

    after = take_in(site, "two", mr_bytes(study=2), Labels(KEY))

    assert after == {"sub-01_ses-2": 1}
    assert subjects_of_patients(site.zone) == {subject_label(KEY, "Ann^1"): "01"}


def test_files_that_waited_are_placed_when_the_table_solves_the_problem(site: Site):
    pattern = LabelPattern(field="StudyDescription", pattern="^(?P<label>.*)$")
    held = take_in(site, "one", mr_bytes(), Labels(KEY, LabelSettings(subject=pattern)))

    held_drops = waiting_drops(site.zone)
    solved = Labels(KEY, table=[MappingRow("Ann^1", "01")])
    (drop,) = site.zone.glob("drops/*")
    report = index_drop(
        [],
        drop_id=drop.name,
        zone=site.zone,
        label_study=solved.of_study,
        limits=site.settings,
    )

    assert held == {LabelProblem.BAD_SUBJECT: 1}
    assert [s.session_key for s in report.sessions] == ["sub-01_ses-1"]
    assert report.n_waiting == 0
    assert list(held_drops) == [drop.name]
    assert waiting_drops(site.zone) == {}


@pytest.mark.parametrize("patient_id", ["", "  ", "^", "--", "\t"])
def test_files_whose_patient_id_tells_nothing_are_held(site: Site, patient_id):
    labels = Labels(KEY)

    assert take_in(site, "one", mr_bytes(patient_id=patient_id), labels) == {
        "no patient id": 1
    }
    assert not ledger_path(site.zone).exists()
