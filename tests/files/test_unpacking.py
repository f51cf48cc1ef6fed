from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.files.unpacking import (
    ArchiveReason,
    BadArchive,
    UnpackingCaps,
    is_archive_name,
    unpack_archive,
)

FILES = {
    "a/one.dcm": b"first",
    "b/two.dcm": b"second" * 1000,
    "three": b"",
    "vierÜ": b"4",
}


def write_zip(path: Path, files: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (FILES if files is None else files).items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes] | None = None) -> Path:
    mode = "w" if path.suffix == ".tar" else "w:gz"
    with tarfile.open(path, mode) as archive:
        for name, data in (FILES if files is None else files).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def write_archive(path: Path, files: dict[str, bytes] | None = None) -> Path:
    return (write_zip if path.suffix == ".zip" else write_tar)(path, files)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def reason_of(archive: Path, target: Path, caps: UnpackingCaps | None = None) -> str:
    with pytest.raises(BadArchive) as caught:
        unpack_archive(archive, target, caps=caps)
    assert caught.value.fix
    return caught.value.reason


ALL_KINDS = pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.TGZ"])


@ALL_KINDS
def test_members_are_written_under_numbers_with_their_content(
    tmp_path: Path, target: Path, name: str
):
    archive = write_archive(tmp_path / name)

    unpacked = unpack_archive(archive, target)

    assert {m.name: m.path.read_bytes() for m in unpacked.members} == FILES
    assert sorted(p.name for p in target.iterdir()) == [
        "00000000",
        "00000001",
        "00000002",
        "00000003",
    ]


@ALL_KINDS
@pytest.mark.parametrize(
    "member",
    ["../../evil", "/etc/evil", "a/../../evil", "..\\evil", "x" * 240, "\n;rm"],
)
def test_no_name_decides_where_a_member_is_written(
    tmp_path: Path, target: Path, name: str, member: str
):
    archive = write_archive(tmp_path / name, {member: b"content"})

    unpacked = unpack_archive(archive, target)

    assert [m.path for m in unpacked.members] == [target / "00000000"]
    assert {p.name for p in tmp_path.iterdir()} == {name, "target"}


@ALL_KINDS
def test_equal_names_are_two_members(tmp_path: Path, target: Path, name: str):
    archive = write_archive(tmp_path / name, {"A.dcm": b"1", "a.dcm": b"2"})

    unpacked = unpack_archive(archive, target)

    assert [m.path.read_bytes() for m in unpacked.members] == [b"1", b"2"]


def test_a_link_in_a_zip_is_refused_and_named(tmp_path: Path, target: Path):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as made:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc/passwd")

    unpacked = unpack_archive(archive, target)

    assert (unpacked.members, unpacked.refused) == ((), ("link",))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_what_is_no_regular_file_in_a_tar_is_refused_and_named(
    tmp_path: Path, target: Path, kind: bytes
):
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as made:
        entry = tarfile.TarInfo("odd")
        entry.type = kind
        entry.linkname = "/etc/passwd"
        made.addfile(entry)

    unpacked = unpack_archive(archive, target)

    assert (unpacked.members, unpacked.refused) == ((), ("odd",))
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_a_bomb_stops_at_the_ratio(tmp_path: Path, target: Path, name: str):
    archive = write_archive(tmp_path / name, {"zeros": bytes(40 << 20)})

    assert reason_of(archive, target) == ArchiveReason.RATIO
    assert sum(p.stat().st_size for p in target.iterdir()) < 20 << 20


def test_a_sparse_bomb_stops_at_the_ratio(tmp_path: Path, target: Path):
    header = tarfile.TarInfo("sparse")
    header.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % (1 << 32)
    block[386:410] = b"%011o\0" % (1 << 32) + b"%011o\0" % 0
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    archive = tmp_path / "x.tar"
    archive.write_bytes(bytes(block) + bytes(1024))

    assert reason_of(archive, target) == ArchiveReason.RATIO


@ALL_KINDS
def test_caps_on_members_and_bytes_hold(tmp_path: Path, target: Path, name: str):
    archive = write_archive(tmp_path / name)

    few = reason_of(archive, target, UnpackingCaps(max_members=2))
    for written in target.iterdir():
        written.unlink()
    small = reason_of(archive, target, UnpackingCaps(max_bytes=5000))

    assert (few, small) == (ArchiveReason.MANY_MEMBERS, ArchiveReason.LARGE)


def test_headers_of_headers_without_end_are_refused(tmp_path: Path, target: Path):
    record = tarfile.TarInfo("x")
    record.type = tarfile.XHDTYPE
    archive = tmp_path / "x.tar"
    archive.write_bytes(record.tobuf(tarfile.USTAR_FORMAT) * 1900 + bytes(1024))

    assert reason_of(archive, target) == ArchiveReason.DAMAGED


def test_a_zip_directory_of_too_many_entries_is_not_read(tmp_path: Path, target: Path):
    files = {f"{number:0200d}": b"" for number in range(6000)}
    archive = write_zip(tmp_path / "x.zip", files)

    reason = reason_of(archive, target, UnpackingCaps(max_members=10))

    assert reason == ArchiveReason.MANY_MEMBERS
    assert list(target.iterdir()) == []


def test_an_oversized_tar_header_is_not_read_into_memory(tmp_path: Path, target: Path):
    archive = tmp_path / "x.tar.gz"
    entry = tarfile.TarInfo("x")
    entry.type = tarfile.XHDTYPE
    entry.size = 64 << 20
    with gzip.open(archive, "wb") as file:
        file.write(entry.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(64 << 20))

    assert reason_of(archive, target) == ArchiveReason.HEADER


@ALL_KINDS
@pytest.mark.parametrize("content", [b"", b"not an archive at all" * 100])
def test_what_is_no_archive_is_refused(
    tmp_path: Path, target: Path, name: str, content: bytes
):
    archive = tmp_path / name
    archive.write_bytes(content)

    assert reason_of(archive, target) == ArchiveReason.DAMAGED


def test_an_encrypted_zip_is_refused(tmp_path: Path, target: Path):
    archive = write_zip(tmp_path / "x.zip", {"a": b"content"})
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)

    assert reason_of(archive, target) == ArchiveReason.ENCRYPTED


@given(data=st.data(), name=st.sampled_from(["x.zip", "x.tar", "x.tar.gz"]))
def test_a_cut_archive_never_passes_for_a_whole_one(data, name: str, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    archive = write_archive(folder / name)
    whole = archive.read_bytes()
    # A tar is padded with zeros to a multiple of 10240 bytes after its end mark.
    end = len(whole.rstrip(b"\0")) + 511 if name == "x.tar" else len(whole) - 1
    cut = data.draw(st.integers(0, end))
    archive.write_bytes(whole[:cut])
    target = folder / "target"
    target.mkdir()

    assert reason_of(archive, target) == ArchiveReason.DAMAGED


@given(data=st.data(), name=st.sampled_from(["x.zip", "x.tar", "x.tar.gz"]))
def test_a_damaged_archive_passes_or_is_refused_in_our_words(
    data, name: str, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("flip")
    archive = write_archive(folder / name)
    content = bytearray(archive.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(
        st.integers(1, 255)
    )
    archive.write_bytes(content)
    target = folder / "target"
    target.mkdir()

    try:
        unpack_archive(archive, target)
    except BadArchive as error:
        assert error.reason in ArchiveReason


def test_archives_are_known_by_their_names():
    assert is_archive_name("Scan.ZIP")
    assert is_archive_name("scan.tar.gz")
    assert not is_archive_name("scan.nii.gz")
