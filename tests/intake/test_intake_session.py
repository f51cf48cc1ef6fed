from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from imaging_platform.files.digests import digest_tree
from imaging_platform.intake.session import (
    HeldFiles,
    HeldSession,
    SeriesOfSession,
    gather_session,
    list_held,
    receipt_summary,
)
from imaging_platform.model.errors import BadInput, Held, MissingInput
from imaging_platform.model.ids import SessionKey
from tests.intake.drops import Site, mr_bytes

ANN = mr_bytes()
ANN_2 = mr_bytes(instance=2)
ANN_SERIES_2 = mr_bytes(series=2)


def test_a_session_is_gathered_from_all_its_drops(site: Site, tmp_path: Path):
    first = site.take_in("one", {"a.dcm": ANN, "b.dcm": ANN_2})
    site.take_in("two", {"c.dcm": ANN_SERIES_2, "again.dcm": ANN})

    gathered = site.gather("sub-A_ses-1", tmp_path / "out")

    assert (gathered.n_instances, gathered.n_series, gathered.n_drops) == (3, 2, 2)
    assert gathered.n_duplicates == 1
    assert gathered.series == (
        SeriesOfSession(1, "MR", 2),
        SeriesOfSession(2, "MR", 1),
    )
    assert gathered.members_digest != first.sessions[0].members_digest
    images = sorted((tmp_path / "out").glob("*.dcm"))
    assert {path.read_bytes() for path in images} == {ANN, ANN_2, ANN_SERIES_2}
    assert all(len(path.stem) == 24 for path in images)


def test_the_digest_of_a_gathered_session_is_the_one_its_last_drop_told(
    site: Site, tmp_path: Path
):
    report = site.take_in("one", {"a.dcm": ANN})

    gathered = site.gather("sub-A_ses-1", tmp_path / "out")

    assert gathered.members_digest == report.sessions[0].members_digest


def test_gathering_twice_or_in_another_order_of_drops_gives_the_same_bytes(
    tmp_path: Path,
):
    trees = []
    for name, order in (("x", "ab"), ("y", "ba")):
        site = Site(tmp_path / name / "inbox", tmp_path / name / "zone")
        files = {"a": {"1.dcm": ANN}, "b": {"longer.dcm": ANN_2}}
        for drop in order:
            site.take_in(drop, files[drop])
        site.gather("sub-A_ses-1", tmp_path / name / "out")
        trees.append(digest_tree(tmp_path / name / "out"))

    assert trees[0] == trees[1]


def test_gathered_files_are_links_to_the_store(site: Site, tmp_path: Path):
    site.take_in("one", {"a.dcm": ANN})

    site.gather("sub-A_ses-1", tmp_path / "out")

    (image,) = (tmp_path / "out").glob("*.dcm")
    assert image.stat().st_nlink == 2


def test_what_is_no_image_and_has_two_contents_is_set_aside_and_counted(
    site: Site, tmp_path: Path
):
    state, other = (mr_bytes(instance=9, note=n, is_image=False) for n in "ab")
    site.take_in("one", {"a.dcm": ANN, "state.dcm": state})
    site.take_in("two", {"state.dcm": other})

    gathered = site.gather("sub-A_ses-1", tmp_path / "out")

    assert gathered.n_instances == 1
    assert gathered.n_set_aside == 2
    assert list_held(site.zone).sessions == ()


def test_one_instance_with_two_contents_holds_the_session_and_keeps_both(
    site: Site, tmp_path: Path
):
    changed = mr_bytes(note="changed")
    site.take_in("one", {"a.dcm": ANN, "b.dcm": ANN_2})
    site.take_in("two", {"a.dcm": changed})

    with pytest.raises(Held) as caught:
        site.gather("sub-A_ses-1", tmp_path / "out")

    assert str(caught.value).startswith("1 of the images of sub-A_ses-1")
    assert "1.2.3" not in str(caught.value)
    assert caught.value.fix
    assert site.stored() >= {ANN, changed}
    assert list((tmp_path / "out").iterdir()) == []
    assert list_held(site.zone).sessions == (HeldSession("sub-A_ses-1", 1),)


def test_the_report_of_a_session_holds_nothing_that_identifies(
    site: Site, tmp_path: Path
):
    site.take_in("Ann Smith", {"Ann.dcm": ANN})

    text = json.dumps(dataclasses.asdict(site.gather("sub-A_ses-1", tmp_path / "out")))

    for identity in ("Ann", "1.2.3", "20260102", "t1"):
        assert identity not in text


def test_an_unknown_session_is_missing(site: Site, tmp_path: Path):
    with pytest.raises(MissingInput) as caught:
        site.gather("sub-A_ses-1", tmp_path / "out")

    assert "status" in caught.value.fix


def test_a_folder_that_is_not_empty_is_refused(site: Site, tmp_path: Path):
    (tmp_path / "file").touch()

    for target in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BadInput):
            gather_session(SessionKey("A", "1"), zone=site.zone, target=target)


def test_what_is_held_is_counted_by_drop_and_reason(site: Site):
    assert list_held(site.zone).files == ()
    report = site.take_in(
        "one", {"a.dcm": ANN, "x": b"", "y": b"no", "z": b"none", "x2": b""}
    )
    site.take_in("again", {"a.dcm": ANN, "x": b"", "y": b"no", "z": b"none", "x2": b""})

    held = list_held(site.zone)

    assert held.files == (
        HeldFiles(report.drop_id, "empty file", 1),
        HeldFiles(report.drop_id, "not DICOM", 2),
    )
    assert held.n_claimed == 0


def test_the_summary_of_a_receipt_is_the_report_of_its_drop(site: Site):
    report = site.take_in("one", {"a.dcm": ANN, "x": b""})

    assert receipt_summary(site.zone, report.drop_id) == report
    with pytest.raises(MissingInput) as caught:
        receipt_summary(site.zone, "drop-0000000000000000")
    assert "status" in caught.value.fix
