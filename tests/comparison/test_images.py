"""How far two images are apart, on values that are known."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from imaging_platform.comparison.images import compare_images, compare_voxels

SHAPES = st.sampled_from([(2, 3, 4), (2, 3, 2, 3)])
voxels = arrays.arrays(
    np.float32, SHAPES, elements=st.floats(-1000, 1000, width=32) | st.just(np.nan)
)


def _save(path, data, affine=None):
    image = nib.Nifti1Image(data, np.diag([2.0, 3, 4, 1]) if affine is None else affine)
    nib.save(image, path)
    return path


@given(data=voxels)
def test_an_image_does_not_differ_from_itself(data):
    found = compare_voxels(data, data.copy())

    assert (found.n_differing, found.max_difference, found.mean_difference) == (0, 0, 0)
    assert found.n_voxels == data.size
    assert found.correlation is None or found.correlation == pytest.approx(1)


@given(data=voxels, index=st.integers(0, 23), step=st.integers(1, 50))
def test_one_changed_voxel_is_counted_with_its_difference(data, index, step):
    data = np.nan_to_num(np.round(data))
    changed = data.copy()
    changed.flat[index] += step

    found = compare_voxels(data, changed)

    assert (found.n_differing, found.max_difference) == (1, step)
    assert found.mean_difference == pytest.approx(step / data.size)
    assert found.share == 1 / data.size


@given(data=voxels)
def test_differences_are_symmetric(data):
    other = data[::-1].copy()
    there, back = compare_voxels(data, other), compare_voxels(other, data)

    assert there.n_differing == back.n_differing
    assert there.max_difference == back.max_difference


def test_correlation_is_that_of_numpy_also_over_volumes_and_far_from_zero():
    rng = np.random.default_rng(0)
    before = rng.normal(1e5, 1, (4, 4, 4, 5))
    after = before + rng.normal(0, 1, before.shape)

    found = compare_voxels(before, after)

    expected = np.corrcoef(before.ravel(), after.ravel())[0, 1]
    assert found.correlation == pytest.approx(expected)


def test_a_voxel_that_is_nan_in_one_image_only_differs():
    before = np.zeros((2, 2, 2))
    after = before.copy()
    after[0, 0, 0] = np.nan

    found = compare_voxels(before, after)

    assert (found.n_differing, found.max_difference) == (1, 0)


def test_another_grid_is_told_and_of_another_shape_no_voxel_is_compared(tmp_path):
    before = _save(tmp_path / "a.nii.gz", np.ones((2, 3, 4), np.float32))
    moved = _save(tmp_path / "b.nii.gz", np.ones((2, 3, 4), np.float32), np.eye(4))
    longer = _save(tmp_path / "c.nii.gz", np.ones((2, 3, 5), np.float32))

    assert compare_images(before, before).same_affine
    assert not compare_images(before, moved).same_affine
    assert "pixdim" in {d.where for d in compare_images(before, moved).header}
    assert compare_images(before, longer).shape_after == (2, 3, 5)
    assert compare_images(before, longer).n_voxels == 0


def test_a_file_that_is_no_image_is_refused_by_name_of_its_kind(tmp_path):
    (tmp_path / "a.nii").write_text("nothing")

    with pytest.raises(ValueError, match="no image"):
        compare_images(tmp_path / "a.nii", tmp_path / "a.nii")
