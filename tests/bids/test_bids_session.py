"""Real DICOM to BIDS: right, valid, complete and the same every time."""

from __future__ import annotations

import csv
import dataclasses
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from imaging_platform.bids.accounting import ScanRow
from imaging_platform.bids.conversion_report import (
    Conversion,
    ConversionReport,
    build_report,
)
from imaging_platform.bids.converter import Converted
from imaging_platform.bids.outputs import read_scratch
from imaging_platform.bids.session import convert_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.source import Intake
from imaging_platform.bids.validation import validate_session
from imaging_platform.dicom import instances
from imaging_platform.dicom.header_index import write_header_index
from imaging_platform.dicom.headers import read_header
from imaging_platform.files.digests import digest_file, sorted_files
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey

KEY = SessionKey("01", "a")
SETTINGS = BidsSettings()
SESSIONS = {
    ("dcm_qa_xa30", "xa30"): "dcm_qa_xa30/In",
    ("dcm_qa_nih", "nih1"): "dcm_qa_nih/In/20180918GE",
    ("dcm_qa_nih", "nih2"): "dcm_qa_nih/In/20180918Si",
    ("dcm_qa_me", "me"): "dcm_qa_me/In",
    ("dcm_qa_philips_dwi", "philipsdwi"): "dcm_qa_philips_dwi/In",
}


def convert(source: Path, target: Path, settings: BidsSettings = SETTINGS):
    target.mkdir()
    return convert_session(source, target, key=KEY, settings=settings)


def write_image(path: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), path)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): digest_file(path)
        for path in sorted_files(folder)
    }


@pytest.fixture(scope="module")
def multi_echo(shared_data: Path, tmp_path_factory: pytest.TempPathFactory):
    target = tmp_path_factory.mktemp("me") / "out"
    return target, convert(shared_data / "dicom/dcm_qa_me/In", target)


@pytest.fixture(scope="module")
def epi_run(shared_data: Path) -> list[Path]:
    """One GE run, a file a slice: 10 volumes of 15 slices."""
    folder = shared_data / "dicom/dcm_qa_nih/In/20180918GE/mr_0004"
    return sorted(
        folder.glob("*.dcm"), key=lambda f: read_header(f).instance_number or 0
    )


@pytest.fixture(scope="module")
def many_kinds(shared_data: Path, tmp_path_factory: pytest.TempPathFactory):
    target = tmp_path_factory.mktemp("xa30") / "out"
    return target, convert(shared_data / "dicom/dcm_qa_xa30/In", target)


def copy_all(files: list[Path], folder: Path) -> Path:
    folder.mkdir()
    for path in files:
        shutil.copy(path, folder)
    return folder


def expected_rows(shared_data: Path, session: tuple[str, str]) -> list[dict[str, str]]:
    table = shared_data / "bids/series_truth.tsv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in rows if (row["dataset"], row["sub"]) == session]


def find_row(report: ConversionReport, truth: dict[str, str]):
    (row,) = (r for r in report.series if truth["series_uid"] in r.series_uids)
    return row


def is_true(scan: ScanRow, truth: dict[str, str]) -> bool:
    """Tell whether an image has the true label; ``*`` stands for any value."""
    entities = filter(None, truth["entities"].split(";"))
    pairs = [entity.split("-", 1) for entity in entities]
    return (scan.datatype, scan.suffix) == (truth["datatype"], truth["suffix"]) and all(
        label in {"*", scan.entities.get(name)} for name, label in pairs
    )


@pytest.mark.parametrize("session", SESSIONS, ids=lambda s: s[1])
def test_real_sessions_get_their_true_names_and_no_validator_error(
    session, shared_data, tmp_path
):
    report = convert(shared_data / "dicom" / SESSIONS[session], tmp_path / "out")

    validation = validate_session(tmp_path / "out", key=KEY, settings=SETTINGS)
    assert validation.errors == ()
    assert sum(row.instances for row in report.series) == report.instances
    for truth in expected_rows(shared_data, session):
        row = find_row(report, truth)
        if truth["exclude"]:
            optional = truth["bids_name_optional"].removesuffix(".nii.gz")
            suffix = optional.rsplit("_", 1)[-1]
            assert row.outcome == "excluded" or row.scans[0].suffix == suffix
        else:
            assert any(is_true(scan, truth) for scan in row.scans)


def test_every_report_can_be_written_as_json(multi_echo):
    _, report = multi_echo

    assert json.loads(json.dumps(dataclasses.asdict(report)))["instances"] == 114


def test_sidecars_name_nobody_no_place_and_no_machine(multi_echo):
    target, _ = multi_echo
    refused = ("Institution", "Station", "Serial", "Patient", "Physician", "Study")
    refused += ("DateTime", "UID", "ConversionSoftware", "ProcedureStep")

    for path in target.rglob("*.json"):
        keys = set(json.loads(path.read_text())) - {
            "PatientPosition",
            "ImageOrientationPatientDICOM",
        }
        assert not [key for key in keys if any(word in key for word in refused)]


def test_the_sidecar_agrees_with_the_image(multi_echo):
    import nibabel

    target, _ = multi_echo
    for path in (target / "func").glob("*_bold.nii.gz"):
        sidecar = json.loads(path.with_name(path.name[:-7] + ".json").read_text())
        image = nibabel.Nifti1Image.from_filename(path)

        assert sidecar["RepetitionTime"] == pytest.approx(image.header.get_zooms()[3])
        assert max(sidecar["SliceTiming"]) <= sidecar["RepetitionTime"]
        assert len(sidecar["SliceTiming"]) == image.shape[2]


def test_the_scans_table_lists_exactly_the_images(multi_echo):
    target, _ = multi_echo
    lines = (target / f"{KEY}_scans.tsv").read_text().splitlines()[1:]

    images = {p.relative_to(target).as_posix() for p in target.rglob("*.nii.gz")}
    assert {line.split("\t")[0] for line in lines} == images


def test_bytes_depend_on_neither_names_nor_order_of_files(
    multi_echo, shared_data, tmp_path
):
    files = sorted_files(shared_data / "dicom/dcm_qa_me/In")
    random.Random(3).shuffle(files)
    other = tmp_path / "other"
    other.mkdir()
    for number, path in enumerate(files):
        shutil.copy(path, other / f"{number * 7919 % 1000:03}")

    report = convert(other, tmp_path / "out")

    assert digests(tmp_path / "out") == digests(multi_echo[0])
    assert report == multi_echo[1]


@pytest.mark.parametrize("name", ["dcm_qa_me", "dcm_qa_nih"])
def test_a_session_with_an_index_is_converted_without_reading_a_header(
    shared_data, tmp_path, monkeypatch, name
):
    source = tmp_path / "in"
    shutil.copytree(shared_data / "dicom" / name / "In", source)
    for path in source.rglob("*"):
        if path.is_file() and path.suffix != ".dcm":
            path.unlink()
    report = convert(source, tmp_path / "read")
    write_header_index(source)
    monkeypatch.delattr(instances, "read_instances")

    indexed = convert(source, tmp_path / "indexed")

    assert indexed == report
    assert digests(tmp_path / "indexed") == digests(tmp_path / "read")


def test_an_interrupted_run_is_converted_up_to_its_last_whole_volume(epi_run, tmp_path):
    import nibabel

    report = convert(copy_all(epi_run[:-4], tmp_path / "in"), tmp_path / "out")

    (row,) = report.series
    (image,) = (tmp_path / "out").rglob("*_bold.nii.gz")
    assert nibabel.Nifti1Image.from_filename(image).shape == (64, 64, 15, 9)
    assert (row.outcome, row.instances) == ("incomplete", 146)
    assert "11 of 146 instances are left out" in row.why


@pytest.mark.parametrize(
    ("lost", "whole"),
    [
        ([70], range(5, 10)),
        ([110, 111], range(7)),
        ([0], range(1, 10)),
        ([0, 1, 2, 3], range(1, 10)),
        ([14], range(1, 10)),
        ([149], range(9)),
        ([3, 149], range(1, 9)),
    ],
)
def test_only_the_longest_stretch_of_whole_volumes_is_converted(
    epi_run, tmp_path, lost, whole
):
    import nibabel
    import numpy as np

    kept = [path for number, path in enumerate(epi_run) if number not in lost]
    convert(copy_all(epi_run, tmp_path / "all"), tmp_path / "true")

    report = convert(copy_all(kept, tmp_path / "in"), tmp_path / "out")

    (true,) = (tmp_path / "true").rglob("*.nii.gz")
    (image,) = (tmp_path / "out").rglob("*.nii.gz")
    volumes = np.asarray(nibabel.Nifti1Image.from_filename(true).dataobj)
    found = np.asarray(nibabel.Nifti1Image.from_filename(image).dataobj)
    np.testing.assert_array_equal(found, volumes[..., list(whole)])
    (row,) = report.series
    assert row.outcome == "incomplete"
    left = [fate for fate in row.fates if not fate.files]
    assert sum(len(f.instances) for f in left) == len(kept) - 15 * len(whole)


def test_a_damaged_file_alone_never_reaches_the_converter(epi_run, tmp_path):
    source = copy_all(epi_run[:-15], tmp_path / "in")
    (source / "cut.dcm").write_bytes(epi_run[-1].read_bytes()[:5000])

    report = convert(source, tmp_path / "out")

    assert [row.outcome for row in report.series] == ["converted"]
    assert dict(report.unreadable) == {"truncated": 1}


def test_copies_damage_and_texts_are_counted_and_not_converted(epi_run, tmp_path):
    import nibabel

    source = copy_all(epi_run, tmp_path / "in")
    shutil.copy(epi_run[0], source / "copy.dcm")
    (source / "cut.dcm").write_bytes(epi_run[3].read_bytes()[:5000])
    (source / "notes.txt").write_text("no DICOM at all")

    report = convert(source, tmp_path / "out")

    (image,) = (tmp_path / "out").rglob("*_bold.nii.gz")
    assert nibabel.Nifti1Image.from_filename(image).shape[3] == 10
    assert (report.instances, report.duplicates, report.others) == (150, 1, 1)
    assert dict(report.unreadable) == {"truncated": 1}
    assert "truncated" in report.warnings[-1]


def test_a_series_without_a_name_is_kept_beside_the_valid_files(many_kinds):
    target, report = many_kinds

    (row,) = (r for r in report.series if r.outcome == "incomplete")
    kept = {Path(file).parts[0] for scan in row.scans for file in scan.files}
    assert kept == {"unclassified"}
    assert "BackgroundSuppression" in row.scans[0].rule_hint
    assert all((target / file).exists() for file in row.scans[0].files)


def test_the_hint_of_the_report_is_a_rule_that_the_study_file_accepts(many_kinds):
    import yaml

    _, report = many_kinds
    (hint,) = (s.rule_hint for r in report.series for s in r.scans if s.rule_hint)

    settings = BidsSettings.model_validate(yaml.safe_load(hint)["bids"])

    (rule,) = settings.rules
    assert rule.volume_types == ("label", "control")
    assert not rule.decides, "the name that was found stays"


def test_supplied_labelling_metadata_makes_a_valid_perfusion_series(
    shared_data, tmp_path
):
    settings = BidsSettings.model_validate(
        {
            "rules": [
                {
                    "match": {"ProtocolName": "asl*", "Volumes": {"minimum": 2}},
                    "metadata": {"BackgroundSuppression": False},
                    "volume_types": ["m0scan", "label", "control"],
                }
            ]
        }
    )

    convert(shared_data / "dicom/dcm_qa_xa30/In", tmp_path / "out", settings)

    context = tmp_path / "out" / f"perf/{KEY}_aslcontext.tsv"
    assert len(context.read_text().splitlines()) == 8
    validation = validate_session(tmp_path / "out", key=KEY, settings=settings)
    assert validation.errors == ()


def test_an_empty_session_and_a_used_folder_are_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="no DICOM") as caught:
        convert(empty, tmp_path / "out")
    assert caught.value.fix

    (tmp_path / "out" / "x").write_text("")
    with pytest.raises(BadInput, match="must be empty"):
        convert_session(empty, tmp_path / "out", key=KEY, settings=SETTINGS)


def test_images_without_sidecar_are_failures_and_never_converted(tmp_path):
    (tmp_path / "3_1.2.840.3.nii").write_bytes(b"cut off")
    (tmp_path / "4_1.2.840.4.nii").write_bytes(b"no header")
    (tmp_path / "4_1.2.840.4.json").write_text("{}")
    scratch = read_scratch(tmp_path)
    intake = Intake(files=(), left_out={}, duplicates=0, unreadable={}, others=0)

    converted = Converted(tmp_path, scratch, {})
    report = build_report(Conversion(intake, converted, (), ()), tmp_path, key=KEY)

    assert (scratch.outputs, scratch.orphans) == ((), ("3_1.2.840.3.nii",))
    assert scratch.unreadable == ("4_1.2.840.4.nii",)
    assert [row.outcome for row in report.series] == ["failed"]
    assert {scan.outcome for scan in report.series[0].scans} == {"failed"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('{"EchoTime": NaN, "FlipAngle": 9}', {"EchoTime": None, "FlipAngle": 9}),
        ('{"A": [1, -inf], "B": inf}', {"A": [1, None], "B": None}),
        ('{\n"A": [\n1200,\n],\n}', {"A": [1200]}),
        ('{"A": "two\nlines, nan"}', {"A": "two\nlines, nan"}),
    ],
)
def test_a_sidecar_that_is_nearly_json_is_read(tmp_path, written, read):
    write_image(tmp_path / "3_1.2.nii")
    (tmp_path / "3_1.2.json").write_text(written)

    (one,) = read_scratch(tmp_path).outputs

    assert one.sidecar == read


@pytest.mark.parametrize("written", ["", "{", "[1]", '{"A": nano}'])
def test_a_sidecar_that_says_nothing_is_a_failure(tmp_path, written):
    write_image(tmp_path / "3_1.2.nii")
    (tmp_path / "3_1.2.json").write_text(written)

    assert read_scratch(tmp_path).unreadable == ("3_1.2.nii",)


@pytest.mark.slow
def test_odd_files_of_many_vendors_are_all_accounted_for(shared_data, tmp_path):
    for source in sorted((shared_data / "dicom/misc").iterdir()):
        target = tmp_path / source.name
        report = convert(source, target)

        assert sum(row.instances for row in report.series) == report.instances
        assert all(row.why for row in report.series)
        kept = [f for row in report.series for scan in row.scans for f in scan.files]
        tables = [file for file in report.files if file.endswith("_scans.tsv")]
        assert sorted([*kept, *tables]) == list(report.files)
        assert validate_session(target, key=KEY, settings=SETTINGS).errors == ()


def test_a_rule_on_a_dicom_field_decides_in_a_conversion(shared_data, tmp_path):
    rule = {
        "match": {"dicom.Manufacturer": "GE*", "dicom.EchoTime": {"min": 20}},
        "exclude": "An EPI of this scanner.",
    }
    settings = BidsSettings.model_validate({"rules": [rule]})

    report = convert(
        shared_data / "dicom/dcm_qa_nih/In/20180918GE", tmp_path / "out", settings
    )

    excluded = [row for row in report.series if "An EPI" in row.why]
    assert excluded
    assert all(row.outcome == "excluded" for row in excluded)
