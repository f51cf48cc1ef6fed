from __future__ import annotations

import warnings
from io import BytesIO

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.transform import Rotation

from imaging_platform.demo.csa import encode_csa
from imaging_platform.demo.diffusion import gradient_table
from imaging_platform.demo.encoding import SeriesWriter
from imaging_platform.demo.geometry import Grid, axis_vectors, sagittal, tilted_axial
from imaging_platform.demo.identities import VISITS
from imaging_platform.demo.instances import (
    SeriesContext,
    clock,
    decimal,
    new_series,
    place,
    set_instance,
    set_pixels,
)
from imaging_platform.demo.motion import (
    draw_motion,
    framewise_displacement_mm,
    points_at_rest,
    rotation_matrix,
)
from imaging_platform.demo.protocol import SMALL, protocol
from imaging_platform.demo.siemens import mosaic_of, slice_times_ms

with warnings.catch_warnings():
    # nibabel calls its reader experimental; as an independent reader it will do.
    warnings.simplefilter("ignore", UserWarning)
    from nibabel.nicom import csareader

finite = st.floats(-1e9, 1e9, allow_nan=False)


@given(finite)
def test_a_decimal_fits_and_keeps_its_value(value: float) -> None:
    text = decimal(value)

    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-6, abs=1e-30)


@given(st.floats(0, 86399.9))
def test_a_clock_gives_back_the_seconds(seconds: float) -> None:
    text = clock(seconds)
    back = int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])

    assert back == pytest.approx(seconds, abs=1e-6)


names = st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=40)
texts = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@given(st.dictionaries(names, st.lists(texts, max_size=9), min_size=1, max_size=8))
def test_an_independent_reader_reads_the_csa_table(
    entries: dict[str, list[str]],
) -> None:
    data = encode_csa({name: ("LO", values) for name, values in entries.items()})

    tags = csareader.read(data)["tags"]

    assert {name: tag["items"][: len(entries[name])] for name, tag in tags.items()} == (
        entries
    )


@settings(max_examples=25)
@given(
    arrays.arrays(
        np.uint16, st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 20))
    )
)
def test_a_mosaic_keeps_every_slice(volume: np.ndarray) -> None:
    mosaic = mosaic_of(volume)
    columns, rows, slices = volume.shape
    tiles = mosaic.shape[0] // columns

    for index in range(slices):
        row, column = divmod(index, tiles)
        tile = mosaic[column * columns :, row * rows :][:columns, :rows]
        assert np.array_equal(tile, volume[:, :, index])


@given(st.integers(1, 60), st.floats(500, 5000))
def test_each_slice_is_excited_once_within_the_repetition_time(
    n_slices: int, tr_ms: float
) -> None:
    times = slice_times_ms(n_slices, tr_ms)

    assert len(set(times)) == n_slices
    assert times.min() == 0
    assert times.max() < tr_ms


@given(arrays.arrays(np.float64, 6, elements=st.floats(-0.5, 0.5)))
def test_resting_points_are_the_inverse_of_the_motion(parameters: np.ndarray) -> None:
    centre = np.array([4.0, -7.0, 11.0])
    rest = np.array([[10.0, -40.0], [25.0, 3.0], [-8.0, 60.0]])
    turn = rotation_matrix(parameters[3:])
    moved = turn @ (rest - centre[:, None]) + centre[:, None] + parameters[:3, None]

    back = points_at_rest(moved.astype(np.float32), parameters, centre)

    assert np.allclose(back, rest, atol=1e-3)


@given(arrays.arrays(np.float64, 3, elements=st.floats(-3, 3)))
def test_the_rotation_order_is_x_y_z(angles: np.ndarray) -> None:
    expected = Rotation.from_euler("XYZ", angles).as_matrix()

    assert np.allclose(rotation_matrix(angles), expected)


@given(st.integers(2, 60), st.sampled_from(["good", "motion", "low_snr"]))
def test_displacement_is_that_of_power(n_volumes: int, quality: str) -> None:
    motion = draw_motion(n_volumes, quality, np.random.default_rng(n_volumes))

    displacement = framewise_displacement_mm(motion)

    step = np.abs(motion[1] - motion[0])
    assert displacement[0] == 0
    assert displacement[1] == pytest.approx(step[:3].sum() + 50 * step[3:].sum())


@given(st.integers(1, 64))
def test_gradients_are_unit_vectors_and_two_are_unweighted(n_directions: int) -> None:
    bvalues, directions = gradient_table(n_directions)

    assert np.count_nonzero(bvalues == 0) == 2
    assert np.allclose(np.linalg.norm(directions, axis=1), bvalues > 0)


def test_the_centre_of_a_grid_is_the_mean_of_its_points() -> None:
    grid = Grid((5, 4, 3), (2.0, 3.0, 4.0), (10.0, -20.0, 30.0))

    centre = grid.points_ras().reshape(3, -1).mean(axis=1)

    assert np.allclose(centre, [-10.0, 20.0, 30.0])


def test_axis_vectors_rebuild_the_points_of_a_sagittal_grid() -> None:
    grid = sagittal((5, 4, 3), (2.0, 3.0, 4.0), (1.0, 2.0, 3.0))
    vectors, order = axis_vectors(grid)

    box = np.stack(np.meshgrid(*vectors, indexing="ij"))

    rebuilt = np.stack([axis.transpose(order) for axis in box])
    assert np.allclose(rebuilt, grid.points_ras())


def test_a_tilted_grid_has_no_axis_vectors() -> None:
    with pytest.raises(ValueError, match="untilted"):
        axis_vectors(tilted_axial((4, 4, 4), (1.0, 1.0, 1.0), tilt_deg=5.0))


def test_a_file_encoded_by_parts_has_the_bytes_of_pydicom() -> None:
    context = SeriesContext(VISITS[0], protocol("Siemens", SMALL)[2], 3600.0, ("1.2",))
    dataset, writer = new_series(context), SeriesWriter()
    for instance in (1, 2):
        set_instance(dataset, context, instance, 2.0 * instance)
        place(dataset, context.acquisition.grid, instance)
        set_pixels(dataset, np.full((3, 2), instance, np.uint16))
        fast = writer.encode(dataset)
        slow = BytesIO()

        dataset.file_meta = pydicom.dcmread(BytesIO(fast)).file_meta
        pydicom.dcmwrite(slow, dataset, enforce_file_format=True)

        assert fast == slow.getvalue()
