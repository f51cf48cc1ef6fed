"""The demo study in full size: what is measured beside what was planted."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_mni152_brain_mask
from scipy.ndimage import map_coordinates

from imaging_platform.demo.geometry import Grid
from imaging_platform.demo.identities import VISITS
from imaging_platform.demo.motion import framewise_displacement_mm
from imaging_platform.demo.session import ScannedHead, acquisitions_of
from imaging_platform.demo.study import demo_study_truth
from imaging_platform.derivatives.images import read_image, write_image
from imaging_platform.tools.isolated import call_isolated
from tests.derivatives.test_brain_mask import dice

pytestmark = pytest.mark.slow

KEY = {"subject": "01", "session": "a"}
STEM = "sub-01_ses-a"


@pytest.fixture(scope="module", params=VISITS, ids=lambda visit: visit.name)
def scanned(request, tmp_path_factory):
    """The resting run and the T1w of one visit as BIDS, and what is known of them."""
    folder = tmp_path_factory.mktemp(request.param.name)
    head = ScannedHead(request.param, small=False, seed=2026)
    truth = next(
        each
        for each in demo_study_truth(folder).sessions
        if each.name == request.param.name
    )
    session = folder / "raw" / "sub-01" / "ses-a"
    for kind, name in (("bold", "func/{}_task-rest_bold"), ("t1w", "anat/{}_T1w")):
        acquisition = acquisition_of(request.param, kind)
        volumes = [volume for _, volume in head.stacks(acquisition)]
        path = session / f"{name.format(STEM)}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        series = np.stack(volumes, axis=-1) if kind == "bold" else volumes[0]
        write_image(path, series.astype(np.int16), acquisition.grid.affine_ras())
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        sidecar.write_text(json.dumps({"RepetitionTime": acquisition.tr_ms / 1000}))
    return session, request.param, head, truth


def acquisition_of(visit, kind: str):
    return next(a for a in acquisitions_of(visit, small=False) if a.kind == kind)


def derive(session: Path, function: str, **inputs: object) -> Path:
    """Return the folder that one derivative wrote for the session."""
    target = session.parents[2] / function.rpartition(":")[2] / "sub-01" / "ses-a"
    target.mkdir(parents=True)
    call_isolated(f"imaging_platform.{function}", {"target": target, **KEY, **inputs})
    return target


def test_motion_and_temporal_snr_are_those_that_were_planted(scanned):
    session, *_, truth = scanned
    motion = derive(session, "derivatives.motion:write_motion", bids_session=session)
    ratio = derive(
        session,
        "derivatives.temporal_snr:write_temporal_snr",
        motion_session=motion,
    )
    measured = derive(
        session,
        "qc.session:measure_session",
        bids_session=session,
        brain_mask=None,
        motion=motion,
        temporal_snr=ratio,
        diffusion_maps=None,
        settings={},
    )
    table = motion / "func" / f"{STEM}_task-rest_desc-motion_timeseries.tsv"
    found = np.genfromtxt(table, delimiter="\t", names=True)
    found_fd_mm = found["framewise_displacement"][1:]
    planted_fd_mm = framewise_displacement_mm(np.array(truth.motion))[1:]
    metrics = {
        row["metric"]: row["value"]
        for row in json.loads((measured / "metrics.json").read_text())["metrics"]
    }

    assert abs(metrics["fd_mean"] - truth.mean_fd_mm) <= 0.01
    assert np.corrcoef(found_fd_mm, planted_fd_mm)[0, 1] >= 0.99
    assert metrics["tsnr"] == pytest.approx(truth.median_tsnr, rel=0.02)


def drawn_brain(head: ScannedHead, grid: Grid) -> np.ndarray:
    """Return where the template's brain lies on the grid, by the person's own warp."""
    template = load_mni152_brain_mask(resolution=1)
    points = grid.points_ras()
    place = [head.tissue.at(head.tissue.maps[axis], points) for axis in "xyz"]
    index = nib.affines.apply_affine(
        np.linalg.inv(template.affine), np.stack(place, axis=-1)
    )
    inside = np.asarray(template.dataobj, dtype=np.float32)
    return map_coordinates(inside, np.moveaxis(index, -1, 0), order=1) > 0.5


def test_the_brain_is_the_one_that_was_drawn(scanned):
    session, visit, head, _ = scanned
    folder = derive(
        session, "derivatives.brain_mask:write_brain_mask", bids_session=session
    )
    found = read_image(folder / "anat" / f"{STEM}_desc-brain_mask.nii.gz").data > 0

    assert dice(found, drawn_brain(head, acquisition_of(visit, "t1w").grid)) >= 0.97
