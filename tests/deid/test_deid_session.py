"""One session in, one de-identified session out: what leaves and what stays."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag

from imaging_platform.deid.settings import DeidSettings
from imaging_platform.files.digests import digest_file, sorted_files
from imaging_platform.model.errors import BadInput, Held, IdentityLeak, MissingKey
from imaging_platform.model.ids import SessionKey
from tests.deid.conftest import Anonymize
from tests.deid.originals import (
    MR,
    OTHER_SECRET,
    ROOT,
    SECRET,
    make_original,
    save,
    write_originals,
)

RETAINS = DeidSettings(institution="retain")
IDENTITY = (
    b"zuckerschwerdt quirina px4711888 ferdinandsen acc445566 station77 66887 st9988 "
    b"nowhere scanner77 nervous 19280412 20200229 20200301 2020-02-29"
).split()


def _one(folder: Path, change: object = None) -> Path:
    original = make_original()
    if callable(change):
        change(original)
    folder.mkdir(exist_ok=True)
    save(original, folder / "a")
    return folder


def test_no_identity_is_left_anywhere_in_the_files(tmp_path, anonymize: Anonymize):
    result = anonymize(write_originals(tmp_path / "in"))

    assert result.report.files_written == 2
    written = [path for path in result.target.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} == {".dcm", ".json"}
    for path in written:
        data = path.read_bytes().lower()
        assert [word for word in IDENTITY if word in data] == []
        assert ROOT.encode() not in data


def test_no_identity_is_left_in_the_report(tmp_path, anonymize: Anonymize):
    report = anonymize(write_originals(tmp_path / "in")).report

    text = json.dumps(dataclasses.asdict(report)).lower().encode()

    assert [word for word in IDENTITY if word in text] == []


def test_what_conversion_and_naming_need_stays(tmp_path, anonymize: Anonymize):
    (written,) = anonymize(_one(tmp_path / "in")).files

    assert written.SeriesDescription == "func_task-rest"
    assert written.ProtocolName == "func_task-rest"
    assert list(written.ImageType) == ["ORIGINAL", "PRIMARY", "M", "ND"]
    assert written.SequenceName == "epfid2d1_64"
    assert written.Manufacturer == "SIEMENS"
    assert float(written.EchoTime) == 30
    assert np.array_equal(written.pixel_array, np.arange(24).reshape(4, 6) + 1)


def test_the_subject_is_named_by_the_session_key(tmp_path, anonymize: Anonymize):
    (written,) = anonymize(_one(tmp_path / "in"), key=SessionKey("Q9", "2")).files

    nested = written.SharedFunctionalGroupsSequence[0]
    inner = nested.MRTimingAndRelatedParametersSequence[0]
    assert written.PatientName == written.PatientID == "sub-Q9"
    assert inner.PatientName == "sub-Q9"


def test_the_file_says_what_was_done(tmp_path, anonymize: Anonymize):
    (written,) = anonymize(_one(tmp_path / "in")).files

    codes = [item.CodeValue for item in written.DeidentificationMethodCodeSequence]
    assert written.PatientIdentityRemoved == "YES"
    assert written.LongitudinalTemporalInformationModified == "MODIFIED"
    assert codes == ["113100", "113105", "113107", "113108", "113111"]
    assert written.DeidentificationMethod.startswith("imaging_platform ")


def test_birth_date_is_empty_and_age_is_ninety_at_most(tmp_path, anonymize: Anonymize):
    (written,) = anonymize(_one(tmp_path / "in")).files

    assert written.PatientBirthDate == ""
    assert written.PatientAge == "090Y"


def test_dates_move_together_and_times_stay(tmp_path, anonymize: Anonymize):
    (written,) = anonymize(_one(tmp_path / "in")).files

    nested = written.SharedFunctionalGroupsSequence[0]
    content = nested.MRTimingAndRelatedParametersSequence[0].ContentDate
    study = np.datetime64(_dashed(written.StudyDate))
    assert study < np.datetime64("2020-02-29")
    assert np.datetime64(_dashed(content)) - study == np.timedelta64(1, "D")
    assert written.StudyTime == "131400"
    assert written.AcquisitionDateTime[8:] == "131415.250000"


def _dashed(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:8]}"


def test_uids_change_and_references_still_meet(tmp_path, anonymize: Anonymize):
    first, second = anonymize(write_originals(tmp_path / "in")).files

    assert {str(f.file_meta.MediaStorageSOPInstanceUID) for f in (first, second)} == {
        str(first.SOPInstanceUID),
        str(second.SOPInstanceUID),
    }
    referenced = first.ReferencedImageSequence[0]
    assert referenced.ReferencedSOPInstanceUID in {
        first.SOPInstanceUID,
        second.SOPInstanceUID,
    }
    assert referenced.ReferencedSOPClassUID == MR
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SeriesInstanceUID.startswith("2.25.")


def test_file_names_come_from_pseudonyms(tmp_path, anonymize: Anonymize):
    result = anonymize(_one(tmp_path / "in"))

    (path,) = sorted_files(result.target)
    assert re.fullmatch(r"0003-[0-9a-f]{8}", path.parent.name)
    assert path.stem == dcmread(path).SOPInstanceUID


def test_the_same_originals_give_the_same_bytes(tmp_path, anonymize: Anonymize):
    source = write_originals(tmp_path / "in", 3)

    first, second = anonymize(source), anonymize(source)

    assert _tree(first.target) == _tree(second.target)
    assert first.report == second.report


@pytest.mark.slow
def test_several_processes_give_the_same_bytes(tmp_path, anonymize: Anonymize):
    source = write_originals(tmp_path / "in", 6)

    assert _tree(anonymize(source, jobs=2).target) == _tree(anonymize(source).target)


def _tree(root: Path) -> dict[str, str]:
    return {p.relative_to(root).as_posix(): digest_file(p) for p in sorted_files(root)}


def test_another_secret_shares_no_uid(tmp_path, anonymize: Anonymize):
    source = write_originals(tmp_path / "in")

    ours = _uids(anonymize(source, secret=SECRET).files)
    theirs = _uids(anonymize(source, secret=OTHER_SECRET).files)

    assert len(ours) >= 5
    assert not ours & theirs


def _uids(files: list[FileDataset]) -> set[str]:
    return {
        str(element.value)
        for file in files
        for element in file.iterall()
        if element.VR == "UI" and not str(element.value).startswith("1.2.840.10008")
    }


@pytest.mark.parametrize(
    "tag",
    [
        0x00091010,
        0x00880200,
        0x00189999,
        0x60003000,
        0x50003000,
        0x04000561,
        0xFFFCFFFC,
    ],
    ids=["private", "icon", "unknown", "overlay", "curve", "earlier", "padding"],
)
def test_a_container_that_may_hold_anything_is_dropped(
    tmp_path, anonymize: Anonymize, tag
):
    def add(original: FileDataset) -> None:
        if tag not in (0x00880200, 0x04000561):
            original.add_new(Tag(tag), "OB", b"anything")

    (written,) = anonymize(_one(tmp_path / "in", add)).files

    assert Tag(tag) not in written


def test_the_preamble_is_empty_and_bytes_behind_the_pixels_are_gone(
    tmp_path, anonymize: Anonymize
):
    folder = _one(tmp_path / "in")
    data = (folder / "a").read_bytes()
    (folder / "a").write_bytes(b"MZ evil".ljust(128) + data[128:] + b"Quirina was here")

    (path,) = sorted_files(anonymize(folder).target)

    assert path.read_bytes()[:128] == bytes(128)
    assert path.read_bytes()[-48:] == (np.arange(24, dtype="<u2") + 1).tobytes()


def test_free_text_that_no_list_names_is_dropped(tmp_path, anonymize: Anonymize):
    (written,) = anonymize(_one(tmp_path / "in")).files

    assert "PatientComments" not in written
    assert "StudyDescription" not in written
    assert written.ImageComments == ""
    assert written.AnatomicRegionSequence[0].CodeMeaning == "Brain"


def test_characteristics_go_when_the_study_says_so(tmp_path, anonymize: Anonymize):
    settings = DeidSettings(characteristics=("sex",))

    (written,) = anonymize(_one(tmp_path / "in"), settings=settings).files

    assert written.PatientSex == "F"
    assert "PatientWeight" not in written
    assert "PatientAge" not in written


def test_descriptions_go_when_the_study_says_so(tmp_path, anonymize: Anonymize):
    settings = DeidSettings(descriptors="remove")

    result = anonymize(_one(tmp_path / "in"), settings=settings)

    assert "SeriesDescription" not in result.files[0]
    assert "113105" not in dict(result.report.method_codes)


def test_an_echo_in_a_kept_element_stops_the_session(tmp_path, anonymize: Anonymize):
    with pytest.raises(IdentityLeak) as caught:
        anonymize(_one(tmp_path / "in", _name_clinic_after_patient), settings=RETAINS)

    assert "InstitutionName" in str(caught.value)
    assert "Zuckerschwerdt" not in str(caught.value)
    assert caught.value.fix


def _name_clinic_after_patient(original: FileDataset) -> None:
    original.InstitutionName = "Clinic Zuckerschwerdt"


def test_nothing_is_published_when_one_file_leaks(tmp_path, anonymize: Anonymize):
    source = write_originals(tmp_path / "in", 2)
    leaking = make_original(9)
    _name_clinic_after_patient(leaking)
    save(leaking, source / "z")
    before = {path.name for path in tmp_path.iterdir()}

    with pytest.raises(IdentityLeak, match="1 de-identified file"):
        anonymize(source, settings=RETAINS)

    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_copy_of_a_file_is_counted_once(tmp_path, anonymize: Anonymize):
    source = write_originals(tmp_path / "in", 1)
    shutil.copy(source / "Scan 3 1", source / "again")

    report = anonymize(source).report

    assert (report.files_read, report.files_written, report.files_duplicate) == (
        2,
        1,
        1,
    )


def test_the_same_uid_with_other_content_holds_the_session(
    tmp_path, anonymize: Anonymize
):
    source = write_originals(tmp_path / "in", 1)
    other = make_original(1)
    other.EchoTime = "31"
    save(other, source / "other")

    with pytest.raises(Held, match="SOPInstanceUID") as caught:
        anonymize(source)

    assert caught.value.fix


def test_two_patients_hold_the_session(tmp_path, anonymize: Anonymize):
    source = write_originals(tmp_path / "in", 1)
    other = make_original(2)
    other.PatientID = "SOMEBODY ELSE"
    save(other, source / "other")

    with pytest.raises(Held, match="2 PatientIDs"):
        anonymize(source)


def test_a_target_with_content_is_refused(tmp_path, anonymize: Anonymize):
    from imaging_platform.deid.session import anonymize_session

    with pytest.raises(BadInput) as caught:
        anonymize_session(
            write_originals(tmp_path / "in"),
            tmp_path,
            key=SessionKey("A", "1"),
            settings=DeidSettings(),
            secret=SECRET,
        )

    assert "new folder" in caught.value.fix


def test_a_short_secret_is_refused(tmp_path, anonymize: Anonymize):
    with pytest.raises(MissingKey) as caught:
        anonymize(write_originals(tmp_path / "in"), secret=b"short")

    assert caught.value.fix


def test_an_empty_folder_gives_an_empty_session(tmp_path, anonymize: Anonymize):
    (tmp_path / "in").mkdir()

    report = anonymize(tmp_path / "in").report

    assert (report.files_read, report.files_written) == (0, 0)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_pixels_in_an_item_go_since_no_gate_has_seen_them(
    tmp_path, anonymize: Anonymize, is_compressed
):
    def add(original: FileDataset) -> None:
        for sequence in ("IconImageSequence", "SharedFunctionalGroupsSequence"):
            item = Dataset()
            item.Rows = 7
            item.PixelData = encapsulate([b"ICON"]) if is_compressed else b"ICON"
            item["PixelData"].VR = "OB"
            item["PixelData"].is_undefined_length = is_compressed
            setattr(original, sequence, [item])

    (written,) = anonymize(_one(tmp_path / "in", add)).files

    assert "IconImageSequence" not in written
    assert written.SharedFunctionalGroupsSequence[0].Rows == 7
    assert "PixelData" not in written.SharedFunctionalGroupsSequence[0]
