"""Files at the top of a dataset, its validation and its index."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import imaging_platform
from imaging_platform.bids.dataset import (
    DatasetFacts,
    write_dataset_files,
    write_derivative_description,
)
from imaging_platform.bids.layout_index import DATABASE, build_index, load_layout
from imaging_platform.bids.session import convert_session
from imaging_platform.bids.settings import BidsSettings, ReleaseNote
from imaging_platform.bids.validation import group_issues, validate_derivative
from imaging_platform.cli.studies import create_study
from imaging_platform.files.digests import digest_tree
from imaging_platform.model import layout
from imaging_platform.model.errors import BadInput, MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.provenance.record import Record
from imaging_platform.storage.local import LocalStore
from imaging_platform.tools.validator import Issue, Validation, validate_dataset

MEMBERS = [SessionKey("02", "1"), SessionKey("01", "2"), SessionKey("01", "1")]
SETTINGS = BidsSettings(
    authors=("A. Person", "B. Person"),
    license="CC0",
    releases=(
        ReleaseNote(version="1.0.0", date="2030-01-01", changes=("First release.",)),
    ),
)
FACTS = DatasetFacts(
    versions={"imaging_platform": "0.1.0"},
    participants={"01": {"sex": "F", "age": "31"}},
)


@pytest.fixture(scope="module")
def dataset(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    for key in MEMBERS:
        target = root / f"sub-{key.subject}" / f"ses-{key.session}"
        target.mkdir(parents=True)
        source = shared_data / "dicom/dcm_qa_me/In"
        convert_session(source, target, key=key, settings=SETTINGS)
    write_dataset_files(
        root, name="me", settings=SETTINGS, members=MEMBERS, facts=FACTS
    )
    return root


def make_folders(root: Path) -> None:
    for key in MEMBERS:
        (root / f"sub-{key.subject}" / f"ses-{key.session}").mkdir(parents=True)


def test_a_whole_dataset_is_valid(dataset):
    assert validate_dataset(dataset).errors == ()


def test_participants_and_sessions_are_listed_in_order(dataset):
    participants = (dataset / "participants.tsv").read_text().splitlines()
    sessions = (dataset / "sub-01/sub-01_sessions.tsv").read_text().splitlines()

    assert participants == [
        "participant_id\tage\tsex",
        "sub-01\t31\tF",
        "sub-02\tn/a\tn/a",
    ]
    assert [line.split("\t")[0] for line in sessions] == [
        "session_id",
        "ses-1",
        "ses-2",
    ]
    assert sessions[1].split("\t")[1].startswith("2018-05-02T12:21:20")


def test_the_order_of_members_changes_no_byte(tmp_path):
    for name, members in (("a", MEMBERS), ("b", MEMBERS[::-1])):
        make_folders(tmp_path / name)
        write_dataset_files(
            tmp_path / name, name="x", settings=SETTINGS, members=members, facts=FACTS
        )

    assert digest_tree(tmp_path / "a") == digest_tree(tmp_path / "b")


def test_a_session_without_folder_cannot_be_listed(tmp_path):
    with pytest.raises(MissingInput) as caught:
        write_dataset_files(tmp_path, name="x", settings=SETTINGS, members=MEMBERS)
    assert "Convert the session first" in caught.value.fix


def test_a_tab_in_a_participants_value_is_refused(tmp_path):
    make_folders(tmp_path)
    facts = DatasetFacts(participants={"01": {"group": "a\tb"}})

    with pytest.raises(BadInput, match="tab"):
        write_dataset_files(
            tmp_path, name="x", settings=SETTINGS, members=MEMBERS, facts=facts
        )


def test_the_index_is_built_once_and_answers(dataset, tmp_path):
    build_index(dataset, tmp_path / "index")
    build_index(dataset, tmp_path / "index")

    opened = load_layout(dataset, tmp_path / "index")

    assert opened.get_subjects() == ["01", "02"]
    assert len(opened.get(suffix="bold", extension=".nii.gz")) == 6


def test_a_dataset_that_has_moved_is_opened_where_it_is_now(dataset, tmp_path):
    build_index(dataset, tmp_path / "index")
    before = digest_tree(tmp_path / "index")
    moved = tmp_path / "elsewhere" / "dataset"
    shutil.copytree(dataset, moved)

    opened = load_layout(moved, tmp_path / "index")

    files = opened.get(suffix="bold", extension=".nii.gz", return_type="file")
    assert len(files) == 6
    assert all(Path(file).is_relative_to(moved) for file in files)
    assert opened.get_metadata(files[0]) == load_layout(
        dataset, tmp_path / "index"
    ).get_metadata(files[0].replace(str(moved), str(dataset)))
    assert digest_tree(tmp_path / "index") == before


def test_an_index_that_was_never_built_is_asked_for(dataset, tmp_path):
    with pytest.raises(MissingInput, match="no index"):
        load_layout(dataset, tmp_path / "none")
    with pytest.raises(MissingInput, match="no BIDS dataset"):
        build_index(tmp_path, tmp_path / "index")


def test_a_derivative_session_is_validated_on_its_own(tmp_path):
    import nibabel
    import numpy as np

    key = SessionKey("01", "1")
    tree = tmp_path / "tree"
    (tree / "anat").mkdir(parents=True)
    mask = nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4))
    name = f"{key}_desc-brain_mask"
    mask.to_filename(tree / "anat" / f"{name}.nii.gz")
    (tree / "anat" / f"{name}.json").write_text(json.dumps({"Type": "Brain"}))

    good = validate_derivative(tree, key=key, pipeline="mask", version="1")
    mask.to_filename(tree / "anat" / "nonsense.nii.gz")
    bad = validate_derivative(tree, key=key, pipeline="mask", version="1")

    assert good.errors == ()
    assert not bad.is_valid


def test_a_derivative_says_what_made_it(tmp_path):
    write_derivative_description(
        tmp_path, name="m", pipeline="motion", version="2", bids_version="1.11.1"
    )

    described = json.loads((tmp_path / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"] == [{"Name": "motion", "Version": "2"}]


def test_what_the_validator_says_is_grouped_errors_first():
    said = Validation(
        errors=(Issue("E1", "/b", "m"), Issue("E1", "/a", "m")),
        warnings=(
            Issue("W1", "", "w"),
            *[Issue("W2", f"/{n}", "w") for n in range(30)],
        ),
        files=3,
    )

    groups = group_issues(said)

    assert [(g.severity, g.code, g.count) for g in groups] == [
        ("error", "E1", 2),
        ("warning", "W2", 30),
        ("warning", "W1", 1),
    ]
    assert groups[0].places == ("/a", "/b")
    assert len(groups[1].places) == 20
    assert groups[2].places == ()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a study of one published session and its index."""
    create_study(Home(tmp_path), "demo")
    monkeypatch.setenv("IMAGING_HOME", str(tmp_path))
    store = LocalStore(tmp_path)
    key = SessionKey("01", "1")
    place = layout.bids_session("demo", key)
    with store.stage(place) as tree:
        (tree / "anat").mkdir()
        (tree / "anat" / f"{key}_T1w.nii.gz").write_bytes(b"")
        version = store.publish(tree, place, Record("bids_session", str(key), "1"))
    root = store.path(layout.bids_dataset("demo"))
    write_dataset_files(root, name="x", settings=SETTINGS, members=[key])
    index = layout.dataset_index("demo")
    with store.stage(index) as tree:
        build_index(root, tree / DATABASE)
        inputs = {f"bids_session[{key}]": version}
        store.publish(tree, index, Record("bids_dataset", "", "1", inputs=inputs))
    return tmp_path


def test_a_notebook_opens_the_layout_of_a_study_by_its_name(published):
    opened = imaging_platform.load_layout("demo")

    assert opened.get_subjects() == ["01"]
    assert [f.filename for f in opened.get(suffix="T1w", extension=".nii.gz")] == [
        "sub-01_ses-1_T1w.nii.gz"
    ]


def test_opening_a_layout_changes_no_byte_of_it(published):
    index = published / layout.dataset_index("demo")
    before = digest_tree(index)

    imaging_platform.load_layout("demo").get(suffix="T1w")

    assert digest_tree(index) == before


def test_an_index_older_than_its_sessions_is_refused(published):
    store, key = LocalStore(published), SessionKey("02", "1")
    place = layout.bids_session("demo", key)
    with store.stage(place) as tree:
        store.publish(tree, place, Record("bids_session", str(key), "1"))

    with pytest.raises(MissingInput, match="older than its sessions") as caught:
        imaging_platform.load_layout("demo")

    assert "process --study demo" in caught.value.fix


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, imaging_platform; print('pydantic' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"
