"""A file is recognised wherever it went, as long as it is what was published."""

from __future__ import annotations

import gzip
import shutil

import pytest

from imaging_platform.model.errors import BadInput, MissingInput
from imaging_platform.provenance.finding import find_result, find_row

from .study import ONE, STUDY, TSNR, TWO, make_study

IMAGE = f"derivatives/demo/temporal_snr/sub-A/ses-1/{TSNR.format(ONE)}.nii.gz"


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path / "home")


def find(study, target):
    return find_result(study.home.root, [STUDY], str(target))


def test_a_path_in_the_home_is_found_with_or_without_the_home(study):
    for target in (IMAGE, study.home.root / IMAGE):
        found = find(study, target)

        assert (found.name, found.partition, found.by) == ("temporal_snr", ONE, "place")
        assert found.files == {f"{TSNR.format(ONE)}.nii.gz"}


def test_a_file_that_was_changed_at_its_place_is_known_as_such(study):
    assert not find(study, IMAGE).is_changed
    (study.home.root / IMAGE).write_bytes(b"another")

    assert find(study, IMAGE).is_changed


def test_a_file_that_a_person_put_into_a_tree_was_made_by_no_result(study):
    by_hand = (study.home.root / IMAGE).with_name("notes.txt")
    by_hand.write_text("nobody made this")

    with pytest.raises(MissingInput):
        find(study, by_hand)


def test_an_empty_file_is_of_no_result(study, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    (study.home.root / "bids" / STUDY / "CHANGES").write_text("")

    with pytest.raises(MissingInput):
        find(study, tmp_path / "empty.txt")


def test_an_original_stands_for_its_session(study):
    found = find(study, f"identified/{STUDY}/sessions/{ONE}/1.dcm")

    assert (found.name, found.partition) == ("raw_session", ONE)
    assert found.files == frozenset()


def test_a_folder_of_a_tree_stands_for_its_files(study):
    found = find(study, IMAGE.rpartition("/")[0])

    assert found.files >= find(study, IMAGE).files


@pytest.mark.parametrize("name", [f"{ONE}_tsnr.nii.gz", "figure3.nii.gz"])
def test_an_image_that_left_the_system_is_found_by_its_content(study, tmp_path, name):
    shutil.copy(study.home.root / IMAGE, tmp_path / name)

    found = find(study, tmp_path / name)

    assert (found.name, found.partition, found.by) == ("temporal_snr", ONE, "content")


def test_an_image_that_was_compressed_again_is_found(study, tmp_path):
    data = (study.home.root / IMAGE).read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(data))
    (tmp_path / "b.nii").write_bytes(data)

    assert find(study, tmp_path / "b.nii").name == "temporal_snr"
    assert find(study, tmp_path / "a.nii.gz").name == "temporal_snr"


def test_a_page_that_left_the_system_is_found_by_its_stamp(study, tmp_path):
    page = study.home.root / f"reports/demo/sessions/{TWO}/report.html"
    text = page.read_text().replace("</html>", "<p>annotated by a reader</p></html>")
    (tmp_path / "page.html").write_text(text)

    found = find(study, tmp_path / "page.html")

    assert (found.name, found.partition, found.by) == ("session_report", TWO, "stamp")
    assert find(study, str(found.stamp)) == found


def test_a_table_of_the_dataset_is_found_by_its_content(study, tmp_path):
    table = study.home.root / "bids" / STUDY / "participants.tsv"
    table.write_text("participant_id\nsub-A\n")
    shutil.copy(table, tmp_path / "people.tsv")

    assert find(study, tmp_path / "people.tsv").name == "bids_dataset"
    assert find(study, table).name == "bids_dataset"


def test_a_changed_file_is_not_taken_for_the_published_one(study, tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"other")

    with pytest.raises(MissingInput) as caught:
        find(study, tmp_path / "a.nii.gz")

    assert "--row" in caught.value.fix


def test_a_file_that_is_not_there_says_what_can_be_asked_for(study):
    with pytest.raises(MissingInput) as caught:
        find(study, "nowhere.png")

    assert "motion[" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            f"session_key\tmetric\tvalue\n{TWO}\ttsnr\t1\n{ONE}\ttsnr\t2",
            "session_quality",
        ),
        (f"session_key\tasset\n{TWO}\tmotion\n{ONE}\tmotion", "motion"),
        (
            "participant_id\tsession_id\tx\nsub-B\tses-1\t1\nsub-A\tses-1\t1",
            "bids_session",
        ),
    ],
)
def test_a_row_of_a_table_leads_to_what_it_speaks_of(study, tmp_path, text, name):
    (tmp_path / "table.tsv").write_text(text)

    found = find_row(study.home.root, [STUDY], tmp_path / "table.tsv", 2)

    assert (found.name, found.partition) == (name, ONE)


@pytest.mark.parametrize("row", [0, 2])
def test_a_row_that_is_not_there_is_refused(study, tmp_path, row):
    (tmp_path / "table.csv").write_text(f"session_key\n{ONE}\n")

    with pytest.raises(BadInput) as caught:
        find_row(study.home.root, [STUDY], tmp_path / "table.csv", row)

    assert "Count from 1" in caught.value.fix


def test_a_row_that_names_no_session_is_refused(study, tmp_path):
    (tmp_path / "table.csv").write_text("age\n12\n")

    with pytest.raises(MissingInput) as caught:
        find_row(study.home.root, [STUDY], tmp_path / "table.csv", 1)

    assert "session_key" in caught.value.fix


def test_a_stamp_of_a_result_that_this_version_does_not_have_is_refused(study):
    with pytest.raises(MissingInput, match="fog_map") as caught:
        find(study, f"imaging-platform:demo/fog_map[{ONE}]@{'0' * 64}")

    assert "version" in caught.value.fix


@pytest.mark.parametrize(
    "path", ["derivatives/demo/fog_map/sub-A/ses-1/x.tsv", "studies/demo/study.yaml"]
)
def test_a_file_of_the_home_that_no_result_holds_is_refused(study, path):
    file = study.home.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("nothing that was published")

    with pytest.raises(MissingInput):
        find(study, file)
