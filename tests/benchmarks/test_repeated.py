"""The long session of the benchmark is made of whole and different instances."""

from __future__ import annotations

from pathlib import Path

from benchmarks.repeated import repeat_session
from imaging_platform.bids.source import read_source
from tests.dicom.dicom_bytes import mr_file


def test_every_repeated_file_is_an_instance_of_its_own(
    tmp_path: Path,
):
    (tmp_path / "in").mkdir()
    for number in range(3):
        content = mr_file(sop_uid=f"1.2.3.4{number}1234")
        (tmp_path / "in" / f"{number}.dcm").write_bytes(content)

    target = repeat_session(tmp_path / "in", tmp_path / "out", n_files=50)

    intake = read_source(target)
    assert len(intake.files) == 51
    assert (intake.duplicates, intake.unreadable) == (0, {})
