"""One small demo study and its conversion, shared by the tests of this folder."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from imaging_platform.demo.identities import VISITS
from imaging_platform.demo.study import DemoStudy, write_demo_study
from imaging_platform.tools.dcm2niix import convert_folder
from tests.demo.outputs import Converted


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> DemoStudy:
    return write_demo_study(tmp_path_factory.mktemp("demo"), small=True)


@pytest.fixture(scope="session")
def folders(
    study: DemoStudy, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Each drop as a folder: the zip unpacked."""
    found = {}
    for drop in study.drops:
        found[drop.name] = drop.path
        if drop.path.suffix == ".zip":
            found[drop.name] = tmp_path_factory.mktemp("unpacked")
            with zipfile.ZipFile(drop.path) as archive:
                archive.extractall(found[drop.name])
    return found


@pytest.fixture(scope="session")
def converted(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Converted]]:
    """Outputs of one dcm2niix call a drop, by name of session."""
    session_of = {visit.uid("study"): visit.name for visit in VISITS}
    found: dict[str, list[Converted]] = {}
    for folder in folders.values():
        target = tmp_path_factory.mktemp("converted")
        convert_folder(folder, target)
        for path in sorted(target.glob("*.nii")):
            sidecar = json.loads(path.with_suffix(".json").read_text())
            name = session_of[sidecar["StudyInstanceUID"]]
            found.setdefault(name, []).append(Converted(path, sidecar))
    return found
