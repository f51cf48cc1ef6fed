from __future__ import annotations

from pathlib import Path

from imaging_platform.tools.dcm2niix import convert_folder


def convert(source: Path, target: Path) -> dict[str, bytes]:
    target.mkdir()
    convert_folder(source, target)
    return {path.name: path.read_bytes() for path in target.iterdir()}


def test_the_defaults_of_a_user_change_nothing(shared_data, tmp_path, monkeypatch):
    source = shared_data / "dicom/dcm_qa_nih/In/20180918GE/mr_0004"
    own = tmp_path / "home"
    own.mkdir()
    monkeypatch.setenv("HOME", str(own))
    plain = convert(source, tmp_path / "plain")

    (own / ".dcm2nii.ini").write_text("isMaximize16BitRange=1\nisSave3D=1\n")

    assert convert(source, tmp_path / "set") == plain
    assert len(plain) == 2
