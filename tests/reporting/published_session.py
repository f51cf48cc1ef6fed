"""A published session made of ellipsoids: small, quick, and with every part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.provenance.record import Record, write_record

SCAN = "sub-01_ses-1"
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def write_session(root: Path, *, volumes: int = 24) -> dict[str, Path]:
    """Write every input of a session report under `root`; return them by name."""
    trees = {
        name: root / name
        for name in (
            "anonymized_dicom",
            "bids_session",
            "brain_mask",
            "defaced_t1w",
            "motion",
            "temporal_snr",
            "diffusion_maps",
            "session_quality",
        )
    }
    write_anatomy(trees)
    write_bold(trees, volumes)
    write_diffusion(trees)
    write_quality(trees["session_quality"])
    write_records(trees)
    return trees


def write_anatomy(trees: dict[str, Path]) -> None:
    head, brain = ellipsoid((0.42, 0.46, 0.46)), ellipsoid((0.3, 0.36, 0.3))
    noise = np.random.default_rng(1).normal(0, 12, head.shape)
    t1w = np.abs(300 * head + 500 * brain + noise).astype(np.int16)
    face = np.zeros_like(head)
    face[:, 45:, :20] = True
    write_image(trees["bids_session"] / f"anat/{SCAN}_T1w.nii.gz", t1w)
    write_image(
        trees["brain_mask"] / f"anat/{SCAN}_desc-brain_mask.nii.gz",
        brain.astype(np.uint8),
    )
    write_image(
        trees["defaced_t1w"] / f"anat/{SCAN}_desc-defaced_T1w.nii.gz",
        np.where(face, 0, t1w).astype(np.int16),
    )


def write_bold(trees: dict[str, Path], volumes: int) -> None:
    brain = ellipsoid((0.36, 0.4, 0.4), shape=(24, 28, 16))
    noise = np.random.default_rng(2).normal(0, 9, (*brain.shape, volumes))
    bold = (800 * brain[..., None] + 20 + noise).astype(np.float32)
    stem = f"func/{SCAN}_task-rest"
    write_image(trees["bids_session"] / f"{stem}_bold.nii.gz", bold)
    mean = bold.mean(axis=3)
    tsnr = mean / bold.std(axis=3, ddof=1)
    folder = trees["temporal_snr"]
    write_image(folder / f"{stem}_desc-mean_sbref.nii.gz", mean)
    write_image(folder / f"{stem}_desc-tsnr_sbref.nii.gz", tsnr)
    write_motion(trees["motion"] / f"{stem}_desc-motion_timeseries.tsv", volumes)


def write_motion(path: Path, volumes: int) -> None:
    walk = np.cumsum(np.random.default_rng(3).normal(0, 0.02, (volumes, 6)), axis=0)
    walk[:, 3:] /= 50
    step = np.abs(np.diff(walk, axis=0, prepend=walk[:1]))
    displacement = step[:, :3].sum(axis=1) + 50 * step[:, 3:].sum(axis=1)
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    lines = ["\t".join([*names, "framewise_displacement"])]
    for number, (row, fd) in enumerate(zip(walk, displacement, strict=True)):
        cells = [f"{value:.5f}" for value in row]
        lines.append("\t".join([*cells, f"{fd:.5f}" if number else "n/a"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_diffusion(trees: dict[str, Path]) -> None:
    brain = ellipsoid((0.36, 0.4, 0.4), shape=(24, 28, 16))
    stem = f"dwi/{SCAN}"
    fa = np.where(brain, 0.35, 0).astype(np.float32)
    write_image(trees["bids_session"] / f"{stem}_dwi.nii.gz", fa)
    write_image(trees["diffusion_maps"] / f"{stem}_desc-tensor_FA.nii.gz", fa)


def write_quality(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (
            "task-rest_bold",
            "fd_mean",
            "0.31",
            "mm",
            "look",
            "<= 0.3",
            "FD above 0.3 mm",
        ),
        ("task-rest_bold", "tsnr", "58.2", "n/a", "pass", ">= 30", "n/a"),
        ("T1w", "cjv", "0.61", "n/a", "pass", "<= 0.8", "n/a"),
        ("T1w", "efc", "0.52", "n/a", "n/a", "n/a", "n/a"),
    ]
    head = ("scan", "metric", "value", "unit", "verdict", "threshold", "reason")
    lines = ["\t".join(row) for row in (head, *rows)]
    (folder / "metrics.tsv").write_text("\n".join(lines) + "\n")
    verdict = {"verdict": "look", "reasons": ["task-rest_bold: FD above 0.3 mm"]}
    (folder / "verdict.json").write_text(json.dumps(verdict))


def write_records(trees: dict[str, Path]) -> None:
    reports = {
        "anonymized_dicom": {
            "files_read": 406,
            "files_written": 400,
            "files_duplicate": 1,
            "proved": True,
            "shortfalls": [
                {
                    "series_number": 5,
                    "n_instances": 11,
                    "why": "11 of 12 images of an acquisition came.",
                    "missing": ["slice at -12.5 mm of volume 3"],
                }
            ],
            "policy_digest": "ab" * 32,
            "table_edition": "2026c",
            "engine_version": "1",
            "actions": {"remove": 8123, "remap UID": 2001, "keep": 40211},
            "method_codes": [
                ["113100", "Basic Application Confidentiality Profile"],
                ["113107", "Retain Longitudinal Temporal Information Modified"],
            ],
            "options": {"descriptors": "clean", "masks": [{"name": "us_banner"}]},
            "written": [
                {
                    "series": "0002-0a1b2c3d",
                    "sop_class": "MR Image Storage",
                    "n_files": 390,
                    "mask": "",
                    "is_released": False,
                },
                {
                    "series": "0006-1a1b2c3d",
                    "sop_class": "Ultrasound Image Storage",
                    "n_files": 10,
                    "mask": "us_banner",
                    "is_released": True,
                },
            ],
            "quarantined": [
                {
                    "reason": "text is burned into the pixels",
                    "sop_class": "MR Image Storage",
                    "series_number": 7,
                    "series": "0007-5e6f7a8b",
                    "n_files": 2,
                    "can_be_released": True,
                },
                {
                    "reason": "structured report is not released",
                    "sop_class": "Enhanced SR Storage",
                    "series_number": 99,
                    "series": "0099-9c8d7e6f",
                    "n_files": 2,
                    "can_be_released": False,
                },
                {
                    "reason": "not DICOM",
                    "sop_class": "",
                    "series_number": 0,
                    "series": "",
                    "n_files": 1,
                    "can_be_released": False,
                },
            ],
        },
        "bids_session": {"series": SERIES},
    }
    for name, tree in trees.items():
        tree.mkdir(parents=True, exist_ok=True)
        record = Record(
            asset=name,
            partition=SCAN,
            code_version="1.abc",
            inputs={},
            tools={"dcm2niix": "1.0"} if name == "bids_session" else {},
            report=reports.get(name, {}),
            data_version=f"{len(name):064x}",
        )
        write_record(tree, record)


SERIES = [
    {
        "series_number": 1,
        "instances": 11,
        "description": "localizer",
        "outcome": "excluded",
        "scans": [],
        "why": "A localizer is for planning.",
    },
    {
        "series_number": 2,
        "instances": 12,
        "description": "t1_mprage <script>alert(1)</script>",
        "outcome": "converted",
        "scans": [{"files": [f"anat/{SCAN}_T1w.nii.gz", f"anat/{SCAN}_T1w.json"]}],
        "why": "Inversion recovery gradient echo in three dimensions.",
    },
    {
        "series_number": 3,
        "instances": 13,
        "description": "mystery",
        "outcome": "unknown",
        "scans": [],
        "why": "No rule fits.",
    },
    {
        "series_number": 4,
        "instances": 13,
        "description": "rest",
        "outcome": "incomplete",
        "scans": [{"files": [f"func/{SCAN}_task-rest_bold.nii.gz"]}],
        "why": "The last volume is cut off.",
        "fates": [
            {
                "outcome": outcome,
                "why": "",
                "files": [],
                "instances": [f"1.2.840.{outcome}.{n}" for n in range(count)],
            }
            for outcome, count in (("converted", 11), ("incomplete", 2))
        ],
    },
]


def ellipsoid(
    radii: tuple[float, float, float], *, shape: tuple[int, int, int] = (56, 64, 56)
) -> NDArray[np.bool_]:
    """Return a centred ellipsoid; `radii` are fractions of each axis."""
    axes = [
        np.linspace(-0.5, 0.5, size) / r for size, r in zip(shape, radii, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 < 1


def write_image(path: Path, data: NDArray[np.generic]) -> None:
    import nibabel as nib

    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, AFFINE), path)  # type: ignore[arg-type]
