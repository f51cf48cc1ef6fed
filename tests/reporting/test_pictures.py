from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from imaging_platform.model.errors import BadInput
from imaging_platform.reporting import figures
from imaging_platform.reporting.bold import brain_of, read_carpet, read_motion
from imaging_platform.reporting.slices import (
    Volume,
    bounds,
    crop_to_brain,
    cut,
    lay_out,
    read_volume,
    spread,
    window,
)
from imaging_platform.reporting.thumbnail import (
    LIMIT_BYTES,
    inline_markdown_image,
    session_strip,
)
from tests.reporting.published_session import (
    AFFINE,
    ellipsoid,
    write_image,
    write_motion,
)

MM = (1.0, 1.0, 1.0)


def volume_of(data: np.ndarray) -> Volume:
    return Volume(data.astype(np.float32), MM, (0.0, 0.0, 0.0))


def test_a_slice_has_the_top_up_and_the_right_to_the_right():
    data = np.zeros((4, 5, 6))
    data[3, :, 5] = 1  # right and superior

    picture = cut(volume_of(data), "coronal", 2, [(0, 4), (0, 5), (0, 6)], 1.0)

    assert picture.shape == (6, 4)
    assert picture[0, 3] == 1
    assert picture.sum() == 1


def test_a_file_stored_right_to_left_is_shown_left_to_right(tmp_path):
    import nibabel as nib

    data = np.zeros((3, 3, 3), dtype=np.float32)
    data[0, 0, 0] = 1
    flipped = np.diag([-1.0, 1.0, 1.0, 1.0])
    nib.save(nib.Nifti1Image(data, flipped), tmp_path / "a.nii.gz")  # type: ignore[arg-type]

    assert read_volume(tmp_path / "a.nii.gz").data[2, 0, 0] == 1


def test_not_a_number_is_read_as_zero(tmp_path):
    data = np.full((3, 3, 3), np.nan, dtype=np.float32)
    write_image(tmp_path / "a.nii.gz", data)

    assert not read_volume(tmp_path / "a.nii.gz").data.any()


def test_voxels_far_from_the_brain_are_gone_and_the_brain_is_untouched():
    brain = ellipsoid((0.2, 0.2, 0.2), shape=(40, 40, 40))
    head = volume_of(np.full(brain.shape, 7.0))

    cropped = crop_to_brain(head, brain, margin_mm=4).data

    assert (cropped[brain] == 7).all()
    assert not cropped[:7].any()
    assert not cropped[:, 33:].any()


def test_an_empty_mask_leaves_nothing_to_see():
    head = volume_of(np.ones((5, 5, 5)))

    assert not crop_to_brain(head, np.zeros((5, 5, 5), dtype=bool)).data.any()


@given(hnp.arrays(bool, (5, 6, 7)))
def test_bounds_hold_every_voxel_of_a_mask(mask):
    (a, b), (c, d), (e, f) = bounds(mask)

    assert mask[a:b, c:d, e:f].sum() == mask.sum()


@given(st.integers(0, 50), st.integers(1, 200), st.integers(1, 12))
def test_chosen_slices_are_inside_and_in_order(low, size, count):
    indices = spread(low, low + size, count)

    assert all(low <= index < low + size for index in indices)
    assert indices == sorted(indices)
    assert len(indices) == count


def test_a_window_of_an_empty_image_is_not_empty():
    assert window(np.zeros((3, 3), dtype=np.float32)) == (0.0, 1.0)


def test_tiles_stand_side_by_side_with_their_positions():
    volume = volume_of(np.ones((10, 12, 8)))

    tiles = lay_out(volume, [("axial", [2, 5])], bounds(volume.data > 0), 1.0, gap=4)

    assert tiles.image.shape == (12, 24)
    assert [text for text, *_ in tiles.labels] == ["z +2", "z +5"]


def test_a_figure_does_not_depend_on_the_users_matplotlib(monkeypatch):
    import matplotlib

    brain = ellipsoid((0.4, 0.4, 0.4), shape=(20, 20, 20))
    volume = volume_of(100.0 * brain)
    before = figures.draw_brain(volume, brain)

    monkeypatch.setitem(matplotlib.rcParams, "font.size", 40.0)
    monkeypatch.setitem(matplotlib.rcParams, "figure.facecolor", "red")

    assert figures.draw_brain(volume, brain) == before


def test_an_empty_mask_is_drawn_without_outline():
    empty = np.zeros((12, 12, 12), dtype=bool)

    picture = figures.draw_brain(volume_of(np.zeros((12, 12, 12))), empty)

    assert picture.startswith(b"\xff\xd8")


def test_motion_without_its_own_displacement_is_given_one(tmp_path):
    write_motion(tmp_path / "full.tsv", 30)
    lines = (tmp_path / "full.tsv").read_text().splitlines()
    bare = "\n".join(line.rsplit("\t", 1)[0] for line in lines)
    (tmp_path / "bare.tsv").write_text(bare + "\n")

    full, own = read_motion(tmp_path / "full.tsv"), read_motion(tmp_path / "bare.tsv")

    np.testing.assert_allclose(own.displacement_mm, full.displacement_mm, atol=2e-3)


def test_a_motion_table_without_a_parameter_names_it(tmp_path):
    (tmp_path / "a.tsv").write_text("trans_x\ttrans_y\n0\t0\n")

    with pytest.raises(BadInput, match="trans_z") as caught:
        read_motion(tmp_path / "a.tsv")

    assert "Materialize motion" in caught.value.fix


def test_a_motion_table_with_words_is_refused(tmp_path):
    write_motion(tmp_path / "a.tsv", 3)
    text = (tmp_path / "a.tsv").read_text().replace("n/a", "soon")
    (tmp_path / "a.tsv").write_text(text)

    with pytest.raises(BadInput, match="no number") as caught:
        read_motion(tmp_path / "a.tsv")

    assert "again" in caught.value.fix


def test_a_carpet_shows_a_spike_as_one_bright_column(tmp_path):
    brain = ellipsoid((0.4, 0.4, 0.4), shape=(16, 16, 10))
    draw = np.random.default_rng(0)
    series = 500 * brain[..., None] + draw.normal(0, 5, (*brain.shape, 40))
    series[..., 20] += 60
    write_image(tmp_path / "bold.nii.gz", series.astype(np.float32))

    carpet = read_carpet(tmp_path / "bold.nii.gz", brain)

    assert carpet.rows.shape[1] == 40
    assert int(carpet.rows.mean(axis=0).argmax()) == 20


def test_dvars_is_high_into_a_spike_and_out_of_it(tmp_path):
    brain = ellipsoid((0.4, 0.4, 0.4), shape=(16, 16, 10))
    series = np.repeat(500.0 * brain[..., None], 40, axis=3)
    series[..., 20] *= 1.1
    write_image(tmp_path / "bold.nii.gz", series.astype(np.float32))

    dvars = read_carpet(tmp_path / "bold.nii.gz", brain).dvars_percent

    assert np.isnan(dvars[0])
    assert np.flatnonzero(np.nan_to_num(dvars) > 1).tolist() == [20, 21]
    assert dvars[20] == pytest.approx(10, rel=0.01)


def test_a_carpet_is_grouped_by_the_tissues_that_are_known(tmp_path):
    brain = ellipsoid((0.4, 0.4, 0.4), shape=(16, 16, 10))
    noise = np.random.default_rng(0).normal(0, 5, (*brain.shape, 30))
    series = 500 * brain[..., None] + noise
    write_image(tmp_path / "bold.nii.gz", series.astype(np.float32))
    labels = np.zeros(brain.shape, dtype=np.int16)
    labels[:8], labels[8:12] = 1, 2

    carpet = read_carpet(tmp_path / "bold.nii.gz", brain, rows=90, labels=labels)

    assert [name for name, _ in carpet.groups] == ["Grey", "White"]
    assert sum(count for _, count in carpet.groups) == len(carpet.rows) <= 91


def test_a_series_that_never_changes_has_an_empty_carpet(tmp_path):
    write_image(tmp_path / "bold.nii.gz", np.ones((6, 6, 6, 5), dtype=np.float32))

    carpet = read_carpet(tmp_path / "bold.nii.gz", np.ones((6, 6, 6), dtype=bool))

    assert carpet.rows.shape == (0, 5)


def test_the_head_is_found_in_a_mean_volume():
    head = ellipsoid((0.35, 0.4, 0.4), shape=(24, 24, 24))
    noise = np.random.default_rng(0).normal(20, 5, head.shape)

    found = brain_of((600 * head + noise).astype(np.float32))

    assert (found & head).sum() / (found | head).sum() > 0.95


def test_a_flat_volume_is_taken_whole():
    assert brain_of(np.zeros((6, 6, 6), dtype=np.float32)).all()


def test_the_strip_is_one_small_picture_and_the_same_twice(session_trees):
    root = session_trees["motion"].parent

    first, second = session_strip(_trees(root)), session_strip(_trees(root))

    assert first == second
    assert len(first) <= LIMIT_BYTES
    width, height = Image.open(io.BytesIO(first)).size
    assert width > 4 * height


def test_the_strip_never_shows_a_head_with_its_face(session_trees, tmp_path):
    shutil.copytree(session_trees["motion"].parent, tmp_path / "inputs")
    for tree in ("brain_mask", "defaced_t1w", "temporal_snr", "diffusion_maps"):
        shutil.rmtree(tmp_path / "inputs" / tree)

    assert session_strip(_trees(tmp_path / "inputs")) == b""
    assert inline_markdown_image(b"") == ""


def test_noise_is_squeezed_below_the_limit(tmp_path: Path):
    import nibabel as nib

    noise = np.random.default_rng(0).random((150, 150, 150)).astype(np.float32)
    noise += 1
    path = tmp_path / "defaced_t1w" / "anat" / "sub-01_ses-1_desc-defaced_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(noise, AFFINE), path)  # type: ignore[arg-type]

    assert 0 < len(session_strip(_trees(tmp_path))) <= LIMIT_BYTES


def test_a_picture_becomes_markdown_that_carries_it(session_trees):
    markdown = inline_markdown_image(session_strip(session_trees))

    assert markdown.startswith("![session](data:image/jpeg;base64,")
    assert len(markdown) < 90_000


def _trees(root):
    return {path.name: path for path in root.iterdir()}
