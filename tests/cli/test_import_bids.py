"""A dataset that is there becomes sessions: whole, clean, and only once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import nibabel
import numpy as np
import pytest
from click.testing import CliRunner, Result

from imaging_platform.assets.intake import list_imported
from imaging_platform.assets.scope import Scope
from imaging_platform.cli.import_bids import move_moment
from imaging_platform.cli.main import cli
from imaging_platform.cli.studies import create_study
from imaging_platform.files.digests import digest_tree
from imaging_platform.intake.assignment import StudyOfPatient
from imaging_platform.intake.ledger import place_studies
from imaging_platform.model import layout
from imaging_platform.model.errors import BadConfig, BadInput, MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import LabelProblem, WantedLabels
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.processing.outstanding import (
    find_cohort_orders,
    find_session_orders,
)
from imaging_platform.provenance.record import Record
from imaging_platform.resources.database import find_database
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.settings import load_study
from imaging_platform.storage.local import LocalStore
from imaging_platform.survey.history import read_made
from tests.bids.existing_dataset import make_dataset, write_image, write_json

pytestmark = pytest.mark.slow

KEYS = ["sub-01_ses-1", "sub-01_ses-2", "sub-K1_ses-1"]


class Lab:
    """A home with an empty study, and a dataset beside it."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        create_study(self.home, "demo")
        self.dataset = make_dataset(folder / "lab")
        self.labels = folder / "labels.tsv"
        self.done: dict[str, object] = {}
        self.labels.write_text("participant_id\tlabel\nsub-01\t01\nKestrel\tK1\n")

    def run(self, *options: str) -> Result:
        words = ["import-bids", "demo", str(self.dataset), "--map", str(self.labels)]
        return CliRunner().invoke(
            cli, [*words, *options], standalone_mode=False, catch_exceptions=True
        )

    def import_all(self, *options: str) -> dict[str, object]:
        done = self.run("--json", *options)
        if done.exception:
            raise done.exception
        return json.loads(done.stdout)

    @property
    def root(self) -> Path:
        return self.home.root / layout.bids_dataset("demo")

    def outstanding(self) -> dict[str, list[str]]:
        study = load_study(self.home, "demo")
        outline = outline_study(study, self.home.notebooks("demo"))
        zone = IdentifiedZone(home=str(self.home.root))
        with dg.DagsterInstance.get() as instance:
            orders = find_session_orders(
                outline, instance, zone, LocalStore(self.home.root)
            )
            orders += find_cohort_orders(outline, instance, LocalStore(self.home.root))
        return {order.name: list(order.reasons) for order in orders}


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    lab = Lab(tmp_path)
    monkeypatch.setenv("IMAGING_HOME", str(lab.home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(lab.home.dagster))
    return lab


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Iterator[Lab]:
    """A lab after its import, for tests that only look."""
    lab = Lab(tmp_path_factory.mktemp("imported"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("IMAGING_HOME", str(lab.home.root))
        patched.setenv("DAGSTER_HOME", str(lab.home.dagster))
        lab.done = lab.import_all()
        yield lab


def test_every_session_comes_in_valid_and_the_same_again_changes_nothing(lab):
    first = lab.import_all()
    before = digest_tree(lab.root)

    second = lab.import_all()

    assert first["sessions"] == dict.fromkeys(KEYS, "new")
    assert second["sessions"] == dict.fromkeys(KEYS, "unchanged")
    assert digest_tree(lab.root) == before


def test_nothing_that_names_a_person_comes_in(imported):
    for path in imported.root.rglob("*"):
        if path.is_file() and ".staging" not in path.parts:
            name = path.relative_to(imported.root).as_posix()
            assert "kestrel" not in name.lower()
            data = path.read_bytes()
            if path.suffix == ".gz":
                data = gzip.decompress(data)
            assert b"kestrel" not in data.lower(), name
            assert b"Ann" not in data, name


def test_what_is_left_out_is_listed_with_its_reason(imported):
    done = imported.done

    left_out = done["left_out"]
    assert left_out["sub-01/ses-1/notes about Ann.txt"] == "no BIDS name"
    assert left_out["README"] == "written anew for the whole dataset"
    assert done["keys_left_out"]["PatientName"] == 3
    assert done["keys_left_out"]["ProtocolName"] == 3
    columns = [k for k in left_out if k.startswith("sub-01_ses-1: func/")]
    assert len(columns) == 1
    assert "1 column(s)" in columns[0]


def test_images_keep_voxels_and_sidecars_inherit_from_the_top(imported):
    bold = imported.root / "sub-K1/ses-1/func/sub-K1_ses-1_task-rest_bold.nii.gz"
    original = imported.dataset / "sub-Kestrel/func/sub-Kestrel_task-rest_bold.nii.gz"
    sidecar = json.loads(bold.with_name(bold.name[:-7] + ".json").read_text())

    assert (
        np.asarray(nibabel.load(bold).dataobj)
        == np.asarray(nibabel.load(original).dataobj)
    ).all()
    assert sidecar == {
        "B0FieldSource": "field1_subK1_ses1",
        "EchoTime": 0.03,
        "Manufacturer": "Siemens",
        "RepetitionTime": 2.0,
        "SeriesDescription": "bold rest",
        "TaskName": "rest",
    }


def test_fieldmaps_point_to_the_new_names_of_what_is_there(imported):
    fieldmap = imported.root / "sub-K1/ses-1/fmap/sub-K1_ses-1_dir-AP_epi.json"
    sidecar = json.loads(fieldmap.read_text())

    assert sidecar["IntendedFor"] == [
        "bids::sub-K1/ses-1/func/sub-K1_ses-1_task-rest_bold.nii.gz"
    ]
    assert sidecar["B0FieldIdentifier"] == "field1_subK1_ses1"


def test_dates_of_a_subject_move_by_one_number_of_days(imported):
    days = set()
    for key in KEYS[:2]:
        session = SessionKey.parse(key)
        tree = imported.root / f"sub-{session.subject}/ses-{session.session}"
        lines = (tree / f"{key}_scans.tsv").read_text().splitlines()
        moved = dict(line.split("\t") for line in lines[1:])
        assert moved[f"fmap/{key}_dir-AP_epi.nii.gz"] == "n/a"
        day, time = moved[f"func/{key}_task-rest_bold.nii.gz"].split("T")
        days.add(day)
        assert time == "10:10:00.5"
    assert len(days) == 1
    assert int(days.pop()[:4]) <= 1925


@pytest.mark.parametrize(
    ("moment", "dates", "moved"),
    [
        ("2020-03-01T12:00:00", "full", "2020-03-01T12:00:00"),
        ("2020-03-01T12:00:00", "remove", ""),
        ("n/a", "modified", ""),
        ("1 March 2020", "modified", ""),
        ("2020-02-30T12:00:00", "modified", ""),
    ],
)
def test_a_moment_follows_the_policy_or_goes(moment, dates, moved):
    assert move_moment(moment, dates, -1) == moved


def test_participants_come_from_the_dataset(imported):
    from imaging_platform.bids.dataset import rebuilding, write_dataset_files
    from imaging_platform.bids.settings import BidsSettings

    with rebuilding(imported.root) as members:
        write_dataset_files(
            imported.root, name="x", settings=BidsSettings(), members=members
        )

    assert (imported.root / "participants.tsv").read_text().splitlines() == [
        "participant_id\tage\tsex",
        "sub-01\t31\tF",
        "sub-K1\t89+\tM",
    ]


def test_the_planner_misses_nothing_before_an_imported_session(imported):
    orders = imported.outstanding()

    assert sorted(orders) == [*KEYS, "whole study"]
    for key in KEYS:
        assert not {"raw_session", "anonymized_dicom", "bids_session"} & set(
            orders[key]
        )
        assert "brain_mask" in orders[key]
    assert "bids_dataset" in orders["whole study"]


def test_a_changed_session_is_imported_again_and_no_other(lab):
    lab.import_all()
    anat = lab.dataset / "sub-01/ses-2/anat/sub-01_ses-2_T1w.json"
    write_json(anat, {"EchoTime": 0.004})

    done = lab.import_all()

    assert done["sessions"] == {
        KEYS[0]: "unchanged",
        KEYS[1]: "changed",
        KEYS[2]: "unchanged",
    }


def test_a_kill_before_dagster_was_told_is_mended_by_the_next_import(lab, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(
            "imaging_platform.processing.imports.tell_made",
            lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        assert lab.run().exception is not None

    lab.import_all()

    with dg.DagsterInstance.get() as instance:
        scope = Scope(load_study(lab.home, "demo"))
        made = read_made(find_database(instance), scope.name, "bids_session")
    assert sorted(made) == KEYS


def test_an_image_without_sidecar_needs_its_metadata(lab, tmp_path):
    write_image(lab.dataset / "sub-01/ses-1/anat/sub-01_ses-1_acq-bare_T2w.nii.gz")
    without = lab.import_all()
    given = tmp_path / "given.yaml"
    given.write_text("acq-bare_T2w: {EchoTime: 0.1}\n")

    with_it = lab.import_all("--metadata", str(given))

    place = "sub-01_ses-1: anat/sub-01_ses-1_acq-bare_T2w.nii.gz"
    assert "no metadata was given" in without["left_out"][place]
    assert with_it["sessions"][KEYS[0]] == "changed"
    made = lab.root / "sub-01/ses-1/anat/sub-01_ses-1_acq-bare_T2w.json"
    assert json.loads(made.read_text()) == {"EchoTime": 0.1}


def test_an_invalid_session_is_named_and_the_others_come_in(lab):
    write_image(
        lab.dataset / "sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.nii.gz",
        volumes=3,
        repetition_s=9.0,
    )

    done = lab.run("--json")

    said = json.loads(done.stdout)
    assert done.return_value == 1
    assert said["failed"] == [KEYS[0]]
    assert "REPETITION_TIME_MISMATCH" in said["sessions"][KEYS[0]]
    assert "--metadata" in said["sessions"][KEYS[0]]
    assert not (lab.root / "sub-01/ses-1").exists()
    assert said["sessions"][KEYS[2]] == "new"


def test_a_session_made_from_dicom_is_never_replaced(lab):
    store, key = LocalStore(lab.home.root), SessionKey("01", "1")
    place = layout.bids_session("demo", key)
    with store.stage(place) as tree:
        store.publish(tree, place, Record("bids_session", str(key), "1"))

    done = json.loads(lab.run("--json").stdout)

    assert done["failed"] == [str(key)]
    assert "made from DICOM" in done["sessions"][str(key)]
    assert "--map" in done["sessions"][str(key)]


def test_a_folder_that_is_no_dataset_is_refused(lab):
    (lab.dataset / "dataset_description.json").unlink()

    with pytest.raises(MissingInput) as caught:
        lab.import_all()

    assert "top folder" in caught.value.fix


def test_two_subjects_cannot_get_one_label(lab):
    lab.labels.write_text("01\tA\nKestrel\ta\n")

    with pytest.raises(BadInput) as caught:
        lab.import_all()

    assert "second column" in caught.value.fix


def test_a_table_of_labels_with_one_column_is_refused(lab):
    lab.labels.write_text("01\n")

    with pytest.raises(BadConfig) as caught:
        lab.import_all()

    assert "one line a subject" in caught.value.fix


def test_subjects_that_the_table_does_not_name_stay_out(lab):
    lab.labels.write_text("Kestrel\tK1\n")

    done = lab.import_all()

    assert list(done["sessions"]) == ["sub-K1_ses-1"]
    assert (
        "not in the table"
        in done["left_out"]["sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"]
    )


def test_a_link_out_of_the_dataset_is_not_followed(lab, tmp_path):
    write_image(tmp_path / "outside.nii.gz")
    link = lab.dataset / "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz"
    link.symlink_to(tmp_path / "outside.nii.gz")
    broken = lab.dataset / "sub-01/ses-1/anat/sub-01_ses-1_PDw.nii.gz"
    broken.symlink_to("../../.git/annex/gone")

    left_out = lab.import_all()["left_out"]

    assert "out of the dataset" in left_out[link.relative_to(lab.dataset).as_posix()]
    assert "not there" in left_out[broken.relative_to(lab.dataset).as_posix()]


PERSON = {
    "PatientName": "Halloran^Ida",
    "PatientID": "MRN77310",
    "PatientBirthDate": "1961-04-17",
    "InstitutionName": "Lakeside Clinic",
}


def tell_of_the_person(lab: Lab) -> Path:
    """Write who subject 01 is into its sidecar; return the folder of its first run."""
    write_json(lab.dataset / "sub-01/sub-01_task-rest_bold.json", PERSON)
    return lab.dataset / "sub-01/ses-1/func"


def test_what_names_a_person_a_day_or_a_place_is_left_out_and_counted(lab):
    tell_of_the_person(lab)

    done = lab.import_all()

    assert done["sessions"] == dict.fromkeys(KEYS, "new")
    assert {key: done["keys_left_out"][key] for key in PERSON} == {
        "PatientName": 3,
        "PatientID": 2,
        "PatientBirthDate": 2,
        "InstitutionName": 3,
    }
    for path in lab.root.rglob("*.json"):
        text = path.read_text().lower()
        assert not [
            word for word in ("halloran", "77310", "1961", "lakeside") if word in text
        ]


@pytest.mark.parametrize("word", ["Ida Halloran", "MRN77310", "at Lakeside Clinic"])
def test_a_condition_that_repeats_what_a_sidecar_tells_is_refused(lab, word):
    events = tell_of_the_person(lab) / "sub-01_ses-1_task-rest_events.tsv"
    events.write_text(f"onset\tduration\ttrial_type\n0.5\t1\t{word}\n")

    done = lab.import_all()

    said = done["sessions"]["sub-01_ses-1"]
    assert "column trial_type" in said
    assert "Correct the tables" in said
    assert word not in said
    assert done["failed"] == ["sub-01_ses-1"]
    assert not (lab.root / "sub-01/ses-1").exists()


def test_a_label_that_is_the_name_of_the_person_is_refused(lab):
    lab.labels.write_text("01\t01\nKestrel\tHalloran\n")
    sidecar = lab.dataset / "sub-Kestrel/sub-Kestrel_task-rest_bold.json"
    write_json(sidecar, PERSON)

    done = lab.import_all()

    assert done["failed"] == ["sub-Halloran_ses-1"]
    assert "--map" in done["sessions"]["sub-Halloran_ses-1"]


def test_a_number_that_reads_as_a_day_is_left_out(lab):
    sidecar = lab.dataset / "sub-01/ses-1/anat/sub-01_ses-1_T1w.json"
    write_json(sidecar, {"EchoTime": 0.003, "SeriesNumber": 20240229, "FlipAngle": 9})

    done = lab.import_all()

    assert done["keys_left_out"]["SeriesNumber"] == 1


def test_labels_of_a_patient_whose_dicom_came_are_refused_or_named(lab):
    zone = lab.home.zone("identified", "demo")
    place_studies(zone, [StudyOfPatient(WantedLabels("p", "01", True, "2"), "", "1")])
    lab.labels.unlink()
    words = ["import-bids", "demo", str(lab.dataset), "--json"]

    unnamed = CliRunner().invoke(cli, words, standalone_mode=False)
    lab.labels.write_text("01\t01\nKestrel\tK1\n")
    named = lab.import_all()

    said = json.loads(unnamed.stdout)["sessions"]
    assert "Name the subject in --map" in said["sub-01_ses-1"]
    assert "came as DICOM" in said["sub-01_ses-2"]
    assert named["sessions"]["sub-01_ses-1"] == "new"
    assert named["failed"] == ["sub-01_ses-2"]


def test_dicom_cannot_take_the_labels_of_an_import_unseen(lab):
    lab.import_all()
    zone, store = lab.home.zone("identified", "demo"), LocalStore(lab.home.root)
    imported = list_imported("demo", zone, store)

    def place(subject: str, session: str = "") -> SessionKey | LabelProblem:
        labels = WantedLabels(f"patient {subject}{session}", subject, True, session)
        study = StudyOfPatient(labels, "", subject + session)
        return place_studies(zone, [study], imported=imported)[study.identity]

    assert [str(key) for key in imported] == KEYS
    assert place("01") is LabelProblem.SUBJECT_IMPORTED
    assert place("k1") is LabelProblem.SUBJECT_IMPORTED
    assert place("01", "1") is LabelProblem.SESSION_IMPORTED
    assert place("01", "3") == SessionKey("01", "3")
    assert place("02") == SessionKey("02", "1")
