import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from imaging_platform.qc import anatomy, bold, diffusion
from imaging_platform.qc.tissues import fit_three_classes, segment_tissues

random = np.random.default_rng(20)


@pytest.fixture(scope="module")
def phantom():
    """Concentric tissues of 300, 600, 1000 with a bias field and noise 20, in air."""
    size = 64
    x, y, z = np.indices((size,) * 3) - (size - 1) / 2
    radius = np.sqrt(x**2 + y**2 + z**2)
    truth = np.select([radius < 14, radius < 20, radius < 23], [1000, 600, 300], 0)
    bias = 1 + 0.004 * x - 0.003 * z
    generator = np.random.default_rng(3)
    real, imaginary = generator.normal(0, 20, (2, *truth.shape))
    data = np.hypot(truth * bias + real, imaginary).astype(np.float32)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    return data, truth, bias, affine


def test_tissues_of_a_phantom_are_found_through_its_bias_field(phantom):
    data, truth, bias, _ = phantom

    tissues = segment_tissues(data, truth > 0, np.array([3.0, 3, 3]))

    assert (tissues.wm == (truth == 1000)).mean() > 0.99
    assert (tissues.gm == (truth == 600)).mean() > 0.99
    inside = truth > 500
    assert np.corrcoef(tissues.bias[inside], bias[inside])[0, 1] > 0.9


def test_three_classes_of_a_histogram_are_found():
    values = np.concatenate(
        [random.normal(m, 15, n) for m, n in ((100, 500), (300, 2000), (500, 1500))]
    )

    means, cuts = fit_three_classes(values)

    assert np.allclose(means, [100, 300, 500], atol=8)
    assert 130 < cuts[0] < 270
    assert 360 < cuts[1] < 440


def test_metrics_of_the_phantom_have_their_known_values(phantom):
    data, truth, _, affine = phantom

    measured = {m.metric: m.value for m in anatomy.measure_t1w(data, truth > 0, affine)}

    # What is left of the bias field counts as noise.
    assert measured["snr_wm"] == pytest.approx(50, rel=0.25)
    assert measured["snrd_wm"] == pytest.approx(50, rel=0.1)
    assert measured["icv_ml"] == pytest.approx((truth > 0).sum() * 0.027)
    assert measured["cjv"] == pytest.approx(40 / 400, rel=0.2)
    assert measured["wm_fraction"] == pytest.approx(
        (truth == 1000).sum() / (truth > 0).sum(), rel=0.03
    )
    assert measured["qi_1"] < 0.001


def test_snr_is_median_over_corrected_deviation():
    values = np.array([8.0, 10.0, 12.0])

    assert anatomy.snr(values) == pytest.approx(10 / (np.std(values) * np.sqrt(1.5)))


def test_snr_against_rayleigh_noise_is_signal_over_sigma():
    noise = np.hypot(*random.normal(0, 30, (2, 200_000)))

    found = anatomy.snr_dietrich(np.full(10, 900.0), noise)

    assert found == pytest.approx(30, rel=0.02)


def test_air_of_zeros_is_told_apart_from_silence():
    zeros, signal = np.zeros(100), np.full(100, 50.0)

    assert anatomy.snr_dietrich(signal, zeros) == -1
    assert anatomy.fber(signal, zeros) == -1


def test_cnr_has_its_closed_form():
    wm, gm = random.normal(1000, 30, 90_000), random.normal(700, 40, 90_000)
    air = random.normal(0, 0.001, 1000)

    assert anatomy.cnr(wm, gm, air) == pytest.approx(300 / 50, rel=0.02)


def test_cjv_has_its_closed_form():
    wm, gm = random.normal(1000, 30, 90_000), random.normal(700, 60, 90_000)

    assert anatomy.cjv(wm, gm) == pytest.approx(90 / 300, rel=0.02)


@given(
    arrays.arrays(np.float32, (4, 4, 4), elements=st.floats(0, 1000, width=32)).filter(
        lambda a: a.max() > 1e-3
    ),
    st.floats(0.5, 50),
)
def test_entropy_focus_does_not_depend_on_the_scale(data, factor):
    found = anatomy.efc(data)

    assert -1e-6 <= found <= 1 + 1e-6
    assert anatomy.efc((data * factor).astype(np.float32)) == pytest.approx(
        found, abs=1e-3
    )


def test_entropy_focus_is_one_when_all_is_alike_and_zero_for_one_voxel():
    one = np.zeros((5, 5, 5), dtype=np.float32)
    one[2, 2, 2] = 9

    assert anatomy.efc(np.ones((5, 5, 5), dtype=np.float32)) == pytest.approx(1)
    assert anatomy.efc(one) == pytest.approx(0, abs=1e-9)


def test_artefact_in_the_air_is_counted():
    air = np.ones((20, 20, 20), dtype=bool)
    data = np.abs(random.normal(0, 5, air.shape)).astype(np.float32)
    data[3:9, 3:9, 3:9] = 500

    # A cube loses its edges when it is opened by faces.
    assert anatomy.qi_1(data, air) == pytest.approx(6**3 / 20**3, rel=0.35)


def test_displacement_is_summed_up():
    fd = np.array([np.nan, 0.1, 0.3, 0.5, 0.1])

    found = {m.metric: m.value for m in bold.measure_motion(fd)}

    assert found["fd_mean"] == pytest.approx(0.25)
    assert found["fd_count"] == 2
    assert found["fd_percent"] == 50


def test_a_planted_ghost_is_measured():
    mean = np.zeros((32, 32, 8), dtype=np.float32)
    mask = np.zeros(mean.shape, dtype=bool)
    mask[10:22, 2:12, :] = True
    mean += 10
    mean[mask] = 1000
    mean[10:22, 18:28, :] += 50

    assert bold.ghost_ratio(mean, mask, 1) == pytest.approx(0.05, rel=0.05)
    assert bold.ghost_ratio(mean, mask, 0) < 0.01


def test_leading_volumes_before_the_steady_state_are_counted():
    signal = 1000 + random.normal(0, 1, 40)
    signal[:3] += [400, 150, 40]

    assert bold.count_dummy_scans(signal) == 3
    assert bold.count_dummy_scans(np.full(10, 7.0)) == 0


def test_dvars_of_white_noise_is_one_when_standardized():
    signal = 1000 + random.normal(0, 10, (3000, 200))

    standardized, plain, voxelwise = bold.dvars(signal)

    assert standardized.mean() == pytest.approx(1, rel=0.03)
    assert voxelwise.mean() == pytest.approx(1, rel=0.05)
    assert plain.mean() == pytest.approx(10 * np.sqrt(2), rel=0.03)


def test_a_jump_stands_out_in_dvars():
    signal = 1000 + random.normal(0, 10, (500, 50))
    signal[:, 25:] += random.normal(0, 100, (500, 1))

    assert np.argmax(bold.dvars(signal)[0]) == 24


def test_global_correlation_is_one_for_one_signal_and_small_for_noise():
    shared = np.tile(random.normal(0, 1, 100), (50, 1))

    assert bold.global_correlation(shared) == pytest.approx(1)
    assert bold.global_correlation(random.normal(0, 1, (2000, 100))) < 0.002


def test_a_still_run_has_a_quality_index_of_zero():
    still = np.tile(random.normal(100, 20, (300, 1)), (1, 9))

    assert bold.quality_index(still) == pytest.approx(0, abs=1e-9)


def test_outliers_of_one_volume_are_counted():
    signal = 1000 + random.normal(0, 5, (1000, 50))
    signal[:500, 10] += 200

    assert bold.outlier_ratio(signal) == pytest.approx(0.5 / 50, abs=0.004)


def test_shells_are_grouped():
    b_values = np.array([0, 5, 990, 1010, 1000, 2500.0])

    assert diffusion.find_shells(b_values) == ((1000.0, 3), (2500.0, 1))


def test_b_values_of_zero_are_explained():
    found = diffusion.measure_gradients(np.zeros(5), np.zeros((5, 3)))

    assert found[2].value == 0
    assert "private elements" in found[2].reason


def test_a_slice_that_lost_its_signal_is_counted():
    mask = np.ones((10, 10, 10), dtype=bool)
    series = random.normal(500, 5, (10, 10, 10, 8)).astype(np.float32)
    series[:, :, 4, 3] *= 0.5

    found = diffusion.dropout_percent(series, mask, np.full(8, 1000.0))

    assert found == pytest.approx(100 / 80)


def test_spikes_are_counted():
    mask = np.ones((10, 10, 10), dtype=bool)
    series = random.normal(500, 5, (10, 10, 10, 8)).astype(np.float32)
    series[2, 3, 4, 5] = 5000

    found = diffusion.spikes_ppm(series, mask, np.full(8, 1000.0))

    assert found == pytest.approx(1e6 / 8000)


def test_neighbours_that_are_equal_correlate_fully():
    signal = np.tile(random.normal(100, 20, (500, 1)), (1, 6))
    vectors = np.eye(3)[[0, 1, 2, 0, 1, 2]]

    found = diffusion.neighbour_correlation(signal, np.full(6, 1000.0), vectors)

    assert found == pytest.approx(1)


def test_repeats_of_b0_give_their_snr():
    b0 = random.normal(300, 15, (4000, 30))

    assert diffusion.repeat_snr(b0) == pytest.approx(20, rel=0.05)
