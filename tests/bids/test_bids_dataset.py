"""Files at the top of a dataset, its validation and its index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imaging_platform.bids.dataset import (
    DatasetFacts,
    Release,
    write_dataset_files,
    write_derivative_description,
)
from imaging_platform.bids.layout_index import build_index, load_layout
from imaging_platform.bids.session import convert_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.validation import validate_derivative
from imaging_platform.files.digests import digest_tree
from imaging_platform.model.errors import BadInput, MissingInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.tools.validator import validate_dataset

MEMBERS = [SessionKey("02", "1"), SessionKey("01", "2"), SessionKey("01", "1")]
SETTINGS = BidsSettings(authors=("A. Person", "B. Person"), license="CC0")
FACTS = DatasetFacts(
    versions={"imaging_platform": "0.1.0"},
    participants={"01": {"sex": "F", "age": "31"}},
    releases=(Release("1.0.0", "2030-01-01", ("First release.",)),),
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

    layout = load_layout(dataset, tmp_path / "index")

    assert layout.get_subjects() == ["01", "02"]
    assert len(layout.get(suffix="bold", extension=".nii.gz")) == 6


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
