"""What a session lacks is found by the counts of its own headers, and only that."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.dicom.headers import Header, read_header
from imaging_platform.dicom.structure import BadDicom
from imaging_platform.intake.completeness import Shortfall, find_shortfalls
from imaging_platform.intake.index import IndexRow
from tests.intake.drops import Site, mr_bytes

NOWHERE = Path("/nowhere")


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> Header:
    path = tmp_path_factory.mktemp("one") / "a.dcm"
    path.write_bytes(mr_bytes())
    return read_header(path)


def make_run(header: Header, volumes: int, slices: int, **facts: object):
    """Return the rows of a run, volume after volume."""
    headers = [
        dataclasses.replace(
            header,
            sop_uid=f"1.{volume}.{number}",
            image_type="ORIGINAL\\PRIMARY",
            image_position=f"0\\0\\{3.0 * number}",
            image_orientation="1\\0\\0\\0\\1\\0",
            instance_number=volume * slices + number + 1,
            temporal_position=volume + 1,
            **facts,
        )
        for volume in range(volumes)
        for number in range(slices)
    ]
    return [IndexRow(1, h.sop_uid, 1, "sub-A_ses-1", h) for h in headers]


@given(volumes=st.integers(1, 5), slices=st.integers(1, 5))
def test_a_run_that_is_whole_lacks_nothing(header: Header, volumes: int, slices: int):
    rows = make_run(
        header,
        volumes,
        slices,
        n_temporal_positions=volumes,
        images_in_acquisition=slices,
    )

    assert find_shortfalls(rows, NOWHERE) == ()


def test_missing_slices_are_named_with_their_volume(header: Header):
    rows = make_run(header, 3, 6)
    del rows[8:10]

    (found,) = find_shortfalls(rows, NOWHERE)

    assert found.n_instances == 16
    assert found.missing == ("volume 2: slices 3-4 of 6",)


def test_a_hole_in_a_volume_is_named(header: Header):
    rows = make_run(header, 1, 8)
    del rows[2], rows[4]

    (found,) = find_shortfalls(rows, NOWHERE)

    assert found.missing == ("slices 3, 6 of 8",)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"n_temporal_positions": 5}, "3 of 5 volumes came."),
        (
            {"n_temporal_positions": 5, "images_in_acquisition": 4},
            "12 of 20 images of an acquisition came.",
        ),
        ({"images_in_acquisition": 20}, "12 of 20 images of an acquisition came."),
        ({"n_slices": 4, "n_time_slices": 9}, "12 of 36 slices came."),
    ],
)
def test_fewer_than_the_scanner_counted_is_said_with_both_numbers(
    header: Header, facts: dict[str, int], why: str
):
    rows = make_run(header, 3, 4, **facts)

    assert find_shortfalls(rows, NOWHERE) == (Shortfall(1, 12, why),)


def test_counts_that_are_exceeded_are_no_fault(header: Header):
    rows = make_run(header, 3, 4, n_temporal_positions=1, images_in_acquisition=2)

    assert find_shortfalls(rows, NOWHERE) == ()


def test_a_late_slice_makes_the_session_complete(site: Site, tmp_path: Path):
    files = {f"{n}.dcm": mr_bytes(instance=n, n_images=3) for n in (1, 2, 3)}
    late = {"3.dcm": files.pop("3.dcm")}

    site.take_in("first", files)
    before = site.gather("sub-A_ses-1", tmp_path / "before")
    site.take_in("late", late)
    after = site.gather("sub-A_ses-1", tmp_path / "after")

    assert [s.why for s in before.shortfalls] == [
        "2 of 3 images of an acquisition came."
    ]
    assert after.shortfalls == ()


WHOLE = (
    "dcm_qa_nih/In/20180918GE",
    "dcm_qa_nih/In/20180918Si",
    "dcm_qa_philips_dwi/In",
    "dcm_qa_xa30/In",
    "dcm_qa_me/In",
    "misc/dcm_qa_philips_phantom",
)
"""Real sessions that are whole, of three makers, with mosaics and enhanced files."""


@pytest.mark.parametrize("name", WHOLE)
def test_a_real_session_that_is_whole_lacks_nothing(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    files = {str(n): p for n, p in enumerate(_files(shared_data / "dicom" / name))}
    monkeypatch.setattr(
        "imaging_platform.intake.completeness.store_path", lambda _, name: files[name]
    )
    studies: defaultdict[str, dict[str, IndexRow]] = defaultdict(dict)
    for number, path in files.items():
        header = _read(path)
        if header is not None:
            row = IndexRow(1, number, 1, "sub-A_ses-1", header)
            studies[header.study_uid][header.sop_uid] = row

    assert studies
    for rows in studies.values():
        assert find_shortfalls(list(rows.values()), NOWHERE) == ()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _read(path: Path) -> Header | None:
    try:
        return read_header(path)
    except BadDicom:
        return None
