"""Real scanners' files: conversion stays the same, identities do not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from imaging_platform.deid.elements import Element, write_file
from imaging_platform.deid.identifiers import is_personal, split_text, walk
from imaging_platform.deid.reading import parse_file
from imaging_platform.deid.residue import read_header
from imaging_platform.deid.session import anonymize_session
from imaging_platform.deid.settings import DeidSettings
from imaging_platform.dicom.structure import BadDicom
from imaging_platform.files.digests import sorted_files
from imaging_platform.tools.dcm2niix import convert_folder
from tests.deid.conftest import KEY, Anonymize
from tests.deid.originals import SECRET

# What identifies is meant to be lost; the names of builds and notes go with it.
LOST_ON_PURPOSE = frozenset(
    [
        "AccessionNumber",
        "AcquisitionDateTime",
        "ConsistencyInfo",
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "DeviceSerialNumber",
        "ImageComments",
        "InstitutionAddress",
        "InstitutionName",
        "InstitutionalDepartmentName",
        "PatientBirthDate",
        "PatientID",
        "PatientName",
        "ProcedureStepDescription",
        "ReferringPhysicianName",
        "SeriesInstanceUID",
        "StationName",
        "StudyDescription",
        "StudyID",
        "StudyInstanceUID",
        "WipMemBlock",
        "CoilString",
    ]
)
TEXT = frozenset(["AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"])
GATED = frozenset({0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080060})
GATED |= {0x00080064, 0x0020000D, 0x0020000E, 0x00280004, 0x00280301}
PLANTED = b"Oldewelt^Jan 1951-12-31 ID 88412345 tel +4989123456 "
CODE = b"OLDEWELT_JAN"


def _some(folder: Path, target: Path, step: int) -> Path:
    target.mkdir()
    for number, path in enumerate(sorted_files(folder)[::step]):
        shutil.copyfile(path, target / f"{number:05d}")
    return target


def _converted(folder: Path, target: Path) -> dict[str, tuple[Path, dict[str, object]]]:
    target.mkdir()
    convert_folder(folder, target)
    found = {}
    for path in target.glob("*.nii.gz"):
        voxels = np.asanyarray(Nifti1Image.from_filename(path).dataobj)
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        shape = "x".join(map(str, voxels.shape))
        series = sidecar.name.split("_")[0]
        name = f"{series} {shape} {hash(voxels.tobytes())}"
        found[name] = (path, json.loads(sidecar.read_text(errors="replace")))
    return found


@pytest.mark.parametrize(
    ("folder", "step"),
    [
        ("dcm_qa_nih/In/20180918Si", 1),
        ("dcm_qa_nih/In/20180918GE/mr_0004", 1),
        ("dcm_qa_me/In/4_me_fMRI", 1),
        ("dcm_qa_xa30/In/9_gre_field_mapping", 1),
        ("dcm_qa_xa30/In/25_asl_2d_tra", 3),
        ("misc/dcm_qa_philips_phantom", 1),
        pytest.param("dcm_qa_philips_dwi/In/cl", 1, marks=pytest.mark.slow),
        pytest.param("dcm_qa_xa30/In/10_DWI_dir80_PA", 1, marks=pytest.mark.slow),
        pytest.param(
            "dcm_qa_xa30/In/7_func-bold_task-fa_run-1", 1, marks=pytest.mark.slow
        ),
    ],
)
def test_conversion_gives_the_same_images_and_technique(
    tmp_path, shared_data, anonymize: Anonymize, folder, step
):
    source = _some(shared_data / "dicom" / folder, tmp_path / "in", step)

    before = _converted(source, tmp_path / "before")
    after = _converted(anonymize(source).target, tmp_path / "after")

    assert before
    assert set(after) == set(before)
    for name, (path, sidecar) in before.items():
        new_path, new_sidecar = after[name]
        assert np.array_equal(_affine(path), _affine(new_path))
        for suffix in (".bval", ".bvec"):
            assert _beside(path, suffix) == _beside(new_path, suffix)
        assert set(sidecar) - set(new_sidecar) <= LOST_ON_PURPOSE
        changed = {key for key in sidecar if sidecar[key] != new_sidecar.get(key)}
        assert changed <= LOST_ON_PURPOSE | {"ProtocolName", "SeriesDescription"}


def _affine(path: Path) -> np.ndarray:
    return np.asarray(Nifti1Image.from_filename(path).affine)


def _beside(path: Path, suffix: str) -> str:
    other = path.with_name(path.name.replace(".nii.gz", suffix))
    return other.read_text() if other.exists() else ""


def _samples(shared_data: Path) -> list[Path]:
    """One or two files of each folder of real data."""
    folders: dict[Path, list[Path]] = {}
    for path in sorted_files(shared_data / "dicom"):
        folders.setdefault(path.parent, []).append(path)
    return [
        path
        for paths in folders.values()
        for path in paths[:: max(1, len(paths) - 1)][:2]
    ]


def _plant(elements: list[Element]) -> int:
    """Put one identity into every text, names and IDs too; return how many."""
    n_planted = 0
    for element in walk(elements):
        is_creator = element.tag >> 16 & 1 and element.tag & 0xFFFF <= 0xFF
        if element.items is not None or element.tag in GATED or is_creator:
            continue
        if element.vr in TEXT:
            value = CODE if element.vr == "CS" else PLANTED
            element.value = value + b" " * (len(value) % 2)
            n_planted += 1
        elif element.vr in ("OB", "UN") and element.tag >> 16 & 1:
            element.value += PLANTED
            n_planted += 1
    return n_planted


@pytest.mark.slow
def test_identities_planted_into_every_text_are_gone(
    tmp_path, shared_data, anonymize: Anonymize
):
    n_planted = n_written = 0
    for number, path in enumerate(_samples(shared_data)):
        try:
            file = parse_file(path.read_bytes())
        except BadDicom:
            continue
        n_here = _plant(file.elements)
        folder = tmp_path / str(number)
        folder.mkdir()
        uids = (file.text(0x00080016), file.text(0x00080018))
        data = write_file(file, sop_class=uids[0], sop_instance=uids[1])
        (folder / "a").write_bytes(PLANTED.ljust(128) + data[128:])
        for written in sorted_files(anonymize(folder).target):
            n_written += 1
            n_planted += n_here
            header = b"".join(e.value for e in _all_elements(written)).lower()
            assert not re.search(rb"oldewelt|1951.?12.?31|88412345|89123456", header)

    assert n_written > 30
    assert n_planted > 5_000


def _all_elements(path: Path) -> list[Element]:
    file = read_header(path)
    return list(walk([*file.meta, *file.elements]))


@pytest.fixture(scope="module")
def cleaned(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Path, Path]]:
    """Each sample that may be written, and what was written of it."""
    pairs = []
    for path in _samples(shared_data):
        root = tmp_path_factory.mktemp("sample")
        (root / "in").mkdir()
        (root / "out").mkdir()
        shutil.copyfile(path, root / "in" / "a")
        anonymize_session(
            root / "in",
            root / "out",
            key=KEY,
            settings=DeidSettings(),
            secret=SECRET,
        )
        pairs += [(path, written) for written in sorted_files(root / "out")]
    return pairs


@pytest.mark.slow
def test_no_original_uid_and_no_original_day_is_left(cleaned):
    n_uids = n_days = 0
    for path, written in cleaned:
        before, after = _telling(_all_elements(path)), _telling(_all_elements(written))
        assert not before[0] & after[0]
        assert not before[1] & after[1]
        n_uids, n_days = n_uids + len(after[0]), n_days + len(after[1])

    assert n_uids > 300
    assert n_days > 30


def _telling(elements: list[Element]) -> tuple[set[str], set[str]]:
    uids = {u for e in elements if e.vr == "UI" for u in split_text(e.value)}
    days = {
        value[:8]
        for element in elements
        if element.vr in ("DA", "DT")
        for value in split_text(element.value)
        if value and not value.startswith("1900")
    }
    return {uid for uid in uids if is_personal(uid)}, days


@pytest.mark.slow
def test_pydicom_reads_every_written_file_as_we_wrote_it(cleaned):
    from pydicom import dcmread

    for _, written in cleaned:
        file = read_header(written)
        dataset = dcmread(written, stop_before_pixels=True)
        ours = {element.tag for element in file.elements if element.tag < 0x7FE00000}
        assert set(map(int, dataset.keys())) == ours
        assert dataset.PatientIdentityRemoved == "YES"

    assert len(cleaned) > 30
