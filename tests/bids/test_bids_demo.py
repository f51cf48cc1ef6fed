"""The demo study gets the labels that were planted, from all three vendors."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

from imaging_platform.bids.session import convert_session
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.bids.validation import validate_session
from imaging_platform.demo.study import write_demo_study
from imaging_platform.dicom.headers import read_header
from imaging_platform.files.digests import sorted_files
from imaging_platform.model.ids import SessionKey


def gather_sessions(folder: Path) -> dict[tuple[str, str], list[Path]]:
    for archive in folder.rglob("*.zip"):
        zipfile.ZipFile(archive).extractall(folder / f"{archive.stem}-unpacked")
        archive.unlink()
    found: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in sorted_files(folder):
        if path.read_bytes()[128:132] == b"DICM" and path.name != "DICOMDIR":
            header = read_header(path)
            found[header.patient_id, header.study_date].append(path)
    return found


@pytest.mark.slow
def test_every_demo_series_gets_its_planted_label_and_is_valid(tmp_path):
    study = write_demo_study(tmp_path / "demo", small=True)
    sessions = gather_sessions(tmp_path / "demo")
    key, settings = SessionKey("01", "1"), BidsSettings()

    for session in study.sessions:
        source, target = tmp_path / f"in-{session.name}", tmp_path / session.name
        source.mkdir()
        target.mkdir()
        for number, path in enumerate(sessions[session.patient_id, session.study_date]):
            (source / str(number)).hardlink_to(path)
        report = convert_session(source, target, key=key, settings=settings)

        assert validate_session(target, key=key, settings=settings).errors == ()
        rows = {row.series_number: row for row in report.series}
        for truth in session.series:
            row = rows[truth.number]
            if truth.excluded:
                assert row.outcome == "excluded"
                continue
            assert row.outcome == "converted"
            assert {scan.datatype for scan in row.scans} == {truth.datatype}
            assert sorted(s.suffix for s in row.scans) == sorted(truth.suffixes)
            for scan in row.scans:
                assert set(truth.entities) <= set(scan.entities.items())
