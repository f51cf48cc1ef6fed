import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.qc import callosum, diffusion, diffusion_noise, weighting
from tests.qc import phantoms

random = np.random.default_rng(21)


def test_shells_are_grouped():
    b_values = np.array([0, 5, 990, 1010, 1000, 2500.0])

    found = diffusion.group_shells(b_values)

    assert [shell.b_value for shell in found] == [0, 1000, 2500]
    assert [shell.volumes.tolist() for shell in found] == [[0, 1], [2, 3, 4], [5]]
    assert weighting.find_shells(b_values) == ((1000.0, 3), (2500.0, 1))


@given(st.lists(st.floats(0, 9000), min_size=1, max_size=40))
def test_each_volume_is_in_one_shell(b_values):
    shells = diffusion.group_shells(np.array(b_values))

    volumes = sorted(int(v) for shell in shells for v in shell.volumes)
    assert volumes == list(range(len(b_values)))


def test_b_values_of_zero_are_explained():
    found = weighting.measure_gradients(np.zeros(5), np.zeros((5, 3)))

    assert found[2].value == 0
    assert "private elements" in found[2].reason


def test_a_slice_that_lost_its_signal_is_counted():
    mask = np.ones((10, 10, 10), dtype=bool)
    series = random.normal(500, 5, (10, 10, 10, 8)).astype(np.float32)
    series[:, :, 4, 3] *= 0.5

    found = weighting.dropout_percent(series, mask, np.full(8, 1000.0))

    assert found == pytest.approx(100 / 80)


def test_a_bright_voxel_is_a_spike_and_a_bright_line_counts_as_one():
    brain = np.ones((20, 20, 20), dtype=bool)
    series = random.normal(500, 1, (20, 20, 20, 4))
    series[2, 3, 4, 1] = 5000
    shells = diffusion.group_shells(np.full(4, 1000.0))

    spikes = diffusion.mask_spikes(series, brain, shells)
    found = diffusion.spikes_ppm(spikes)

    assert spikes.sum() == 1
    assert found["spikes_global"] == pytest.approx(1e6 / spikes.size, abs=0.01)
    # One of twenty voxels is not more than five percent of a line.
    assert found["spikes_slice_i"] == 0
    spikes[:2, 3, 4, 1] = True
    assert diffusion.spikes_ppm(spikes)["spikes_slice_i"] == 1e6 / (20 * 20 * 4)


def test_neighbours_that_are_equal_correlate_fully():
    signal = np.tile(random.normal(100, 20, (500, 1)), (1, 6))
    vectors = np.eye(3)[[0, 1, 2, 0, 1, 2]]

    neighbours = diffusion.find_neighbours(np.full(6, 1000.0), vectors)
    found = diffusion.neighbour_correlation(signal, neighbours)

    assert found == pytest.approx(1)


def test_mriqc_takes_voxels_for_volumes():
    signal = random.normal(100, 20, (500, 6))
    signal[3] = signal[1]

    assert diffusion.voxel_correlation(signal, [(1, 3), (3, 1)]) == 1
    assert np.isnan(diffusion.voxel_correlation(signal[:3], [(1, 3)]))
    assert np.isnan(diffusion.voxel_correlation(signal, []))


def test_opposite_directions_are_neighbours():
    vectors = np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 0.6, 0.8]])

    found = diffusion.find_neighbours(np.full(4, 1000.0), vectors)

    assert (0, 2) in found
    assert (1, 3) in found


def test_repeats_of_b0_give_their_snr():
    b0 = random.normal(300, 15, (4000, 30))

    assert weighting.repeat_snr(b0) == pytest.approx(20, rel=0.05)


def test_voxels_without_a_valid_anisotropy_are_counted():
    fa = np.full((10, 10, 10), 0.5)
    fa[0, 0, 0] = np.nan
    fa[0, 0, 1:3] = 1.2, -0.1
    brain = np.ones(fa.shape, dtype=bool)

    assert diffusion.fa_nan_ppm(fa, brain) == 1000
    assert diffusion.fa_degenerate_ppm(fa, brain) == 2000


def test_the_callosum_is_worst_along_and_best_across():
    mask = np.ones((10, 10, 10), dtype=bool)
    b0 = random.normal(1000, 20, mask.shape)
    shell = np.stack([np.full(mask.shape, v) for v in (200.0, 600.0, 800.0)], axis=-1)

    found = diffusion.callosum_snr(b0, [shell], [np.eye(3)], mask)

    assert found["snr_cc_shell0"] == pytest.approx(50, rel=0.1)
    assert found["snr_cc_shell1_worst"] == pytest.approx(10, rel=0.1)
    assert found["snr_cc_shell1_best"] == pytest.approx(35, rel=0.1)


def test_a_callosum_of_few_voxels_tells_nothing():
    mask = np.zeros((4, 4, 4), dtype=bool)

    found = diffusion.callosum_snr(np.ones((4, 4, 4)), [], [], mask)

    assert found == {"snr_cc_shell0": 0}


def test_the_callosum_of_colours_is_found():
    fa = np.zeros((30, 30, 30))
    fa[5:25, 5:25, 5:25] = 0.6
    colors = np.zeros((30, 30, 30, 3))
    colors[..., 2] = 0.6
    colors[12:18, 12:18, 12:18] = (0.55, 0.1, 0.1)

    wm = callosum.segment_white_matter(fa)
    found = callosum.segment_callosum(colors, wm)

    assert found[13:17, 13:17, 13:17].all()
    assert found.sum() <= 6**3


def test_turned_vectors_are_summed_up():
    found = diffusion.measure_turns(np.array([0, 0.01, 0.03, 0.02]))

    assert found == {
        "bdiffs_mean": 0.02,
        "bdiffs_median": 0.02,
        "bdiffs_max": 0.03,
        "bdiffs_min": 0.01,
    }


def test_noise_of_four_coils_is_found_in_the_air():
    scan = phantoms.make_dwi((40, 40, 12))

    assert diffusion_noise.piesno_sigma(scan["series"]) == pytest.approx(15, rel=0.03)
    assert diffusion_noise.piesno_sigma(np.zeros((4, 4, 3, 5))) == 0


def test_noise_is_what_few_components_do_not_explain():
    brain = np.ones((20, 20, 20), dtype=bool)
    shared = random.normal(1000, 200, (20, 20, 20, 1)) * random.uniform(0.5, 1, 30)
    noisy = shared + random.normal(0, 12, (20, 20, 20, 30))

    assert diffusion_noise.pca_sigma(noisy, brain) == pytest.approx(12, rel=0.05)


@given(st.floats(0.1, 50))
def test_noise_scales_with_the_signal(factor):
    brain = np.ones((7, 7, 7), dtype=bool)
    noisy = np.random.default_rng(1).normal(500, 20, (7, 7, 7, 8))

    plain = diffusion_noise.pca_sigma(noisy, brain)

    assert diffusion_noise.pca_sigma(noisy * factor, brain) == pytest.approx(
        plain * factor, rel=1e-3, abs=1e-3
    )
