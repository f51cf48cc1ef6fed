"""A study of two sessions, small enough to be released in a second."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from imaging_platform.deid.guard_store import save_identifiers
from imaging_platform.deid.identifiers import Identifiers
from imaging_platform.files.writing import write_json, write_text
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import PIPELINES, Home
from imaging_platform.planning.cells import Cell, State
from imaging_platform.processing.sharing import Sharing, make_guards
from imaging_platform.provenance.record import Record
from imaging_platform.settings import load_study
from imaging_platform.storage.local import LocalStore

KEYS = (SessionKey("A", "1"), SessionKey("B", "1"))
NAME = "gwendolyn"
"""Of the person behind ``sub-A``; nobody may find it in a release."""


class Site:
    """The study, and what its plan says."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.store = LocalStore(root)
        skipped = [name for name in PIPELINES if name not in ("brain_mask", DEFACED)]
        write_text(
            self.home.study_file("s"),
            f"name: s\ntitle: Small\nderivatives: {{skip: [{', '.join(skipped)}]}}\n",
        )
        assets = ("raw_session", "anonymized_dicom", "bids_session", DEFACED)
        self.cells = {
            str(key): {
                asset: Cell(asset, str(key), State.FRESH)
                for asset in (*assets, "brain_mask", "session_quality")
            }
            for key in KEYS
        }
        for key in KEYS:
            self.add_session(key)

    def sharing(self, version: str = "1.0", date: str = "2026-05-01") -> Sharing:
        study = load_study(self.home, "s")
        return Sharing(self.home, study, version=version, date=date)

    def make(self, version: str = "1.0", **guards):
        sharing = self.sharing(version)
        chosen = sharing.choose(self.cells)
        return sharing.make(chosen, make_guards(self.home, "s"), lambda _: None)

    def root(self, version: str = "1.0") -> Path:
        return self.home.root / layout.release("s", version)

    def add_session(self, key: SessionKey) -> None:
        for asset in ("anonymized_dicom", "bids_session", DEFACED):
            self.publish(key, asset)
        self.publish(key, "brain_mask")
        self.publish(key, "session_quality")
        words = frozenset({NAME if key.subject == "A" else "thaddeus"})
        identifiers = Identifiers(words=words, dates=frozenset({"20190307"}))
        save_identifiers(self.home.guard_file("s", key), identifiers)
        for name in ("brain_mask", DEFACED):
            folder = self.home.root / layout.derivative_dataset("s", name)
            write_json(folder / "dataset_description.json", describe(name))

    def publish(self, key: SessionKey, asset: str, change=lambda tree: None) -> None:
        place = layout.session_tree("s", asset, key)
        with self.store.stage(place) as tree:
            report = FILLED[asset](tree, key)
            change(tree)
            if asset == "anonymized_dicom":
                report = {"proved": True, "files_written": 0}
            record = Record(asset, str(key), "1", inputs={}, report=report)
            self.store.publish(tree, place, record)


DEFACED = "defaced_t1w"


def describe(name: str) -> dict:
    return {
        "Name": name,
        "BIDSVersion": "1.11.1",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": name, "Version": "1"}],
        "DatasetLinks": {"raw": "../../../bids/s"},
    }


def write_image(path: Path, value: int, shape=(4, 4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.full(shape, value, np.int16), np.eye(4))
    if len(shape) == 4:
        image.header.set_zooms((1, 1, 1, 2.0))
    nib.save(image, path)


def _fill_bids(tree: Path, key: SessionKey) -> dict:
    for suffix in ("T1w", "SWI"):
        write_image(tree / f"anat/{key}_{suffix}.nii.gz", 7)
        write_json(tree / f"anat/{key}_{suffix}.json", {"Manufacturer": "x"})
    bold = f"func/{key}_task-rest_bold"
    write_image(tree / f"{bold}.nii.gz", 3, (4, 4, 4, 3))
    write_json(tree / f"{bold}.json", {"RepetitionTime": 2.0, "TaskName": "rest"})
    write_image(tree / f"unclassified/{key}_odd.nii.gz", 9)
    names = (f"anat/{key}_T1w.nii.gz", f"anat/{key}_SWI.nii.gz", f"{bold}.nii.gz")
    rows = "".join(f"{name}\t1915-01-02T10:00:00\n" for name in names)
    write_text(tree / f"{key}_scans.tsv", f"filename\tacq_time\n{rows}")
    write_json(tree / layout.PARTICIPANT, {"age": "34", "sex": "F"})
    return {}


def _fill_defaced(tree: Path, key: SessionKey) -> dict:
    image = f"anat/{key}_desc-defaced_T1w.nii.gz"
    write_image(tree / image, 5)
    row = {"scan": f"{key}_T1w", "image": image, "was_defaced": False}
    return {"scans": [{**row, "face_left_percent": 3.0}], "skipped": []}


def _fill_mask(tree: Path, key: SessionKey) -> dict:
    name = f"anat/{key}_desc-brain_mask"
    write_image(tree / f"{name}.nii.gz", 1)
    write_json(
        tree / f"{name}.json",
        {"Type": "Brain", "Sources": [f"bids:raw:sub-{key.subject}/ses-1/anat/x"]},
    )
    return {}


def _fill_quality(tree: Path, key: SessionKey) -> dict:
    row = {"scan": f"{key}_T1w", "metric": "cjv", "value": 0.4, "unit": ""}
    judged = {**row, "verdict": "pass", "threshold": "", "reason": ""}
    write_json(tree / "metrics.json", {"metrics": [judged], "skipped": []})
    return {}


FILLED = {
    "anonymized_dicom": lambda tree, key: {},
    "bids_session": _fill_bids,
    DEFACED: _fill_defaced,
    "brain_mask": _fill_mask,
    "session_quality": _fill_quality,
}


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path / "home")


@pytest.fixture
def unvalidated(monkeypatch) -> None:
    """The validator takes seconds; one test asks it."""
    from imaging_platform.tools.validator import Validation

    monkeypatch.setattr(
        "imaging_platform.processing.sharing.validate_dataset",
        lambda root: Validation((), (), 0),
    )
