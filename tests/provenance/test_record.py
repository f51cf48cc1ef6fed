"""What a record says of a tree, and that it says the same of the same tree."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from imaging_platform.files.digests import OUTPUTS_NAME, RECORD_NAME, digest_tree
from imaging_platform.model.errors import BadInput
from imaging_platform.provenance.record import (
    Record,
    read_outputs,
    read_record,
    seal_record,
    write_record,
)
from imaging_platform.provenance.software import digest_code, read_software

RECORD = Record("motion", "sub-A_ses-1", "1", inputs={"bids_session": "b1"})


def tree(folder: Path, text: str = "1") -> Path:
    (folder / "func").mkdir(parents=True)
    (folder / "func" / "a.tsv").write_text(text)
    (folder / "b.json").write_text('{"B": 1, "GeneratedBy": "x"}')
    return folder


def publish(folder: Path) -> Path:
    write_record(folder, seal_record(folder, RECORD))
    return folder


def test_a_record_does_not_move_the_data_version_of_its_tree(tmp_path):
    before = digest_tree(tree(tmp_path))

    publish(tmp_path)

    record = read_record(tmp_path)
    assert record is not None
    assert record.data_version == digest_tree(tmp_path) == before


def test_the_same_tree_has_the_same_record_byte_for_byte(tmp_path):
    one, two = (publish(tree(tmp_path / name)) for name in ("one", "two"))

    for name in (RECORD_NAME, OUTPUTS_NAME):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_each_file_that_came_out_is_named_by_its_content(tmp_path):
    one, two = publish(tree(tmp_path / "1")), publish(tree(tmp_path / "2", "other"))

    assert list(read_outputs(one)) == ["b.json", "func/a.tsv"]
    assert read_outputs(one)["b.json"] == read_outputs(two)["b.json"]
    assert read_outputs(one)["func/a.tsv"] != read_outputs(two)["func/a.tsv"]


def test_a_tree_of_an_earlier_version_is_read_without_what_it_did_not_say(tmp_path):
    old = {"asset": "motion", "partition": "", "code_version": "1", "report": {}}
    (tmp_path / RECORD_NAME).write_text(json.dumps(old))

    record = read_record(tmp_path)

    assert record is not None
    assert record.software == {}
    assert read_outputs(tmp_path) == {}


def test_the_software_is_named_without_host_time_or_place():
    text = json.dumps(read_software().__dict__)

    assert socket.gethostname() not in text
    assert str(Path.home()) not in text
    assert {"numpy", "dcm2niix", "dagster"} <= set(read_software().packages)


def test_any_change_of_the_code_is_another_revision(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.py").write_text("1")
    first = digest_code(tmp_path)
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "x.pyc").write_text("compiled")
    assert digest_code(tmp_path) == first

    (tmp_path / "a" / "x.py").write_text("2")
    changed = digest_code(tmp_path)
    (tmp_path / "a" / "x.py").rename(tmp_path / "a" / "y.py")

    assert len({first, changed, digest_code(tmp_path)}) == 3


@pytest.mark.parametrize("text", ["{", '{"of": "tomorrow"}', "\udcff"])
def test_a_damaged_record_is_named_with_what_to_do(tmp_path, text):
    home = tmp_path / "home_of_jane"
    damaged = publish(tree(home / "derivatives" / "demo" / "motion" / "sub-A"))
    (damaged / RECORD_NAME).write_bytes(text.encode(errors="surrogateescape"))
    (damaged / OUTPUTS_NAME).write_text("{")

    for read in (read_record, read_outputs):
        with pytest.raises(BadInput) as caught:
            read(damaged)

        assert " of derivatives/demo/motion/sub-A is damaged" in str(caught.value)
        assert "reprocess --select" in caught.value.fix
