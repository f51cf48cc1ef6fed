"""One bad series never costs the others, and no trace of the work remains."""

from __future__ import annotations

import shutil
from pathlib import Path

import pydicom
import pytest

from imaging_platform.bids.converter import count_used
from imaging_platform.bids.session import convert_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.source import link_files, read_source
from imaging_platform.files.digests import digest_file, sorted_files
from imaging_platform.model.errors import ToolFailed
from imaging_platform.model.ids import SessionKey
from imaging_platform.tools import dcm2niix

KEY = SessionKey("01", "a")


@pytest.fixture
def two_runs(shared_data: Path, tmp_path: Path) -> Path:
    """Two GE runs of 150 files."""
    for name in ("mr_0004", "mr_0005"):
        shutil.copytree(
            shared_data / "dicom/dcm_qa_nih/In/20180918GE" / name,
            tmp_path / "in" / name,
            ignore=lambda _, names: {n for n in names if not n.endswith(".dcm")},
        )
    return tmp_path / "in"


def convert(source: Path, target: Path):
    target.mkdir()
    return convert_session(source, target, key=KEY, settings=BidsSettings())


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): digest_file(p) for p in sorted_files(folder)}


def break_converter(monkeypatch: pytest.MonkeyPatch, refuse: object) -> list[int]:
    """Let the converter fail on every folder that `refuse` names; count the calls."""
    real, calls = dcm2niix.convert_folder, []

    def convert_folder(source: Path, target: Path, *, timeout_s: float):
        files = sorted_files(source)
        calls.append(len(files))
        if refuse(files):  # type: ignore[operator]
            (target / "1_1.2.nii").write_bytes(b"half")
            raise ToolFailed("dcm2niix left with exit code -11.", fix="Try again.")
        return real(source, target, timeout_s=timeout_s)

    monkeypatch.setattr(dcm2niix, "convert_folder", convert_folder)
    return calls


def test_a_session_that_crashes_the_converter_is_converted_run_by_run(
    two_runs, tmp_path, monkeypatch
):
    whole = convert(two_runs, tmp_path / "whole")
    calls = break_converter(monkeypatch, lambda files: len(files) > 150)

    report = convert(two_runs, tmp_path / "each")

    assert calls == [300, 150, 150]
    assert digests(tmp_path / "each") == digests(tmp_path / "whole")
    assert report == whole


def test_a_run_that_crashes_the_converter_is_the_only_one_that_failed(
    two_runs, tmp_path, monkeypatch
):
    bad = digest_file(sorted_files(two_runs / "mr_0005")[0])
    break_converter(monkeypatch, lambda files: bad in map(digest_file, files))

    report = convert(two_runs, tmp_path / "out")

    assert report.outcomes == {"converted": 1, "failed": 1}
    (failed,) = (row for row in report.series if row.outcome == "failed")
    assert "exit code -11" in failed.why
    assert [len(fate.instances) for fate in failed.fates] == [150]


def test_a_converter_that_fails_on_everything_is_an_error(
    two_runs, tmp_path, monkeypatch
):
    break_converter(monkeypatch, lambda _: True)

    with pytest.raises(ToolFailed) as caught:
        convert(two_runs, tmp_path / "out")

    assert caught.value.fix
    assert not list((tmp_path / "out").iterdir())


def test_compressed_images_name_neither_a_file_nor_a_time(two_runs, tmp_path):
    convert(two_runs, tmp_path / "out")

    for path in (tmp_path / "out").rglob("*.nii.gz"):
        # RFC 1952: flags (no name, no comment), then four bytes of time.
        assert path.read_bytes()[3:8] == bytes(5)


def test_nothing_but_the_report_s_files_remains(two_runs, tmp_path):
    report = convert(two_runs, tmp_path / "out")

    found = sorted(
        path.relative_to(tmp_path / "out").as_posix()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    )
    assert found == list(report.files)
    assert {p.name for p in (tmp_path / "out").iterdir()} <= {
        "func",
        "fmap",
        f"{KEY}_scans.tsv",
    }


def test_the_converter_s_own_count_is_read_with_and_without_its_place():
    printed = (
        "Found 3 DICOM file(s)\n"
        "Convert 150 DICOM as /x y/7_1.2.3 (64x64x15x10)\n"
        "5:Convert 544 DICOM as out/701_1.4_e1a (112x112x32x17)\n"
    )

    assert count_used(printed) == {"7_1.2.3": 150, "701_1.4_e1a": 544}


def test_one_link_stands_for_a_folder_of_which_all_files_are_wanted(two_runs, tmp_path):
    whole = convert(two_runs, tmp_path / "whole")
    (two_runs / "mr_0004" / "half.dcm").write_bytes(
        sorted_files(two_runs / "mr_0004")[0].read_bytes()[:2000]
    )
    intake = read_source(two_runs)

    link_files(intake.converted, tmp_path / "seen", folders=intake.folders)
    report = convert(two_runs, tmp_path / "both")

    links = sorted((tmp_path / "seen").iterdir())
    assert [link.is_dir() for link in links].count(True) == 1
    assert len(links) == 151
    assert sum(intake.unreadable.values()) == 1
    assert report.series == whole.series
    assert digests(tmp_path / "both") == digests(tmp_path / "whole")


def test_images_of_series_without_number_and_uid_do_not_replace_each_other(
    shared_data, tmp_path
):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("20180918GE/mr_0004", "20180918Si/mr_0003"):
        folder = shared_data / "dicom/dcm_qa_nih/In" / name
        ds = pydicom.dcmread(sorted(folder.glob("*.dcm"))[0])
        del ds.SeriesInstanceUID, ds.SeriesNumber
        ds.save_as(tmp_path / "in" / name.replace("/", "-"))

    dcm2niix.convert_folder(tmp_path / "in", tmp_path / "out")

    assert len(list((tmp_path / "out").glob("*.nii"))) == 2
