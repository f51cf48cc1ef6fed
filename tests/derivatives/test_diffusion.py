import numpy as np
import pytest

from imaging_platform.derivatives.diffusion_maps import (
    choose_volumes,
    measure_b0_movement,
    write_diffusion_maps,
)
from imaging_platform.derivatives.gradients import (
    GradientTable,
    count_directions,
    find_shells,
    judge_table,
    to_scanner_axes,
)
from imaging_platform.derivatives.images import read_image, write_image
from imaging_platform.derivatives.realignment import matrix_of
from imaging_platform.derivatives.tensor import fit_tensor
from tests.derivatives.conftest import files_of


def directions(count: int) -> np.ndarray:
    """Evenly spread unit vectors of a half sphere."""
    index = np.arange(count) + 0.5
    z = index / count
    turn = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


def table_of(count: int = 12, b0: int = 2, b: float = 1000.0) -> GradientTable:
    vectors = np.concatenate([np.zeros((b0, 3)), directions(count)])
    return GradientTable(np.array([0.0] * b0 + [b] * count), vectors)


def signal_of(tensor: np.ndarray, table: GradientTable, s0: float = 1000.0):
    along = np.einsum("ti,ij,tj->t", table.vectors, tensor, table.vectors)
    return s0 * np.exp(-table.b_values * along)


def write_dwi(session, table: GradientTable, shape=(20, 22, 12), noise=2.0):
    random = np.random.default_rng(4)
    affine = np.diag([-4.0, 4.0, 4.0, 1.0])
    grid = np.indices(shape) - (np.array(shape)[:, None, None, None] - 1) / 2
    ball = np.sqrt(((grid / (np.array(shape)[:, None, None, None] / 2.6)) ** 2).sum(0))
    tensor = np.diag([1.7e-3, 0.3e-3, 0.3e-3])
    signal = np.where((ball < 1)[..., None], signal_of(tensor, table), 10)
    data = np.abs(signal + random.normal(0, noise, signal.shape))
    path = session / "dwi" / "sub-01_ses-a_dir-AP_dwi.nii.gz"
    write_image(path, data.astype(np.float32), affine, repetition_time_s=4.0)
    stem = path.name.removesuffix(".nii.gz")
    np.savetxt(path.with_name(f"{stem}.bval"), table.b_values[None], fmt="%g")
    np.savetxt(path.with_name(f"{stem}.bvec"), table.vectors.T, fmt="%.8f")
    return ball < 0.8


def test_the_tensor_equals_dipys():
    reconst = pytest.importorskip("dipy.reconst.dti")
    gradients = pytest.importorskip("dipy.core.gradients")
    table, random = table_of(20), np.random.default_rng(5)
    roots = random.normal(0, 0.02, (60, 3, 3))
    tensors = np.einsum("nij,nkj->nik", roots, roots) + np.eye(3) * 3e-4
    signal = np.stack([signal_of(tensor, table) for tensor in tensors])
    signal = np.abs(signal + random.normal(0, 15, signal.shape))

    ours = fit_tensor(signal, table.b_values, table.vectors)
    scheme = gradients.gradient_table(table.b_values, bvecs=table.vectors)
    theirs = reconst.TensorModel(scheme, fit_method="WLS", min_signal=1e-3).fit(signal)

    assert np.abs(ours.fractional_anisotropy - theirs.fa).max() < 1e-8
    assert np.abs(ours.mean_diffusivity - theirs.md).max() < 1e-10


def test_a_known_tensor_is_found():
    table = table_of(15)
    signal = signal_of(np.diag([1.7e-3, 0.2e-3, 0.2e-3]), table)[None]

    fit = fit_tensor(signal, table.b_values, table.vectors)

    assert np.allclose(fit.eigenvalues, [[1.7e-3, 0.2e-3, 0.2e-3]], rtol=1e-6)
    assert np.allclose(np.abs(fit.principal), [[1, 0, 0]], atol=1e-6)


def test_an_isotropic_voxel_has_no_anisotropy():
    table = table_of(12)
    signal = signal_of(np.eye(3) * 1e-3, table)[None]

    fit = fit_tensor(signal, table.b_values, table.vectors)

    assert fit.fractional_anisotropy[0] < 1e-6


def test_maps_hold_the_planted_tensor(empty_session, target):
    inside = write_dwi(empty_session, table_of())

    report = write_diffusion_maps(str(empty_session), str(target), "01", "a")

    fa = read_image(target / "dwi/sub-01_ses-a_dir-AP_desc-tensor_FA.nii.gz").data
    colour = read_image(target / "dwi/sub-01_ses-a_dir-AP_desc-tensor_colFA.nii.gz")
    truth = fit_tensor(
        signal_of(np.diag([1.7e-3, 0.3e-3, 0.3e-3]), table_of())[None],
        table_of().b_values,
        table_of().vectors,
    ).fractional_anisotropy[0]
    assert abs(np.median(fa[inside]) - truth) < 0.01
    assert np.argmax(np.median(colour.data[inside], axis=0)) == 0
    assert report["scans"][0]["shells"] == ((1000, 12),)


def test_a_planted_step_of_the_head_between_unweighted_volumes_is_found():
    random = np.random.default_rng(3)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    grid = (
        np.indices((32, 34, 24)).astype(float)
        - np.array([15.5, 16.5, 11.5])[:, None, None, None]
    )
    rows = np.array([[0.0] * 6, [0.6, 0, 0, 0, 0, 0], [0.6, -0.4, 0, 0, 0.01, 0]])
    volumes = [head_at(grid * 3.0, row) for row in rows]
    table = GradientTable(
        np.array([0.0, 1000, 0, 1000, 0]),
        np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    )
    other = random.uniform(0, 300, volumes[0].shape)
    series = np.stack([volumes[0], other, volumes[1], other, volumes[2]], axis=3)

    found = measure_b0_movement(
        (series + random.normal(0, 5, series.shape)).astype(np.float32), affine, table
    )

    assert found == pytest.approx((0.6, 0.9), abs=0.05)


def head_at(points_mm: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return a head of smooth edges and inner parts that was moved by `row`."""
    back = np.linalg.inv(matrix_of(row))
    x, y, z = np.tensordot(back[:3, :3], points_mm, 1) + back[:3, 3, None, None, None]
    outer = np.sqrt((x / 36) ** 2 + (y / 42) ** 2 + (z / 28) ** 2)
    inner = np.sqrt(((x - 9) / 9) ** 2 + ((y + 6) / 16) ** 2 + ((z - 3) / 8) ** 2)
    return 800 / (1 + np.exp((outer - 1) * 14)) + 500 / (1 + np.exp((inner - 1) * 6))


def test_one_unweighted_volume_tells_no_movement():
    table = table_of(6, b0=1)
    series = np.ones((12, 12, 12, 7), dtype=np.float32)

    assert measure_b0_movement(series, np.eye(4), table) == ()


def test_b_values_of_zero_only_are_said_to_be_lost(empty_session, target):
    table = GradientTable(np.zeros(14), np.zeros((14, 3)))
    write_dwi(empty_session, table)

    report = write_diffusion_maps(str(empty_session), str(target), "01", "a")

    assert "private elements" in report["skipped"][0]["reason"]
    assert not files_of(target)


def test_fewer_than_six_directions_are_refused_with_the_reason(empty_session, target):
    write_dwi(empty_session, table_of(5))

    report = write_diffusion_maps(str(empty_session), str(target), "01", "a")

    assert report["skipped"][0]["reason"] == "only 5 directions, a tensor needs 6"


def test_a_table_of_another_length_is_refused(empty_session, target):
    write_dwi(empty_session, table_of())
    bval = empty_session / "dwi" / "sub-01_ses-a_dir-AP_dwi.bval"
    bval.write_text("0 1000\n")

    report = write_diffusion_maps(str(empty_session), str(target), "01", "a")

    assert "14 volumes but 2 b-values" in report["skipped"][0]["reason"]


def test_opposite_vectors_are_one_direction():
    vectors = np.concatenate([directions(6), -directions(6)])

    assert count_directions(GradientTable(np.full(12, 1000.0), vectors)) == 6


def test_high_shells_are_left_out_when_a_low_one_is_enough():
    low, high = table_of(12), table_of(12, b0=0, b=3000.0)
    both = GradientTable(
        np.concatenate([low.b_values, high.b_values]),
        np.concatenate([low.vectors, high.vectors]),
    )

    used = choose_volumes(both)

    assert used.sum() == 14
    assert find_shells(both.b_values) == ((1000, 12), (3000, 12))


def test_directions_of_one_plane_are_remarked():
    angle = np.linspace(0, np.pi, 8, endpoint=False)
    vectors = np.stack([np.cos(angle), np.sin(angle), np.zeros(8)], axis=1)
    table = GradientTable(np.full(8, 1000.0), vectors)

    assert "the directions leave a part of the sphere out" in judge_table(table)


def test_the_first_axis_turns_with_a_positive_determinant():
    vector = np.array([[1.0, 0, 0]])

    assert to_scanner_axes(vector, np.diag([2.0, 2, 2, 1])).tolist() == [[-1, 0, 0]]
    assert to_scanner_axes(vector, np.diag([-2.0, 2, 2, 1])).tolist() == [[-1, 0, 0]]


def test_slices_that_lost_signal_are_found_and_spoil_no_map(empty_session, target):
    write_dwi(empty_session, table_of(20))
    path = empty_session / "dwi" / "sub-01_ses-a_dir-AP_dwi.nii.gz"
    image = read_image(path)
    image.data[:, :, 5, 7] *= 0.3
    image.data[:, :, 6, 12] *= 0.5
    write_image(path, image.data, image.affine, repetition_time_s=4.0)

    report = write_diffusion_maps(str(empty_session), str(target), "01", "a")

    (entry,) = report["scans"]
    assert entry["lost_slices"] == ((7, 5), (12, 6))
    fa = read_image(target / "dwi/sub-01_ses-a_dir-AP_desc-tensor_FA.nii.gz").data
    middle = fa[8:12, 9:13]
    assert np.allclose(
        middle[:, :, 5:7].mean((0, 1)), middle[:, :, 4].mean(), atol=0.01
    )


def test_a_direction_that_dims_the_whole_volume_is_no_dropout(empty_session, target):
    write_dwi(empty_session, table_of(20))

    report = write_diffusion_maps(str(empty_session), str(target), "01", "a")

    assert report["scans"][0]["lost_slices"] == ()
