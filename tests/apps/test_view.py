"""What an app sees, and what of its outputs is published."""

from __future__ import annotations

import json

import pytest

from imaging_platform.apps.outputs import find_outputs, place_files
from imaging_platform.apps.settings import App
from imaging_platform.apps.view import write_view
from imaging_platform.files.writing import write_text
from imaging_platform.model.errors import BadOutput
from imaging_platform.model.ids import SessionKey
from tests.apps.conftest import KEY, local_app, write_session

OTHER = SessionKey("02", "1")


@pytest.mark.parametrize("is_linked", [True, False])
def test_the_view_is_a_dataset_of_the_sessions_and_no_more(
    is_linked, session, tmp_path
):
    root = tmp_path / "view"

    write_view(
        root, {KEY: session}, study="demo", bids_version="1.11.1", is_linked=is_linked
    )

    files = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    anat = "sub-01/ses-1/anat/sub-01_ses-1_T1w"
    assert files == {
        "README.md",
        "dataset_description.json",
        "participants.tsv",
        f"{anat}.json",
        f"{anat}.nii.gz",
    }
    table = (root / "participants.tsv").read_text()
    assert table == "participant_id\tage\tsex\nsub-01\t34\tF\n"
    source = session / "anat" / "sub-01_ses-1_T1w.json"
    assert source.samefile(root / f"{anat}.json") is is_linked


def test_a_view_of_two_sessions_has_a_row_a_subject(session, tmp_path):
    other = write_session(tmp_path / "other", OTHER)
    (other / ".participant.json").write_text(json.dumps({"sex": "M"}))

    write_view(
        tmp_path / "view",
        {OTHER: other, KEY: session},
        study="demo",
        bids_version="1.11.1",
        is_linked=True,
    )

    table = (tmp_path / "view" / "participants.tsv").read_text()
    assert table == "participant_id\tage\tsex\nsub-01\t34\tF\nsub-02\tn/a\tM\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", "{"),
        ("x.json", ""),
        ("x.tsv", "a\tb\n1\n"),
        ("x.tsv", ""),
        ("x.nii.gz", "no image"),
        ("x.nii", ""),
    ],
)
def test_an_output_that_cannot_be_read_is_no_success(name, text, tmp_path):
    write_text(tmp_path / name, text)

    with pytest.raises(BadOutput, match=f"{name} cannot be read") as raised:
        find_outputs(_app(name), tmp_path, {})

    assert "Read the log" in raised.value.fix


def test_a_link_out_of_the_folder_is_no_output(tmp_path):
    (tmp_path / "x.json").symlink_to("/etc/hostname")

    with pytest.raises(BadOutput, match="no file matches"):
        find_outputs(_app("*.json"), tmp_path, {})


def test_outputs_go_where_the_entry_says(tmp_path):
    out, target = tmp_path / "out", tmp_path / "target"
    for name in ("a.json", "b.json", "sub-01/ses-1/anat/c.json"):
        write_text(out / name, "{}")
    app = local_app(
        outputs=[
            {"glob": "a.json", "as": "tables/"},
            {"glob": "b.json", "as": "b/x.json"},
        ]
    )

    place_files(
        out,
        target,
        own="sub-01/ses-1",
        found=find_outputs(app, out, {}),
        values={},
    )

    files = {p.relative_to(target).as_posix() for p in target.rglob("*.json")}
    assert files == {"tables/a.json", "b/x.json", "anat/c.json"}


def test_two_files_of_one_name_are_refused(tmp_path):
    out = tmp_path / "out"
    for name in ("a/x.json", "b/x.json"):
        write_text(out / name, "{}")
    app = local_app(outputs=[{"glob": "*/x.json", "as": "x.json"}])

    with pytest.raises(BadOutput, match=r"published as x\.json"):
        place_files(
            out,
            tmp_path / "target",
            own="sub-01/ses-1",
            found=find_outputs(app, out, {}),
            values={},
        )


def _app(glob: str) -> App:
    return local_app(outputs=[{"glob": glob}])
