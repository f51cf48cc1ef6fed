import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from imaging_platform.qc import (
    air,
    anatomy,
    bold,
    contrast,
    ranks,
    smoothness,
    summary,
    tissue_shares,
)
from imaging_platform.qc.tissues import fit_three_classes, mask_hat, segment_tissues
from tests.qc import phantoms

random = np.random.default_rng(20)


def summarize(values: np.ndarray) -> summary.Summary:
    return summary.summarize(values, {"all": np.ones(values.shape)})["all"]


@pytest.fixture(scope="module")
def ball():
    """Concentric tissues of 300, 600, 1000 with a bias field and noise 20, in air."""
    size = 64
    x, y, z = np.indices((size,) * 3) - (size - 1) / 2
    radius = np.sqrt(x**2 + y**2 + z**2)
    truth = np.select([radius < 14, radius < 20, radius < 23], [1000, 600, 300], 0)
    bias = 1 + 0.004 * x - 0.003 * z
    generator = np.random.default_rng(3)
    real, imaginary = generator.normal(0, 20, (2, *truth.shape))
    return np.hypot(truth * bias + real, imaginary).astype(np.float32), truth, bias


def test_tissues_of_a_phantom_are_found_through_its_bias_field(ball):
    data, truth, bias = ball

    tissues = segment_tissues(data, truth > 0, np.array([3.0, 3, 3]))

    assert (tissues.wm == (truth == 1000)).mean() > 0.99
    assert (tissues.gm == (truth == 600)).mean() > 0.99
    inside = truth > 500
    assert np.corrcoef(tissues.bias[inside], bias[inside])[0, 1] > 0.9


def test_tissues_of_a_t2w_are_found_with_bright_fluid(ball):
    data, truth, _ = ball
    inverted = np.where(truth > 0, 1300 - data, data).astype(np.float32)

    tissues = segment_tissues(
        inverted, truth > 0, np.array([3.0, 3, 3]), ("wm", "gm", "csf")
    )

    assert (tissues.csf == (truth == 300)).mean() > 0.98
    assert (tissues.wm == (truth == 1000)).mean() > 0.98


def test_three_classes_of_a_histogram_are_found():
    values = np.concatenate(
        [random.normal(m, 15, n) for m, n in ((100, 500), (300, 2000), (500, 1500))]
    )

    means, cuts = fit_three_classes(values)

    assert np.allclose(means, [100, 300, 500], atol=8)
    assert 130 < cuts[0] < 270
    assert 360 < cuts[1] < 440


def test_a_summary_has_the_moments_of_a_gaussian():
    found = summarize(random.normal(1000, 50, 400_000))

    assert found.mean == pytest.approx(1000, abs=0.5)
    assert found.median == pytest.approx(1000, abs=1)
    assert found.stdv == pytest.approx(50, rel=0.01)
    assert found.mad == pytest.approx(50, rel=0.02)
    assert found.p05 == pytest.approx(1000 - 1.645 * 50, abs=1)
    assert found.p95 == pytest.approx(1000 + 1.645 * 50, abs=1)
    assert found.k == pytest.approx(0, abs=0.05)
    assert found.n == 400_000


def test_weights_choose_what_is_summed_up():
    data = np.array([10.0, 20.0, 30.0, 40.0])

    found = summary.summarize(data, {"part": np.array([0, 1.0, 0.5, 0])})["part"]

    assert found.mean == pytest.approx((20 + 15) / 1.5, abs=1e-4)
    assert found.n == 1.5


def test_a_quantile_that_is_hit_exactly_lies_between_two_values():
    found = summarize(np.array([1.0, 2.0, 3.0, 4.0]))

    assert found.median == 2.5


def test_a_tissue_without_voxels_is_unknown():
    found = summary.summarize(np.ones(5), {"none": np.zeros(5)})["none"]

    assert found.n == 0
    assert np.isnan(found.mean)
    assert np.isnan(contrast.snr(found))


@given(
    arrays.arrays(np.float64, (40,), elements=st.integers(0, 4000)),
    st.randoms(use_true_random=False),
)
def test_the_order_of_voxels_does_not_matter(data, shuffler):
    order = list(range(40))
    shuffler.shuffle(order)

    first, second = summarize(data), summarize(data[order])

    assert dataclasses.astuple(first) == pytest.approx(
        dataclasses.astuple(second), rel=1e-6, abs=2e-4, nan_ok=True
    )


@given(arrays.arrays(np.float64, (30,), elements=st.integers(0, 10**7)))
def test_quantiles_lie_in_order_within_the_data(data):
    found = summarize(data)

    assert data.min() <= found.p05 <= found.median <= found.p95 <= data.max()


def test_snr_is_median_over_corrected_deviation():
    tissue = summarize(np.array([8.0, 10.0, 12.0]))

    wanted = 10 / (np.std([8, 10, 12]) * np.sqrt(1.5))
    assert contrast.snr(tissue) == pytest.approx(wanted, rel=1e-4)


def test_snr_against_rayleigh_noise_is_signal_over_sigma():
    noise = summarize(np.hypot(*random.normal(0, 30, (2, 200_000))))
    tissue = summarize(np.full(10, 900.0))

    assert contrast.snr_dietrich(tissue, noise) == pytest.approx(30, rel=0.02)


def test_air_of_zeros_is_told_apart_from_silence():
    signal = summarize(np.full(100, 50.0))
    head = np.arange(200) < 100
    data = np.where(head, 50.0, 0.0)

    assert contrast.snr_dietrich(signal, summarize(np.zeros(100))) == -1
    assert contrast.fber(data, head) == -1


def test_cnr_and_cjv_have_their_closed_forms():
    wm = summarize(random.normal(1000, 30, 90_000))
    gm = summarize(random.normal(700, 40, 90_000))
    silent = summarize(np.zeros(10))

    assert contrast.cnr(wm, gm, silent) == pytest.approx(300 / 50, rel=0.02)
    assert contrast.cjv(wm, gm) == pytest.approx(70 / 300, rel=0.02)


def test_energy_ratio_is_the_square_of_the_ratio_of_signals():
    head = np.zeros((10, 10, 10), dtype=bool)
    head[2:8] = True
    data = np.where(head, 300.0, 10.0)
    hidden = np.zeros_like(head)
    hidden[0] = True
    data[0] = 0

    assert contrast.fber(data, head, hidden) == pytest.approx(900)


@given(
    arrays.arrays(np.float32, (4, 4, 4), elements=st.floats(0, 1000, width=32)).filter(
        lambda a: a.max() > 1e-3
    ),
    st.floats(0.5, 50),
)
def test_entropy_focus_does_not_depend_on_the_scale(data, factor):
    found = contrast.efc(data)

    assert -1e-4 <= found <= 1 + 1e-4
    assert contrast.efc((data * factor).astype(np.float32)) == pytest.approx(
        found, abs=1e-3
    )


def test_entropy_focus_is_one_when_all_is_alike_and_zero_for_one_voxel():
    one = np.zeros((5, 5, 5), dtype=np.float32)
    one[2, 2, 2] = 9

    assert contrast.efc(np.ones((5, 5, 5), dtype=np.float32)) == pytest.approx(1)
    assert contrast.efc(one) == pytest.approx(0, abs=1e-9)


@given(
    arrays.arrays(np.float64, st.integers(1, 300), elements=st.floats(0, 1e4)),
    st.floats(0, 100),
)
def test_a_percentile_is_that_of_numpy(data, percent):
    found = ranks.percentile(data, percent)

    assert found == pytest.approx(np.percentile(data, percent), rel=1e-9, abs=1e-9)


@given(
    arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(-3, 9, width=32))
)
def test_volumes_are_ranked_as_by_scipy(values):
    for each in (values, np.abs(values), np.round(values), -np.zeros(3, np.float32)):
        found = bold._ranks(each)

        wanted = stats.rankdata(each)
        assert np.allclose(found, wanted - wanted.mean())


@pytest.mark.parametrize("percent", [0, 0.05, 25, 50, 99.95, 100])
@pytest.mark.parametrize("levels", [1, 3, 10**9])
def test_a_percentile_of_many_values_is_exact(percent, levels):
    data = np.random.default_rng(1).integers(0, levels, 50_000).astype(np.float64)
    data[:100] = -7

    found = ranks.percentile(data, percent)

    assert found == pytest.approx(np.percentile(data, percent), rel=1e-12)


def test_a_percentile_is_exact_where_the_sample_misses_the_rank(monkeypatch):
    monkeypatch.setattr(ranks, "_bracket", lambda flat, rank: (2.0, 3.0))
    data = np.arange(50_000, dtype=np.float64)

    assert ranks.median(data) == np.median(data)


def test_white_matter_over_the_brightest_is_their_ratio():
    data = np.concatenate([np.full(9000, 1000.0), np.full(1000, 1250.0)])
    wm = summarize(np.full(10, 1000.0))

    assert contrast.wm2max(data, wm) == pytest.approx(0.8)


def test_artefact_in_the_air_is_found_and_counted():
    hat = np.ones((20, 20, 20), dtype=bool)
    data = np.abs(random.normal(0, 5, hat.shape)).astype(np.float32)
    data[3:9, 3:9, 3:9] = 500

    marked = air.mask_artifacts(data, hat, np.ones(hat.shape))

    # A cube loses its edges when it is opened by faces.
    assert air.qi_1(hat & ~marked, marked) == pytest.approx(6**3 / 20**3, rel=0.35)
    assert not marked[12:, 12:, 12:].any()


def test_no_air_is_minus_one():
    nothing = np.zeros((4, 4, 4))

    assert air.qi_1(nothing, nothing) == -1


def test_noise_of_the_assumed_kind_fits_and_another_does_not():
    hat = np.ones(60_000, dtype=bool)
    fitting = random.chisquare(32, hat.size)
    uniform = random.uniform(50, 100, hat.size)

    assert air.qi_2(fitting, hat) < 0.002
    assert air.qi_2(uniform, hat) > 3 * air.qi_2(fitting, hat)


def test_silent_air_has_a_perfect_fit():
    assert air.qi_2(np.zeros(5000), np.ones(5000, dtype=bool)) == 0


def test_corners_of_a_rotation_are_found():
    data = np.full((30, 30, 30), 5.0)
    data[:8, :8] = 0

    found = air.mask_rotation(data)

    assert found[:6, :6].all()
    assert not found[12:].any()


def test_the_hat_lies_above_the_face_whatever_the_axes():
    head = np.zeros((20, 20, 30), dtype=bool)
    head[6:14, 6:14, :25] = True
    brain = np.zeros_like(head)
    brain[7:13, 7:13, 14:24] = True
    upside_down = np.diag([1.0, 1.0, -1.0, 1.0])

    hat = mask_hat(head, brain, np.eye(4))
    turned = mask_hat(head[:, :, ::-1], brain[:, :, ::-1], upside_down)

    assert hat[0, 0, 20]
    assert not hat[0, 0, :17].any()
    assert not (hat & head).any()
    assert np.array_equal(turned[:, :, ::-1], hat)


def test_fractions_are_those_of_the_volumes():
    maps = {"csf": np.full(10, 0.2), "gm": np.full(10, 0.5), "wm": np.full(10, 0.3)}

    found = tissue_shares.icv_fractions(maps)

    assert found == pytest.approx({"csf": 0.2, "gm": 0.5, "wm": 0.3})


@given(arrays.arrays(np.float64, (3, 20), elements=st.floats(0, 1)))
def test_fractions_sum_to_one(maps):
    found = tissue_shares.icv_fractions(dict(zip("abc", maps, strict=True)))

    assert np.isnan(sum(found.values())) or sum(found.values()) == pytest.approx(1)


def test_partial_volume_of_a_hard_mask_counts_its_zeros():
    probability = np.array([1.0] * 10 + [0.0] * 30)

    assert tissue_shares.rpve(probability) == pytest.approx((10 + 30) / 10)


@given(arrays.arrays(np.float64, (2, 20), elements=st.floats(0, 1)))
def test_overlap_lies_between_zero_and_one_and_is_symmetric(maps):
    one, two = maps

    found = tissue_shares.tpm_overlap(one, two)

    assert np.isnan(found) or 0 <= found <= 1
    assert found == pytest.approx(tissue_shares.tpm_overlap(two, one), nan_ok=True)


def test_a_map_overlaps_fully_with_itself():
    probability = random.uniform(0, 1, 50)

    assert tissue_shares.tpm_overlap(probability, probability) == 1


def test_bias_has_its_range_and_median():
    bias = np.linspace(0.8, 1.2, 1001)

    assert tissue_shares.inu_range(bias) == pytest.approx(0.36)
    assert tissue_shares.inu_median(bias) == pytest.approx(1.0)


def test_smoothness_is_that_of_the_kernel():
    from scipy.ndimage import gaussian_filter

    data = gaussian_filter(random.normal(0, 1, (60, 60, 60)), (1.5, 2.0, 2.5))

    found = smoothness.fwhm(data, np.ones(data.shape, dtype=bool))

    for axis, sigma in zip("xyz", (1.5, 2.0, 2.5), strict=True):
        assert found[axis] == pytest.approx(2.355 * sigma, rel=0.05)
    assert found["avg"] == pytest.approx(np.mean([found[axis] for axis in "xyz"]))


def test_white_matter_is_scaled_to_a_thousand():
    wm = np.zeros((9, 9, 9))
    wm[2:7, 2:7, 2:7] = 1
    data = np.where(wm > 0, 250.0, 100.0)

    scaled = anatomy.harmonize(data, wm)

    assert scaled[4, 4, 4] == 1000
    assert scaled[0, 0, 0] == 400


def test_a_t2w_has_the_metrics_of_a_t1w():
    parts = phantoms.make_head((24, 26, 22))
    scan = anatomy.Head(
        **{k: parts[k] for k in ("raw", "corrected", "brain", "head", "air")},
        artifacts=parts["artifacts"],
        probabilities={name: parts[name] for name in ("csf", "gm", "wm")},
        voxel_mm=(1.0, 1.0, 2.0),
    )

    found = anatomy.measure_t2w(scan)

    assert found["spacing_z"] == 2
    assert found["size_y"] == 26
    assert "inu_range" not in found


def test_displacement_is_summed_up():
    fd = np.array([np.nan, 0.1, 0.3, 0.5, 0.1])

    found = bold.measure_displacement(fd)

    assert found == pytest.approx({"fd_mean": 0.25, "fd_num": 2, "fd_perc": 40})


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
    steady = 1000 + random.normal(0, 1, 40)
    steady[:3] += [400, 150, 40]
    series = np.tile(steady, (2, 2, 2, 1))

    assert bold.count_dummy_trs(series) == 3
    assert bold.count_dummy_trs(np.full((2, 2, 2, 10), 7.0)) == 0


def test_temporal_snr_is_mean_over_deviation():
    signal = random.normal(1000, 20, (3000, 200))

    assert bold.temporal_snr(signal) == pytest.approx(50, rel=0.02)
    assert bold.temporal_snr(np.ones((5, 9))) == 0


def test_dvars_of_white_noise_is_one_when_standardized():
    signal = 1000 + random.normal(0, 10, (3000, 200))

    standardized, plain, voxelwise = bold.dvars(signal)

    assert standardized.mean() == pytest.approx(1, rel=0.03)
    assert voxelwise.mean() == pytest.approx(1, rel=0.05)
    assert plain.mean() == pytest.approx(10 * np.sqrt(2), rel=0.03)


@given(st.floats(0.01, 100))
def test_dvars_does_not_depend_on_the_scale(factor):
    signal = 1000 + np.random.default_rng(4).normal(0, 10, (50, 30))

    for first, second in zip(
        bold.dvars(signal), bold.dvars(signal * factor), strict=True
    ):
        assert np.allclose(first, second)


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


@given(arrays.arrays(np.float64, (12, 5), elements=st.integers(0, 6)))
def test_the_quality_index_is_that_of_rank_correlation(signal):
    from scipy.stats import rankdata

    middle = rankdata(np.median(signal, axis=1))
    wanted = []
    for column in signal.T:
        ranks = rankdata(column)
        constant = np.ptp(ranks) == 0 or np.ptp(middle) == 0
        wanted.append(1 - (0 if constant else np.corrcoef(ranks, middle)[0, 1]))

    assert bold.quality_index(signal) == pytest.approx(np.mean(wanted), abs=1e-9)


def test_outliers_of_one_volume_are_counted():
    signal = 1000 + random.normal(0, 5, (1000, 50))
    signal[:500, 10] += 200

    assert bold.outlier_ratio(signal) == pytest.approx(0.5 / 50, abs=0.004)
