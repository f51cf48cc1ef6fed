from __future__ import annotations

import gzip
import json

from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.files.digests import digest_content, digest_tree


def test_the_level_of_gzip_does_not_change_the_digest(tmp_path):
    first, second = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    first.write_bytes(gzip.compress(b"voxels" * 100, 1, mtime=1))
    second.write_bytes(gzip.compress(b"voxels" * 100, 9, mtime=2))

    assert digest_content(first) == digest_content(second)


def test_one_voxel_changes_the_digest(tmp_path):
    first, second = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    first.write_bytes(gzip.compress(b"voxels"))
    second.write_bytes(gzip.compress(b"voxelz"))

    assert digest_content(first) != digest_content(second)


def test_a_damaged_gzip_file_still_has_a_digest(tmp_path):
    damaged = tmp_path / "a.nii.gz"
    damaged.write_bytes(gzip.compress(b"voxels" * 100)[:20])

    assert len(digest_content(damaged)) == 64


def test_the_version_of_the_converter_does_not_change_a_sidecar(tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps({"EchoTime": 1, "ConversionSoftwareVersion": "1"}))
    second.write_text(json.dumps({"ConversionSoftwareVersion": "2", "EchoTime": 1}))

    assert digest_content(first) == digest_content(second)


def test_the_file_meta_group_does_not_change_the_digest_of_dicom(tmp_path):
    first, second = tmp_path / "a.dcm", tmp_path / "b.dcm"
    first.write_bytes(_dicom(meta=b"one"))
    second.write_bytes(_dicom(meta=b"another"))

    assert digest_content(first) == digest_content(second)


def test_the_dataset_changes_the_digest_of_dicom(tmp_path):
    first, second = tmp_path / "a.dcm", tmp_path / "b.dcm"
    first.write_bytes(_dicom(meta=b"one", dataset=b"1"))
    second.write_bytes(_dicom(meta=b"one", dataset=b"2"))

    assert digest_content(first) != digest_content(second)


@given(names=st.permutations(["a", "b", "c/d", "c/e"]))
def test_the_order_of_writing_does_not_change_the_digest_of_a_tree(
    tmp_path_factory, names
):
    root = tmp_path_factory.mktemp("tree")
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)

    assert digest_tree(root) == digest_tree(_reference_tree(tmp_path_factory))


def test_a_renamed_file_changes_the_digest_of_a_tree(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "a").write_text("x")
    (tmp_path / "two" / "b").write_text("x")

    assert digest_tree(tmp_path / "one") != digest_tree(tmp_path / "two")


def test_the_record_of_a_tree_is_not_in_its_digest(tmp_path):
    (tmp_path / "a").write_text("x")
    before = digest_tree(tmp_path)

    (tmp_path / ".record.json").write_text("{}")

    assert digest_tree(tmp_path) == before


def _reference_tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("reference")
    (root / "c").mkdir()
    for name in ("a", "b", "c/d", "c/e"):
        (root / name).write_text(name)
    return root


def _dicom(*, meta: bytes, dataset: bytes = b"x") -> bytes:
    length = len(meta).to_bytes(4, "little")
    head = b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0" + length
    return head + meta + dataset
