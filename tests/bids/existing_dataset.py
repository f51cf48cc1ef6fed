"""A small BIDS dataset of made-up people, as a lab might have it already."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np

BOLD = {
    "RepetitionTime": 2.0,
    "EchoTime": 0.03,
    "PatientName": "Kestrel",
    "InstitutionName": "Somewhere",
    "SeriesDescription": "bold rest",
    "ProtocolName": "Kestrel Ann",
    "Manufacturer": "Siemens",
    "TaskName": "Rest of Kestrel",
    "B0FieldSource": "fmap0_subKestrel",
}


def write_image(path: Path, *, volumes: int = 1, repetition_s: float = 2.0) -> None:
    """Write an image with a name in its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (4, 3, 2, volumes) if volumes > 1 else (4, 3, 2)
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    image = nibabel.Nifti1Image(voxels, np.diag([2, 3, 4, 1]))
    image.header["descrip"] = b"Kestrel Ann"
    if volumes > 1:
        image.header.set_zooms((2, 3, 4, repetition_s))
        image.header.set_xyzt_units("mm", "sec")
    image.to_filename(path)


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def make_dataset(root: Path) -> Path:
    """
    Write two subjects: ``01`` with two sessions, ``Kestrel`` without any ``ses-``.

    The sidecar of the BOLD runs stands at the top; dates are real ones.
    """
    write_json(
        root / "dataset_description.json", {"Name": "Lab", "BIDSVersion": "1.8.0"}
    )
    write_json(root / "task-rest_bold.json", BOLD)
    (root / "participants.tsv").write_text(
        "participant_id\tage\tsex\tname\nsub-01\t31\tfemale\tA\nsub-Kestrel\t93\tM\tB\n"
    )
    (root / "README").write_text("A dataset.")
    for labels in (("01", "1"), ("01", "2"), ("Kestrel", "")):
        write_session(root, *labels)
    return root


def write_session(root: Path, subject: str, session: str) -> None:
    folder = root / f"sub-{subject}"
    name = f"sub-{subject}"
    if session:
        folder, name = folder / f"ses-{session}", f"{name}_ses-{session}"
    write_image(folder / f"anat/{name}_T1w.nii.gz")
    write_json(folder / f"anat/{name}_T1w.json", {"EchoTime": 0.003, "FlipAngle": 9})
    bold = folder / f"func/{name}_task-rest"
    write_image(Path(f"{bold}_bold.nii.gz"), volumes=3)
    Path(f"{bold}_events.tsv").write_text(
        "onset\tduration\ttrial_type\tsubject_name\n0.5\t1\tface\tAnn Kestrel\n"
    )
    recording = Path(f"{bold}_physio.tsv.gz")
    recording.write_bytes(gzip.compress(b"0.1\t0\n0.2\t1\n"))
    write_json(
        Path(f"{bold}_physio.json"),
        {"SamplingFrequency": 50, "StartTime": 0, "Columns": ["cardiac", "trigger"]},
    )
    write_image(folder / f"fmap/{name}_dir-AP_epi.nii.gz")
    write_json(
        folder / f"fmap/{name}_dir-AP_epi.json",
        {
            "PhaseEncodingDirection": "j",
            "TotalReadoutTime": 0.03,
            "B0FieldIdentifier": "fmap0_subKestrel",
            "IntendedFor": [
                f"{'ses-' + session + '/' if session else ''}func/"
                f"{name}_task-rest_bold.nii.gz",
                "func/gone_bold.nii.gz",
            ],
        },
    )
    (folder / f"{name}_scans.tsv").write_text(
        f"filename\tacq_time\toperator\nanat/{name}_T1w.nii.gz\t"
        "2021-05-03T10:00:00\tAnn\n"
        f"func/{name}_task-rest_bold.nii.gz\t2021-05-03T10:10:00.5\tAnn\n"
    )
    (folder / "notes about Ann.txt").write_text("Ann")
