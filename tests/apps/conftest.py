"""A session in BIDS and a small real app that works on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from imaging_platform.apps.settings import App
from imaging_platform.files.writing import write_json
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey

KEY = SessionKey("01", "1")
TINY_APP = Path(__file__).with_name("tiny_app.sh")
COMMAND = (
    "{bids_dir} {out_dir} participant --subject {subject} --session {session} "
    "--work {work_dir} {params.mode}"
)
ENTRY: dict[str, Any] = {
    "name": "tiny",
    "version": "1.2",
    "command": COMMAND,
    "params": {"mode": "all"},
    "needs": ["anat/*_T1w.nii.gz"],
    "outputs": [
        {"glob": "sub-{subject}/**/*_desc-copy_T1w.nii.gz"},
        {"glob": "sub-{subject}/**/*_desc-copy_T1w.json", "metrics": True},
        {"glob": "sub-{subject}.html"},
        {"glob": "**/*_never.json", "required": False},
    ],
    "cpus": 1,
    "memory_gb": 0.1,
    "timeout_min": 1,
}


def local_app(mode: str = "all", **changed: Any) -> App:
    """Return the tiny app as a program of this machine."""
    runner = {"runner": "local", "executable": str(TINY_APP)}
    return App.model_validate({**ENTRY, **runner, "params": {"mode": mode}, **changed})


def write_session(tree: Path, key: SessionKey = KEY) -> Path:
    """Write a BIDS session with one T1w."""
    anat = tree / "anat"
    anat.mkdir(parents=True)
    voxels = np.random.default_rng(1).integers(0, 99, (8, 9, 10), dtype=np.int16)
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    nibabel.save(image, anat / f"{key}_T1w.nii.gz")
    write_json(anat / f"{key}_T1w.json", {"EchoTime": 0.003})
    write_json(tree / layout.PARTICIPANT, {"age": "34", "sex": "F"})
    return tree


@pytest.fixture
def session(tmp_path) -> Path:
    return write_session(tmp_path / "bids" / "session")
