"""Interrupted runs of each vendor: whole volumes, and the rest in the report."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from imaging_platform.bids.conversion_report import ConversionReport
from imaging_platform.bids.session import convert_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.dicom.headers import read_header
from imaging_platform.dicom.structure import BadDicom
from imaging_platform.files.digests import sorted_files
from imaging_platform.model.ids import SessionKey

KEY = SessionKey("01", "a")

Files = list[Path]


def read_runs(folder: Path) -> dict[int, Files]:
    """Return the files of each run in order of volume and place."""
    runs = defaultdict(list)
    for path in sorted_files(folder):
        try:
            header = read_header(path)
        except BadDicom:
            continue
        if header.has_pixels and header.n_frames == 1:
            runs[header.series_number or 0].append((header, path))
    return {
        number: [
            path
            for _, path in sorted(
                run,
                key=lambda pair: (
                    pair[0].temporal_position or 0,
                    pair[0].acquisition_number or 0,
                    pair[0].instance_number or 0,
                ),
            )
        ]
        for number, run in runs.items()
    }


def convert(files: Iterable[Path], folder: Path) -> tuple[ConversionReport, Path]:
    source, target = folder / "in", folder / "out"
    source.mkdir(parents=True)
    target.mkdir()
    for number, path in enumerate(files):
        shutil.copy(path, source / f"{number:05d}")
    return convert_session(source, target, key=KEY, settings=BidsSettings()), target


def volumes_of(target: Path) -> set[bytes]:
    """Return each volume of each image as bytes."""
    found: set[bytes] = set()
    for path in target.rglob("*.nii.gz"):
        data = np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj)
        data = data.reshape((*data.shape[:3], -1))
        found |= {data[..., n].tobytes() for n in range(data.shape[3])}
    return found


RUNS = {
    "GE": ("dcm_qa_nih/In/20180918GE", 4),
    "Philips": ("dcm_qa_philips_dwi/In", 701),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest, shared_data: Path) -> Files:
    folder, number = RUNS[request.param]
    return read_runs(shared_data / "dicom" / folder)[number]


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["last", "last five", "first", "middle"])
def test_no_volume_of_a_truncated_run_is_made_of_two(
    run: Files, lost: str, tmp_path: Path
):
    middle = len(run) // 2
    kept = {
        "last": run[:-1],
        "last five": run[:-5],
        "first": run[1:],
        "middle": run[:middle] + run[middle + 1 :],
    }[lost]
    _, whole = convert(run, tmp_path / "whole")

    report, target = convert(kept, tmp_path / "cut")

    assert volumes_of(target) <= volumes_of(whole)
    fates = [fate for row in report.series for fate in row.fates]
    uids = [uid for fate in fates for uid in fate.instances]
    assert sorted(uids) == sorted(read_header(path).sop_uid for path in kept)
    counts = [row.count_fates() for row in report.series]
    assert sum(sum(count.values()) for count in counts) == len(kept)
    assert sum(count["incomplete"] for count in counts) == len(
        [uid for fate in fates if not fate.files for uid in fate.instances]
    )
    assert all(fate.files or fate.outcome != "converted" for fate in fates)


def test_an_enhanced_volume_with_few_slices_is_kept_from_the_others(
    shared_data: Path, tmp_path: Path
):
    import pydicom

    folder = shared_data / "dicom/dcm_qa_xa30/In"
    headers = [(read_header(path), path) for path in sorted_files(folder)]
    run = sorted(
        ((h.instance_number or 0, p) for h, p in headers if h.series_number == 7)
    )
    source = [path for _, path in run]
    last = pydicom.dcmread(source[-1])
    n_bytes = len(last.PixelData) // last.NumberOfFrames * 11
    last.PerFrameFunctionalGroupsSequence = last.PerFrameFunctionalGroupsSequence[:11]
    last.NumberOfFrames = 11
    last.PixelData = last.PixelData[:n_bytes]
    last.save_as(tmp_path / "short.dcm")
    _, whole = convert(source, tmp_path / "whole")

    report, target = convert([*source[:-1], tmp_path / "short.dcm"], tmp_path / "cut")

    (row,) = report.series
    assert row.outcome == "incomplete"
    assert [len(f.instances) for f in row.fates if not f.files] == [1]
    assert volumes_of(target) < volumes_of(whole)


def test_a_slice_lost_inside_a_volume_leaves_the_volume_out(
    shared_data: Path, tmp_path: Path
):
    run = read_runs(shared_data / "dicom/dcm_qa_me/In")[3]

    report, target = convert(run[:9] + run[10:], tmp_path)

    assert [row.outcome for row in report.series] == ["incomplete"]
    assert "inside the volume" in report.series[0].why
    assert not list(target.rglob("*.nii.gz"))


@pytest.mark.parametrize("lost", [1, 7])
def test_an_enhanced_file_of_several_volumes_that_lacks_frames_is_left_out(
    shared_data: Path, tmp_path: Path, lost: int
):
    import pydicom

    path = shared_data / "dicom/misc/dcm_qa_enh"
    (source,) = path.rglob("IM_0027_fMAP.dcm")
    data = pydicom.dcmread(source)
    kept = data.NumberOfFrames - lost
    n_bytes = len(data.PixelData) // data.NumberOfFrames * kept
    groups = data.PerFrameFunctionalGroupsSequence
    data.PerFrameFunctionalGroupsSequence = groups[:kept]
    data.NumberOfFrames = kept
    data.PixelData = data.PixelData[:n_bytes]
    data.save_as(tmp_path / "short.dcm")

    whole, _ = convert([source], tmp_path / "whole")
    report, target = convert([tmp_path / "short.dcm"], tmp_path / "cut")

    assert "incomplete" not in whole.outcomes
    assert report.outcomes == {"incomplete": 1}
    assert "interrupted" in report.series[0].why
    assert not list(target.rglob("*.nii.gz"))


def test_frames_lost_inside_a_volume_of_one_file_leave_it_out(
    shared_data: Path, tmp_path: Path
):
    import pydicom

    (source,) = sorted_files(shared_data / "dicom/dcm_qa_xa30/In/5_anat-T1w_acq-tfl")
    data = pydicom.dcmread(source)
    n_bytes = len(data.PixelData) // data.NumberOfFrames
    groups = data.PerFrameFunctionalGroupsSequence
    data.PerFrameFunctionalGroupsSequence = groups[:40] + groups[43:]
    data.NumberOfFrames = data.NumberOfFrames - 3
    data.PixelData = data.PixelData[: 40 * n_bytes] + data.PixelData[43 * n_bytes :]
    data.save_as(tmp_path / "hole.dcm")

    report, target = convert([tmp_path / "hole.dcm"], tmp_path)

    assert [row.outcome for row in report.series] == ["incomplete"]
    assert "inside the volume" in report.series[0].why
    assert not list(target.rglob("*.nii.gz"))


def test_a_volume_lost_inside_a_run_is_in_the_report(shared_data: Path, tmp_path: Path):
    run = read_runs(shared_data / "dicom/dcm_qa_nih/In/20180918GE")[4]

    report, _ = convert(run[:45] + run[60:], tmp_path)

    (row,) = report.series
    assert row.outcome == "incomplete"
    assert "1 volume is missing" in row.why


def test_numbers_that_begin_again_in_each_volume_mix_no_slices(
    shared_data: Path, tmp_path: Path
):
    import pydicom

    run = read_runs(shared_data / "dicom/dcm_qa_nih/In/20180918GE")[4]
    (tmp_path / "renumbered").mkdir()
    renumbered = [tmp_path / f"renumbered/{n:03}" for n in range(30)]
    for number, (source, target) in enumerate(zip(run[:30], renumbered, strict=True)):
        data = pydicom.dcmread(source)
        data.AcquisitionNumber, data.InstanceNumber = divmod(number, 15)
        data.save_as(target)
    _, whole = convert(run, tmp_path / "whole")

    report, target = convert(renumbered, tmp_path / "cut")

    assert volumes_of(target) <= volumes_of(whole)
    assert [row.outcome for row in report.series] == ["incomplete"]


_TAKEN = [
    "ImageType",
    "StudyDate",
    "SeriesTime",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "SeriesDescription",
    "ProtocolName",
    "SoftwareVersions",
    "StudyInstanceUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
]


def write_classic(source: Path, folder: Path) -> list[Path]:
    """
    Write the frames of an XA volume as XA exports them when asked for classic.

    Each volume is a series with a UID and a number of its own, and its instances are
    numbered from 1; the time of the series is that of the run.
    """
    import pydicom

    data = pydicom.dcmread(source)
    n_bytes = len(data.PixelData) // data.NumberOfFrames
    shared = data.SharedFunctionalGroupsSequence[0]
    paths = []
    for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
        one = pydicom.Dataset()
        one.update({data[name].tag: data[name] for name in _TAKEN if name in data})
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
        one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        one.SOPInstanceUID = f"{data.SOPInstanceUID}.{number + 1}"
        one.SeriesInstanceUID = f"1.2.{data.InstanceNumber}"
        one.SeriesNumber = 1000 * data.SeriesNumber + data.InstanceNumber
        one.AcquisitionNumber, one.InstanceNumber = 1, number + 1
        one.ScanningSequence, one.MRAcquisitionType = "EP", "2D"
        one.EchoTime, one.RepetitionTime = 30, 1000
        for sequence in ("PlanePosition", "PlaneOrientation", "PixelMeasures"):
            keyword = f"{sequence}Sequence"
            group = frame if keyword in frame else shared
            one.update(group[keyword][0])
        one.PixelData = data.PixelData[n_bytes * number : n_bytes * (number + 1)]
        paths.append(folder / f"{one.SOPInstanceUID}.dcm")
        one.save_as(paths[-1], enforce_file_format=True)
    return paths


@pytest.fixture
def xa_classic(shared_data: Path, tmp_path: Path) -> list[Path]:
    """Five volumes of 33 slices."""
    folder = shared_data / "dicom/dcm_qa_xa30/In/7_func-bold_task-fa_run-1"
    (tmp_path / "classic").mkdir()
    return [
        path
        for source in sorted_files(folder)[:5]
        for path in write_classic(source, tmp_path / "classic")
    ]


def test_volumes_of_xa_classic_are_one_run_that_the_report_accounts_for(
    xa_classic: list[Path], tmp_path: Path
):
    report, _ = convert(xa_classic, tmp_path)

    (row,) = report.series
    assert len(row.series_uids) == 5
    assert row.count_fates()["converted"] == row.instances == len(xa_classic)


def test_the_cut_volume_of_xa_classic_is_reported_and_in_no_image(
    xa_classic: list[Path], tmp_path: Path
):
    report, target = convert(xa_classic[:-10], tmp_path)

    (row,) = report.series
    assert (row.outcome, row.count_fates()["incomplete"]) == ("incomplete", 23)
    (image,) = target.rglob("*.nii.gz")
    assert nibabel.load(image).shape == (64, 64, 33, 4)


def test_slices_that_are_series_of_their_own_become_one_run(
    xa_classic: list[Path], tmp_path: Path
):
    import pydicom

    for number, path in enumerate(xa_classic):
        one = pydicom.dcmread(path)
        one.Manufacturer, one.SoftwareVersions = "CANON_MEC", "V6.0SP2001*"
        one.SeriesNumber, one.InstanceNumber = 10000, number + 1
        one.SeriesInstanceUID = f"1.2.{number % 33 + 1}"
        one.save_as(path)

    report, target = convert(xa_classic, tmp_path)

    (row,) = report.series
    assert len(row.series_uids) == 33
    assert row.count_fates()["converted"] == row.instances == len(xa_classic)
    (image,) = target.rglob("*.nii.gz")
    assert nibabel.load(image).shape == (64, 64, 33, 5)


def test_maps_of_xa_classic_of_one_time_are_images_of_their_own(
    xa_classic: list[Path], tmp_path: Path
):
    import pydicom

    # An archive cut the fraction of the seconds off: two series have one time.
    for number, path in enumerate(xa_classic[:66]):
        one = pydicom.dcmread(path)
        kind = ["M", "ND"] if number < 33 else ["M", "NORM", "ND"]
        one.ImageType = ["ORIGINAL", "PRIMARY", *kind]
        one.save_as(path)

    report, target = convert(xa_classic[:66], tmp_path)

    shapes = [nibabel.load(path).shape for path in target.rglob("*.nii.gz")]
    assert shapes == [(64, 64, 33)] * 2
    assert [row.instances for row in report.series] == [33, 33]
    assert all("converter used" not in row.why for row in report.series)
