"""The participants table: from fragments, by many processes, without identity."""

from __future__ import annotations

import io
import json
import multiprocessing
import shutil
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.bids.dataset import rebuilding, write_dataset_files
from imaging_platform.bids.participants import (
    COLUMNS,
    FRAGMENT_NAME,
    clean_columns,
    read_participant,
    write_fragment,
)
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.files.digests import digest_tree
from imaging_platform.files.staging import publish_tree, staged_tree
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey
from tests.intake.drops import mr_bytes

SETTINGS = BidsSettings()


def publish(root: Path, key: SessionKey, columns: dict[str, str]) -> None:
    place = root / f"sub-{key.subject}" / f"ses-{key.session}"
    with staged_tree(root, str(key)) as tree:
        write_fragment(tree, columns)
        publish_tree(tree, place)


def rebuild(root: Path) -> None:
    with rebuilding(root) as members:
        write_dataset_files(root, name="x", settings=SETTINGS, members=members)


def publish_and_rebuild(root: Path, number: int, barrier) -> None:
    barrier.wait()
    publish(root, SessionKey(f"{number:02}", "1"), {"age": str(20 + number)})
    rebuild(root)


def write_patient(folder: Path, **elements: str) -> None:
    ds = pydicom.dcmread(io.BytesIO(mr_bytes()))
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    ds.save_as(folder / "image.dcm")


def rows_of(root: Path) -> list[str]:
    return (root / "participants.tsv").read_text().splitlines()


@pytest.mark.parametrize(
    "repeat",
    [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 20))],
)
def test_eight_sessions_side_by_side_are_all_listed(repeat, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(8)
    workers = [
        context.Process(target=publish_and_rebuild, args=(tmp_path, n, barrier))
        for n in range(8)
    ]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0] * 8
    assert rows_of(tmp_path) == [
        "participant_id\tage",
        *(f"sub-{n:02}\t{20 + n}" for n in range(8)),
    ]


def test_the_first_session_tells_the_age(tmp_path):
    publish(tmp_path, SessionKey("01", "2"), {"age": "33", "sex": "F"})
    publish(tmp_path, SessionKey("01", "1"), {"age": "31"})

    rebuild(tmp_path)

    assert rows_of(tmp_path)[1] == "sub-01\t31\tF"
    described = json.loads((tmp_path / "participants.json").read_text())
    assert described["age"] == COLUMNS["age"]


def test_a_session_that_is_removed_leaves_no_row(tmp_path):
    publish(tmp_path, SessionKey("01", "1"), {"age": "31"})
    rebuild(tmp_path)
    before = digest_tree(tmp_path)
    publish(tmp_path, SessionKey("01", "2"), {})
    publish(tmp_path, SessionKey("02", "1"), {"sex": "M"})
    rebuild(tmp_path)

    shutil.rmtree(tmp_path / "sub-01/ses-2")
    shutil.rmtree(tmp_path / "sub-02/ses-1")
    rebuild(tmp_path)

    for lock in tmp_path.glob(".staging/*ses-2.lock"), tmp_path.glob(".staging/*02*"):
        for path in lock:
            path.unlink()
    assert digest_tree(tmp_path) == before


def test_a_fragment_that_cannot_be_read_is_told_with_its_session(tmp_path):
    publish(tmp_path, SessionKey("01", "1"), {})
    (tmp_path / "sub-01/ses-1" / FRAGMENT_NAME).write_text("[")

    with pytest.raises(BadInput, match="sub-01_ses-1") as caught:
        rebuild(tmp_path)

    assert "Materialize bids_session" in caught.value.fix


def test_dicom_gives_what_the_policy_has_kept(tmp_path):
    (tmp_path / "a.txt").write_text("no image")
    write_patient(tmp_path, PatientAge="031Y", PatientSex="F", PatientWeight="70.50")

    found = read_participant(tmp_path)

    assert found == {"age": "31", "sex": "F", "weight": "70.5"}


@pytest.mark.parametrize(
    ("written", "said"),
    [("006M", "0.5"), ("090Y", "89+"), ("089Y", "89+"), ("088Y", "88"), ("000Y", None)],
)
def test_an_age_is_said_in_years_and_capped(written, said, tmp_path):
    write_patient(tmp_path, PatientAge=written)

    assert read_participant(tmp_path).get("age") == said


@given(
    row=st.dictionaries(
        st.sampled_from([*COLUMNS, "name", "birthdate"]),
        st.one_of(
            st.text("0123456789.+ -FMabc\té", max_size=12),
            st.sampled_from(["31", "F", "M", "70.5"]),
        ),
    )
)
def test_only_known_columns_with_possible_values_remain(row):
    cleaned = clean_columns(row)

    assert set(cleaned) <= set(COLUMNS)
    assert clean_columns(cleaned) == cleaned
