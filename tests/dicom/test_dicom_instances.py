"""Many headers at once say what each header says alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging_platform.dicom import instances
from imaging_platform.dicom.header_index import Instance
from imaging_platform.dicom.headers import read_header
from imaging_platform.dicom.instances import (
    describe_header,
    read_instances,
)
from imaging_platform.dicom.structure import BadDicom
from imaging_platform.files.digests import sorted_files
from tests.dicom.dicom_bytes import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    element,
    item,
    mr_file,
    nested,
    sequence,
)

SYNTAXES = [EXPLICIT, IMPLICIT, BIG, DEFLATED]


def read_alone(path: Path) -> object:
    try:
        return describe_header(read_header(path))
    except BadDicom as error:
        return error.reason


def read_together(paths: list[Path]) -> list[object]:
    found = read_instances([str(path) for path in paths])
    return [one if isinstance(one, Instance) else one.reason for one in found]


def write_all(folder: Path, contents: list[bytes]) -> list[Path]:
    paths = [folder / f"{number}.dcm" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def test_files_of_any_encoding_in_one_batch_read_as_each_alone(tmp_path: Path):
    contents = [
        mr_file(syntax=syntax, sop_uid=f"1.2.{n}.{place}", patient_id=b"P" * n)
        for n in range(1, 6)
        for place, syntax in enumerate(SYNTAXES)
    ]
    paths = write_all(tmp_path, contents)

    assert read_together(paths) == [read_alone(path) for path in paths]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_simple_files_are_not_read_twice(tmp_path: Path, monkeypatch, syntax: str):
    paths = write_all(tmp_path, [mr_file(syntax=syntax)] * 3)
    monkeypatch.delattr(instances, "read_header")

    (first, *others) = read_together(paths)

    assert isinstance(first, Instance)
    assert (first.sop_uid, first.rows, first.instance_number) == ("1.2.3.4", 2, 7)
    assert others == [first, first]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("open_end", [True, False])
def test_elements_inside_sequences_are_not_taken(
    tmp_path: Path, syntax: str, open_end: bool
):
    inside = element(0x0020000E, "UI", b"9.9.9", syntax=syntax)
    inside += sequence(
        0x00081199, item(inside, syntax=syntax), syntax=syntax, open_end=open_end
    )
    extra = sequence(
        0x00081140,
        item(inside, syntax=syntax, open_end=open_end),
        syntax=syntax,
        open_end=open_end,
    )
    whole = mr_file(syntax=syntax)
    place = whole.index(b"\x20\x00\x0d\x00")
    paths = write_all(tmp_path, [whole[:place] + extra + whole[place:], whole])

    first, second = read_together(paths)

    assert first == second == read_alone(paths[0])
    assert isinstance(first, Instance)
    assert first.series_uid == "1.2.3.1"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data(), st.sampled_from(SYNTAXES))
def test_a_file_cut_anywhere_is_refused_as_the_whole_walk_refuses_it(
    tmp_path: Path, data: st.DataObject, syntax: str
):
    extra_syntax = EXPLICIT if syntax == DEFLATED else syntax
    whole = mr_file(syntax=syntax, extra=nested(2, syntax=extra_syntax))
    cut = data.draw(st.integers(0, len(whole)))
    paths = write_all(tmp_path, [whole, whole[:cut]])

    assert read_together(paths) == [read_alone(path) for path in paths]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_at_any_byte_near_its_pixels_is_refused(tmp_path: Path, syntax: str):
    whole = mr_file(syntax=syntax)
    cuts = [whole[: len(whole) - n] for n in range(1, 40)]

    paths = write_all(tmp_path, cuts)

    assert read_together(paths) == [read_alone(path) for path in paths]


def test_real_files_of_many_vendors_read_as_each_alone(shared_data: Path):
    paths = sorted_files(shared_data / "dicom")
    random.Random(1).shuffle(paths)

    assert read_together(paths) == [read_alone(path) for path in paths]
