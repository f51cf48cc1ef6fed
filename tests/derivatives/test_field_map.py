import json
from pathlib import Path

import numpy as np
import pytest

from imaging_platform.derivatives.field_map import write_field_map
from imaging_platform.derivatives.images import read_image, write_image
from imaging_platform.derivatives.opposed import find_displacement
from imaging_platform.derivatives.phase import to_radians, unwrap, wrap
from imaging_platform.derivatives.volumes import smooth
from imaging_platform.tools.validator import validate_dataset
from tests.derivatives.conftest import files_of
from tests.derivatives.test_brain_mask import describe

SHAPE = (40, 44, 20)
AFFINE = np.diag([4.0, 4, 5, 1])
STEM = "sub-01_ses-a"
ECHOES = {"EchoTime1": 0.00492, "EchoTime2": 0.00738}


@pytest.fixture
def head():
    """A textured ball of signal, and a field of -60 to 400 Hz in it."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    ball = (x**2 + y**2 + z**2) < 0.7
    texture = smooth(np.random.default_rng(3).random(SHAPE).astype(np.float32), 1.5)
    signal = np.where(ball, 400 + 1500 * (texture - 0.5), 5).astype(np.float32)
    field = 400 * np.exp(-(x**2 + (y - 0.4) ** 2 + z**2) / 0.1) - 60 * y
    return signal, field.astype(np.float32), ball


def save(session: Path, name: str, data: np.ndarray, **sidecar: object) -> None:
    path = session / "fmap" / f"{STEM}_{name}.nii.gz"
    write_image(path, data.astype(np.float32), AFFINE)
    path.with_name(f"{STEM}_{name}.json").write_text(json.dumps(sidecar))


def read_map(target: Path, report: dict) -> np.ndarray:
    return read_image(target / report["scans"][0]["image"]).data


@pytest.mark.parametrize("stored", ["radians", "thousandths", "unsigned", "signed"])
def test_phase_is_read_as_vendors_store_it(stored):
    phase = np.linspace(-np.pi, np.pi, 4097)[:-1].astype(np.float32)
    values = {
        "radians": phase,
        "thousandths": np.round(1000 * phase),
        "unsigned": np.arange(4096) + 0.0,
        "signed": 2 * np.arange(4096) - 4096.0,
    }[stored]

    assert np.allclose(to_radians(values.astype(np.float32)), phase, atol=2e-3)


def test_a_field_of_several_turns_is_unwrapped(head):
    signal, field, ball = head
    phase = field / 60

    found = unwrap(wrap(phase), signal, ball)

    gap = (found - phase)[ball] / (2 * np.pi)
    assert np.ptp(gap) < 1e-3
    assert abs(gap[0] - round(gap[0])) < 1e-3
    assert not found[~ball].any()


def test_parts_that_do_not_touch_are_each_brought_near_zero():
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[:3], mask[6:] = True, True

    found = unwrap(np.full(mask.shape, 7.0), mask.astype(np.float32), mask)

    assert np.allclose(found[mask], 7 - 2 * np.pi, atol=1e-5)


@pytest.mark.parametrize("kind", ["phasediff", "two phases"])
def test_phases_become_the_true_field(empty_session, target, head, kind):
    signal, field, ball = head
    turns = field * 0.00246
    save(empty_session, "magnitude1", signal)
    if kind == "phasediff":
        steps = np.mod(turns + 0.5, 1) * 4095
        save(empty_session, "phasediff", steps, **ECHOES)
    else:
        first = wrap(np.full(SHAPE, 2.5))
        save(empty_session, "phase1", first, EchoTime=0.00492)
        second = wrap(first + 2 * np.pi * turns)
        save(empty_session, "phase2", second, EchoTime=0.00738)

    report = write_field_map(str(empty_session), str(target), "01", "a")

    found = read_map(target, report)
    assert np.median(np.abs(found - field)[ball]) < 0.3
    assert np.corrcoef(found[ball], field[ball])[0, 1] > 0.999
    assert found.max() > 300


def test_the_scanners_own_map_gets_its_unit_and_a_mask(empty_session, target, head):
    signal, field, ball = head
    save(empty_session, "magnitude", signal)
    save(empty_session, "fieldmap", 2 * np.pi * field, Units="rad/s")

    report = write_field_map(str(empty_session), str(target), "01", "a")

    found = read_map(target, report)
    assert np.allclose(
        found[ball & (found != 0)], field[ball & (found != 0)], atol=0.01
    )
    assert not found[0, 0, 0]


def test_images_of_opposed_phase_encoding_give_the_true_field(
    empty_session, target, head
):
    signal, _, ball = head
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    shift = 1.5 * np.exp(-(x**2 + y**2 + z**2) / 0.3)
    rows = np.arange(SHAPE[1], dtype=float)
    for name, sign, direction in (("PA", 1, "j"), ("AP", -1, "j-")):
        data = np.empty(SHAPE)
        for i, k in np.ndindex(SHAPE[0], SHAPE[2]):
            data[i, :, k] = np.interp(
                rows - sign * shift[i, :, k], rows, signal[i, :, k]
            )
        save(
            empty_session,
            f"dir-{name}_epi",
            data,
            PhaseEncodingDirection=direction,
            TotalReadoutTime=0.03,
        )

    report = write_field_map(str(empty_session), str(target), "01", "a")

    found, true = read_map(target, report), shift / 0.03
    assert report["scans"][0]["method"] == "opposed phase encoding"
    assert np.corrcoef(found[ball], true[ball])[0, 1] > 0.95
    assert np.median(np.abs(found - true)[ball]) < 4


def test_images_without_displacement_have_no_field():
    image = smooth(np.random.default_rng(5).random(SHAPE).astype(np.float32), 1.0)

    assert np.abs(find_displacement(image, image, 1)).max() < 1e-3


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"phasediff": {}}, "EchoTime1 and EchoTime2"),
        ({"phasediff": ECHOES}, "no magnitude"),
        ({"fieldmap": {"Units": "steps"}}, "Units"),
        ({"phase1": {"EchoTime": 0.004}}, "second phase"),
        ({"dir-AP_epi": {"PhaseEncodingDirection": "j-"}}, "opposed"),
        (
            {
                "dir-AP_epi": {"PhaseEncodingDirection": "j-"},
                "dir-PA_epi": {"PhaseEncodingDirection": "j"},
            },
            "TotalReadoutTime",
        ),
    ],
)
def test_what_a_map_needs_and_has_not_is_said(empty_session, target, files, reason):
    for name, sidecar in files.items():
        save(empty_session, name, np.arange(8.0).reshape(2, 2, 2), **sidecar)

    report = write_field_map(str(empty_session), str(target), "01", "a")

    assert reason in report["skipped"][0]["reason"]
    assert not files_of(target)


def test_field_maps_satisfy_the_official_validator(tmp_path, empty_session, head):
    signal, field, _ = head
    save(empty_session, "magnitude1", signal)
    steps = np.mod(field * 0.00246 + 0.5, 1) * 4095
    intended = ["bids::sub-01/ses-a/func/sub-01_ses-a_task-rest_bold.nii.gz"]
    save(empty_session, "phasediff", steps, IntendedFor=intended, **ECHOES)
    folder = tmp_path / "field_map" / "sub-01" / "ses-a"
    folder.mkdir(parents=True)
    write_field_map(str(empty_session), str(folder), "01", "a")
    describe(tmp_path / "field_map", "field_map")

    assert validate_dataset(tmp_path / "field_map").errors == ()
