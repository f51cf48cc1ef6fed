"""Files that can be attached: which session they go to, and when they wait."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pydicom
import pytest

from imaging_platform.bids.attachments import name_session
from imaging_platform.intake.arrivals import list_arrivals
from imaging_platform.intake.companions import (
    NO_SESSION,
    UNKNOWN_SESSION,
    gather_companions,
)
from imaging_platform.intake.drop import index_drop
from imaging_platform.intake.drop_report import DropReport
from imaging_platform.intake.session import list_held
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import LabelProblem, WantedLabels
from tests.intake.drops import SECRET, Site, label_study, mr_bytes, write_files

ANN = mr_bytes()
ANN_LATER = mr_bytes(study=3, study_date="20260801")
BOB = mr_bytes(patient_id="Bob^2", study=2)
EVENTS = b"onset\tduration\n1\t2\n"


def take_in(site: Site, name: str, files: dict[str, bytes], label=label_study):
    drop_id = site.send(name, files)
    return index(site, drop_id, label)


def index(site: Site, drop_id: str, label=label_study) -> DropReport:
    arrivals = list_arrivals(site.inbox, secret=SECRET)
    return index_drop(
        [a.path for a in arrivals if a.drop_id == drop_id],
        drop_id=drop_id,
        zone=site.zone,
        label_study=label,
        limits=site.settings,
        name_companion=name_session,
    )


def verdicts(report: DropReport) -> dict[str, int]:
    return {name: count for name, count in report.verdicts.items() if count}


def gathered(site: Site, key: str, target: Path) -> set[str]:
    """Return the names of the files that are gathered for a session."""
    target.mkdir()
    count = gather_companions(SessionKey.parse(key), zone=site.zone, target=target)
    files = [path for path in target.rglob("*") if path.is_file()]
    assert len(files) == count
    return {path.name for path in files}


def test_events_beside_the_images_of_one_session_are_for_it(site, tmp_path):
    report = take_in(site, "Ann", {"a.dcm": ANN, "log/run-1_events.tsv": EVENTS})

    assert verdicts(report) == {"accepted": 1, "attached": 1}
    assert (report.n_waiting, report.reasons) == (0, {})
    assert report.attached_to == ("sub-A_ses-1",)
    assert gathered(site, "sub-A_ses-1", tmp_path / "out") == {"run-1_events.tsv"}


def test_events_beside_two_sessions_wait_unless_their_name_says_which(site, tmp_path):
    report = take_in(
        site,
        "both",
        {
            "a.dcm": ANN,
            "b.dcm": BOB,
            "task-rest_events.tsv": EVENTS,
            "sub-B_task-rest_events.tsv": EVENTS,
        },
    )

    assert verdicts(report) == {"accepted": 2, "attached": 1, "quarantined": 1}
    assert report.reasons == {NO_SESSION: 1}
    assert report.attached_to == ("sub-B_ses-1",)
    assert "`attach`" in list_held(site.zone).files[0].reason
    assert gathered(site, "sub-A_ses-1", tmp_path / "a") == set()


def test_events_alone_are_for_the_known_session_that_they_name(site, tmp_path):
    take_in(site, "Ann", {"a.dcm": ANN})
    before = site.gather("sub-A_ses-1", tmp_path / "before")

    report = take_in(site, "late", {"sub-A/ses-1/task-rest_events.tsv": EVENTS})
    after = site.gather("sub-A_ses-1", tmp_path / "after")

    assert verdicts(report) == {"attached": 1}
    assert [s.members_digest for s in report.sessions] == [after.members_digest]
    assert after.members_digest != before.members_digest
    assert (after.n_instances, after.n_companions) == (1, 1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("task-rest_events.tsv", NO_SESSION),
        ("sub-A_task-rest_events.tsv", NO_SESSION),
        ("sub-A_ses-9_task-rest_events.tsv", UNKNOWN_SESSION),
    ],
)
def test_events_alone_wait_when_no_single_session_is_named(site, name, reason):
    take_in(site, "Ann", {"a.dcm": ANN, "b.dcm": ANN_LATER})

    report = take_in(site, "late", {name: EVENTS})

    assert verdicts(report) == {"quarantined": 1}
    assert report.reasons == {reason: 1}
    assert report.sessions == ()
    assert [(f.reason, f.n_files) for f in list_held(site.zone).files] == [(reason, 1)]


def test_events_that_come_before_their_images_wait_for_them(site, tmp_path):
    early = take_in(site, "early", {"sub-A_ses-1_task-rest_events.tsv": EVENTS})
    waiting = list_held(site.zone).files

    late = take_in(site, "Ann", {"a.dcm": ANN})

    assert (early.sessions, len(waiting)) == ((), 1)
    assert list_held(site.zone).files == ()
    digest = site.gather("sub-A_ses-1", tmp_path / "raw").members_digest
    assert [s.members_digest for s in late.sessions] == [digest]
    names = gathered(site, "sub-A_ses-1", tmp_path / "out")
    assert names == {"sub-A_ses-1_task-rest_events.tsv"}


def test_events_beside_images_that_wait_for_a_label_wait_with_them(site, tmp_path):
    def refuse(_):
        return WantedLabels("A", "A", problem=LabelProblem.SUBJECT_TAKEN)

    files = {"a.dcm": ANN, "task-a_events.tsv": EVENTS, "task-b_events.tsv": EVENTS}
    drop_id = site.send("Ann", files)
    before = index(site, drop_id, refuse)

    after = index(site, drop_id)

    assert verdicts(before) == {"quarantined": 3}
    assert verdicts(after) == {"accepted": 1, "attached": 2}
    assert len(gathered(site, "sub-A_ses-1", tmp_path / "out")) == 2


def test_runs_with_equal_events_keep_one_file_each_and_copies_are_duplicates(
    site, tmp_path
):
    report = take_in(
        site,
        "Ann",
        {
            "a.dcm": ANN,
            "run-1_events.tsv": EVENTS,
            "run-2_events.tsv": EVENTS,
            "copy/run-2_events.tsv": EVENTS,
        },
    )

    assert verdicts(report) == {"accepted": 1, "attached": 2, "duplicate": 1}


def test_the_same_drop_again_changes_no_session(site, tmp_path):
    files = {"a.dcm": ANN, "run-1_events.tsv": EVENTS}
    first = take_in(site, "Ann", files)

    second = take_in(site, "Ann", files)

    assert second.verdicts["duplicate"] == 2
    assert second.data_version == first.data_version
    assert second.sessions == first.sessions


def test_other_files_are_no_attachments(site):
    report = take_in(site, "Ann", {"a.dcm": ANN, "answers.tsv": EVENTS, "x.txt": b"?"})

    assert report.reasons == {"not DICOM": 2}


def test_a_recording_in_dicom_is_for_the_session_of_its_header(site, tmp_path):
    ds = pydicom.dcmread(io.BytesIO(mr_bytes(instance=9, is_image=False)))
    ds.ImageType = ["ORIGINAL", "PRIMARY", "RAWDATA", "PHYSIO"]
    recording, other = io.BytesIO(), mr_bytes(instance=8, is_image=False)
    pydicom.dcmwrite(recording, ds, enforce_file_format=True)

    take_in(site, "Ann", {"a": ANN, "b": recording.getvalue(), "c": other})

    (name,) = gathered(site, "sub-A_ses-1", tmp_path / "out")
    assert name.endswith(".dcm")
    (path,) = (tmp_path / "out").rglob("*.dcm")
    assert path.read_bytes() == recording.getvalue()


def test_members_of_an_archive_can_be_attached(site, tmp_path):
    write_files(tmp_path / "Ann", {"a.dcm": ANN, "beh/run-1_events.tsv": EVENTS})
    site.inbox.mkdir()
    shutil.make_archive(str(site.inbox / "Ann"), "zip", tmp_path / "Ann")

    report = index(site, site.drop_id_of(site.inbox / "Ann.zip"))

    assert verdicts(report) == {"accepted": 1, "attached": 1}
    assert gathered(site, "sub-A_ses-1", tmp_path / "out") == {"run-1_events.tsv"}
