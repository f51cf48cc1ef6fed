"""An index of headers says what the headers say, or nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging_platform.dicom.header_index import (
    Instance,
    read_header_index,
    write_header_index,
)
from imaging_platform.dicom.instances import read_instances
from imaging_platform.files.digests import HEADERS_NAME, digest_tree, list_files
from tests.dicom.dicom_bytes import EXPLICIT, IMPLICIT, mr_file


def list_sorted(folder: Path) -> list[str]:
    return sorted(list_files(folder))


def write_series(folder: Path, n_files: int = 3) -> Path:
    (folder / "series").mkdir(parents=True)
    for number in range(n_files):
        path = folder / f"series/{number}.dcm"
        path.write_bytes(mr_file(sop_uid=f"1.2.{number}"))
    write_header_index(folder)
    return folder


def read(folder: Path) -> list[Instance] | None:
    return read_header_index(folder, list_sorted(folder))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    uids=st.lists(st.integers(1, 10**30), min_size=1, max_size=8, unique=True),
    syntax=st.sampled_from([EXPLICIT, IMPLICIT]),
)
def test_what_is_read_from_the_index_is_what_the_headers_say(
    tmp_path_factory: pytest.TempPathFactory, uids: list[int], syntax: str
):
    folder = tmp_path_factory.mktemp("session")
    for uid in uids:
        content = mr_file(syntax=syntax, sop_uid=f"1.2.{uid}")
        (folder / f"{uid}.dcm").write_bytes(content)

    write_header_index(folder)

    assert read(folder) == list(read_instances(list_sorted(folder)))


def test_the_same_files_make_the_same_index_anywhere(tmp_path: Path):
    one, two = (write_series(tmp_path / name) / HEADERS_NAME for name in "ab")

    assert one.read_bytes() == two.read_bytes()


def test_the_index_is_no_part_of_its_tree(tmp_path: Path):
    folder = write_series(tmp_path / "session")
    version = digest_tree(folder)

    (folder / HEADERS_NAME).unlink()

    assert digest_tree(folder) == version


def _add(folder: Path) -> None:
    (folder / "series/9.dcm").write_bytes(mr_file(sop_uid="1.2.9"))


def _remove(folder: Path) -> None:
    (folder / "series/0.dcm").unlink()


def _rename(folder: Path) -> None:
    (folder / "series/0.dcm").rename(folder / "series/00.dcm")


def _lengthen(folder: Path) -> None:
    path = folder / "series/0.dcm"
    before = path.stat()
    path.write_bytes(path.read_bytes() + b"\0\0")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _touch(folder: Path) -> None:
    path, index = folder / "series/0.dcm", folder / HEADERS_NAME
    later_ns = index.stat().st_mtime_ns + 1
    os.utime(path, ns=(later_ns, later_ns))


@pytest.mark.parametrize("change", [_add, _remove, _rename, _lengthen, _touch])
def test_an_index_of_other_files_is_as_good_as_none(tmp_path: Path, change):
    folder = write_series(tmp_path / "session")
    assert read(folder)

    change(folder)

    assert read(folder) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'"x"', b"\xff", b"{}", b'{"format": 2}', b'{"format": 1}'],
)
def test_a_damaged_index_is_as_good_as_none(tmp_path: Path, content: bytes):
    folder = write_series(tmp_path / "session")

    (folder / HEADERS_NAME).write_bytes(content)

    assert read(folder) is None


@pytest.mark.parametrize("lost", ["rows", "sop_uid"])
def test_an_index_that_lacks_a_value_is_as_good_as_none(tmp_path: Path, lost: str):
    folder = write_series(tmp_path / "session")
    place = folder / HEADERS_NAME
    index = json.loads(place.read_text())
    index["columns"][lost][1].pop()

    place.write_text(json.dumps(index))

    assert read(folder) is None


def test_files_of_which_one_is_not_whole_have_no_index(tmp_path: Path):
    (tmp_path / "0.dcm").write_bytes(mr_file())
    (tmp_path / "1.dcm").write_bytes(mr_file()[:-1])

    write_header_index(tmp_path)

    assert not (tmp_path / HEADERS_NAME).exists()


def test_a_folder_without_files_has_no_index(tmp_path: Path):
    write_header_index(tmp_path)

    assert list(tmp_path.iterdir()) == []
