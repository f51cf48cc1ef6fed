from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from imaging_platform.demo.identities import VISITS
from imaging_platform.demo.motion import points_at_rest
from imaging_platform.demo.study import DemoStudy
from imaging_platform.model.errors import MissingInput
from tests.demo.outputs import Converted

NAMES = [visit.name for visit in VISITS]


def _bold(converted: dict[str, list[Converted]], name: str) -> Converted:
    words = ("bold", "fMRI", "FE_EPI")
    return next(
        output
        for output in converted[name]
        if any(word in str(output.sidecar["SeriesDescription"]) for word in words)
    )


def test_the_planted_motion_is_in_the_images(
    study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    """One Gauss-Newton step from the first volume finds the nods of each volume."""
    session = next(s for s in study.sessions if s.quality == "motion")
    bold = _bold(converted, session.name)
    data, truth = bold.data, np.array(session.motion)
    found = _estimate(data, bold.affine, bold.points())

    for axis in range(6):
        assert np.corrcoef(found[:, axis], truth[:, axis])[0, 1] > 0.85


def _estimate(data, affine, points):
    centre = affine[:3, :3] @ ((np.array(data.shape[:3]) - 1) / 2) + affine[:3, 3]
    inverse = np.linalg.inv(affine)
    smooth = ndimage.gaussian_filter(data, [0.7, 0.7, 0.4, 0])
    reference = smooth[..., 0]

    def moved(parameters):
        rest = points_at_rest(points.astype(np.float32), parameters, centre)
        where = (
            np.tensordot(inverse[:3, :3], rest, 1) + inverse[:3, 3][:, None, None, None]
        )
        return ndimage.map_coordinates(reference, where, order=3, mode="nearest")

    inner = ndimage.binary_erosion(np.ones(reference.shape, bool), iterations=1)
    steps = np.array([0.4] * 3 + [0.008] * 3)
    columns = [
        (moved(np.eye(6)[k] * steps[k]) - moved(-np.eye(6)[k] * steps[k]))[inner]
        / (2 * steps[k])
        for k in range(6)
    ]
    design = np.stack(columns, axis=1)
    change = (smooth - reference[..., None])[inner]
    return np.linalg.lstsq(design, change, rcond=None)[0].T


def _median_tsnr(bold: Converted) -> float:
    mean, spread = bold.data.mean(axis=3), bold.data.std(axis=3, ddof=1)
    brain = ndimage.binary_erosion(mean > 0.6 * np.percentile(mean, 95), iterations=1)
    return float(np.median(mean[brain] / spread[brain]))


def test_the_noise_is_as_loud_as_planted(
    study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    session = next(s for s in study.sessions if s.quality == "low_snr")

    found = _median_tsnr(_bold(converted, session.name))

    assert found == pytest.approx(session.median_tsnr, rel=0.2)


def test_the_three_qualities_can_be_told_apart(
    study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    tsnr = {s.name: _median_tsnr(_bold(converted, s.name)) for s in study.sessions}
    good = [tsnr[s.name] for s in study.sessions if s.quality == "good"]
    worse = [tsnr[s.name] for s in study.sessions if s.quality != "good"]
    restless = [s.mean_fd_mm for s in study.sessions if s.quality == "motion"]
    calm = [s.mean_fd_mm for s in study.sessions if s.quality != "motion"]

    assert min(good) > max(worse)
    assert max(worse) > 2 * min(worse)
    assert min(restless) > 2 * max(calm)


@pytest.mark.parametrize("name", NAMES)
def test_motion_begins_at_the_first_volume(name: str, study: DemoStudy) -> None:
    session = next(s for s in study.sessions if s.name == name)
    run = next(s for s in session.series if s.suffixes == ("bold",))

    assert len(session.motion) == run.shape[3]
    assert set(session.motion[0]) == {0.0}


def test_the_t1w_has_dark_fluid_grey_and_bright_white_matter(
    study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    from imaging_platform.demo.anatomy import build_head
    from imaging_platform.demo.images import sample_tissue
    from imaging_platform.demo.session import person_of

    session = study.sessions[0]
    t1w = next(o for o in converted[session.name] if o.sidecar["SeriesNumber"] == 2)
    points = t1w.points()
    tissue = sample_tissue(build_head(2), person_of(VISITS[0], seed=2026))

    level = {
        name: float(np.median(t1w.data[tissue.at(tissue.maps[name], points) > least]))
        for name, least in (
            ("fluid", 0.9),
            ("grey", 0.8),
            ("white", 0.9),
            ("outside", 0.7),
        )
    }

    assert 2 * level["fluid"] < level["grey"] < 0.8 * level["white"]
    assert level["outside"] > level["grey"]


def test_a_missing_template_package_is_an_error_with_a_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from imaging_platform.demo import anatomy

    monkeypatch.setattr(anatomy.importlib.util, "find_spec", lambda name: None)

    anatomy.build_head.cache_clear()

    with pytest.raises(MissingInput) as caught:
        anatomy.build_head(2)

    assert "dependencies" in caught.value.fix
