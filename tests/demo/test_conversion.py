from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from imaging_platform.demo.anatomy import build_head
from imaging_platform.demo.diffusion import fibre_directions
from imaging_platform.demo.identities import VISITS
from imaging_platform.demo.images import off_resonance_hz, sample_tissue
from imaging_platform.demo.session import person_of
from imaging_platform.demo.siemens import slice_times_ms
from imaging_platform.demo.study import DemoSession, DemoStudy
from tests.demo.outputs import Converted, series

NAMES = [visit.name for visit in VISITS]


def _session(study: DemoStudy, name: str) -> DemoSession:
    return next(session for session in study.sessions if session.name == name)


def _only(outputs: list[Converted], session: DemoSession, suffix: str) -> Converted:
    truth = next(s for s in session.series if suffix in s.suffixes)
    found = series(outputs, truth.number)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("name", NAMES)
def test_each_series_converts_to_what_was_planted(
    name: str, study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    for truth in _session(study, name).series:
        outputs = series(converted[name], truth.number)

        assert len(outputs) == (3 if truth.excluded else len(truth.suffixes))
        for output in outputs:
            shape = output.image.shape
            volumes = shape[3] if len(shape) == 4 else 1
            assert sorted(shape[:3]) == sorted(truth.shape[:3])
            assert volumes == truth.shape[3]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_read_from_each_vendor(
    name: str, study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    session = _session(study, name)
    truth = next(s for s in session.series if s.bvalues)

    dwi = _only(converted[name], session, "dwi")

    assert dwi.table(".bval").ravel().tolist() == list(truth.bvalues)
    lengths = np.linalg.norm(dwi.table(".bvec"), axis=0)
    assert np.allclose(lengths, np.array(truth.bvalues) > 0, atol=1e-3)


@pytest.mark.parametrize("name", ["kestrel-1", "ombrossi-1"])
def test_a_siemens_run_has_timing_polarity_and_readout(
    name: str, study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    bold = _only(converted[name], _session(study, name), "bold")
    slices = bold.image.shape[2]

    assert bold.sidecar["PhaseEncodingDirection"] == "j-"
    assert bold.sidecar["TotalReadoutTime"] == pytest.approx(0.01643, abs=1e-5)
    assert bold.sidecar["SliceTiming"] == pytest.approx(
        slice_times_ms(slices, 2000) / 1000
    )


def test_a_siemens_field_map_has_two_magnitudes_and_a_phase_difference(
    study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    session = _session(study, "kestrel-1")
    phasediff = _only(converted["kestrel-1"], session, "phasediff")
    echoes = [o.sidecar["EchoTime"] for o in series(converted["kestrel-1"], 4)]

    assert phasediff.sidecar["EchoTime1"] == 0.00492
    assert phasediff.sidecar["EchoTime2"] == 0.00738
    assert sorted(map(float, map(str, echoes))) == [0.00492, 0.00738]


def test_ge_pairs_have_opposite_polarity_and_slice_timing(
    converted: dict[str, list[Converted]],
) -> None:
    outputs = converted["quillfeather-1"]
    directions = [
        series(outputs, n)[0].sidecar["PhaseEncodingDirection"] for n in (4, 5)
    ]

    assert directions == ["j-", "j"]
    assert "SliceTiming" in series(outputs, 3)[0].sidecar
    assert series(outputs, 3)[0].sidecar["TotalReadoutTime"] == pytest.approx(0.01643)


@pytest.mark.parametrize("name", ["vanterpool-1", "vanterpool-2"])
def test_a_philips_field_map_is_a_magnitude_and_a_map_in_hz(
    name: str, converted: dict[str, list[Converted]]
) -> None:
    units = [output.sidecar.get("Units") for output in series(converted[name], 401)]

    assert sorted(map(str, units)) == ["Hz", "None"]


@pytest.mark.parametrize("name", NAMES)
def test_the_capsule_is_at_the_right_temple(
    name: str, study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    session = _session(study, name)
    t1w = _only(converted[name], session, "T1w")
    marker = np.array(session.marker_ras_mm)

    right = _mean_within(t1w, marker, 4.0)
    left = _mean_within(t1w, marker * [-1, 1, 1], 4.0)

    assert marker[0] > 60
    assert right > 700
    assert right > 3 * left
    assert np.linalg.norm(_bright_centre(t1w, marker) - marker) < 2.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", ["bold", "dwi"])
def test_echo_planar_images_lie_where_the_t1w_lies(
    name: str, suffix: str, study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    session = _session(study, name)
    epi = _only(converted[name], session, suffix)
    t1w = _only(converted[name], session, "T1w")
    marker = np.array(session.marker_ras_mm)
    head_t1w = _at_points(t1w, epi.points())
    volume = epi.data[..., 0]

    together = np.corrcoef(head_t1w.ravel() > 120, volume.ravel() > 150)[0, 1]

    assert together > 0.7
    # The capsule's fat is suppressed, not gone: a mirrored stack would show it left.
    left = marker * [-1, 1, 1]
    assert _mean_within(epi, marker, 9.0) > 1.4 * _mean_within(epi, left, 9.0)


@pytest.mark.parametrize("name", ["kestrel-1", "quillfeather-1", "vanterpool-2"])
def test_the_tensors_point_along_the_planted_fibres(
    name: str, study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    session = _session(study, name)
    dwi = _only(converted[name], session, "dwi")
    visit = next(v for v in VISITS if v.name == name)
    tissue = sample_tissue(build_head(2), person_of(visit, seed=2026))
    points = dwi.points()
    pure = tissue.at(tissue.maps["white"], points) > 0.9
    expected = fibre_directions(tissue, points)[:, pure].T

    found = _principal_directions(dwi, pure)

    cosine = np.abs(np.sum(expected * found, axis=1))
    assert np.median(np.degrees(np.arccos(np.clip(cosine, 0, 1)))) < 15


def test_the_phase_difference_gives_back_the_field(
    study: DemoStudy, converted: dict[str, list[Converted]]
) -> None:
    session = _session(study, "kestrel-1")
    phasediff = _only(converted["kestrel-1"], session, "phasediff")
    # Steps of the scanner: -4096 to 4094 are one turn of phase.
    field_hz = phasediff.data / 8192 / 0.00246

    _assert_field(field_hz, phasediff, "kestrel-1")


def test_the_philips_map_gives_back_the_field(
    converted: dict[str, list[Converted]],
) -> None:
    outputs = series(converted["vanterpool-1"], 401)
    field = next(output for output in outputs if output.sidecar.get("Units") == "Hz")

    _assert_field(field.data, field, "vanterpool-1")


def _assert_field(field_hz: NDArray[np.float32], output: Converted, name: str) -> None:
    visit = next(v for v in VISITS if v.name == name)
    tissue = sample_tissue(build_head(2), person_of(visit, seed=2026))
    points = output.points()
    brain = tissue.at(tissue.maps["grey"] + tissue.maps["white"], points) > 0.8
    planted = tissue.at(off_resonance_hz(tissue), points)

    assert np.median(np.abs(field_hz - planted)[brain]) < 4
    assert np.corrcoef(field_hz[brain], planted[brain])[0, 1] > 0.95


def _at_points(output: Converted, points: NDArray[np.float64]) -> NDArray[np.float32]:
    from scipy import ndimage

    inverse = np.linalg.inv(output.affine)
    index = np.tensordot(inverse[:3, :3], points, 1)
    index += inverse[:3, 3][:, None, None, None]
    blurred = ndimage.gaussian_filter(output.data, 1.5)
    return ndimage.map_coordinates(blurred, index, order=1)


def _mean_within(
    output: Converted, centre: NDArray[np.float64], radius_mm: float
) -> float:
    distance = np.linalg.norm(output.points() - centre[:, None, None, None], axis=0)
    data = output.data if output.data.ndim == 3 else output.data[..., 0]
    return float(data[distance < radius_mm].mean())


def _bright_centre(output: Converted, near: NDArray[np.float64]) -> NDArray[np.float64]:
    points = output.points()
    distance = np.linalg.norm(points - near[:, None, None, None], axis=0)
    bright = (distance < 9) & (output.data > 500)
    return points[:, bright].mean(axis=1)


def _principal_directions(
    dwi: Converted, mask: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Least squares tensor; b-vectors of FSL turned to RAS by the image's axes."""
    bvalues, bvectors = dwi.table(".bval").ravel(), dwi.table(".bvec")
    axes = dwi.affine[:3, :3] / np.linalg.norm(dwi.affine[:3, :3], axis=0)
    if np.linalg.det(axes) > 0:
        bvectors = bvectors * [[-1], [1], [1]]
    x, y, z = axes @ bvectors
    design = (
        np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)
        * -bvalues[:, None]
    )
    design = np.concatenate([design, np.ones((len(bvalues), 1))], axis=1)
    signal = np.log(np.maximum(dwi.data[mask], 1)).T
    d = np.linalg.lstsq(design, signal, rcond=None)[0]
    rows = [[d[0], d[3], d[4]], [d[3], d[1], d[5]], [d[4], d[5], d[2]]]
    tensors = np.moveaxis(np.array(rows), -1, 0)
    return np.linalg.eigh(tensors)[1][:, :, 2]
