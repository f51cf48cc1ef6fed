"""The viewer of a session report holds the brain, and no face."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re

import nibabel as nib
import numpy as np
import pytest

from imaging_platform.reporting.markup import Html
from imaging_platform.reporting.viewer import Overlay, make_viewer
from tests.reporting.published_session import ellipsoid

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
HEAD = ellipsoid((0.45, 0.48, 0.48))
BRAIN = ellipsoid((0.25, 0.25, 0.25))


def image(data: np.ndarray, affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    return nib.Nifti1Image(data.astype(np.float32), affine)


def unpack(viewer: Html) -> tuple[dict, list[np.ndarray]]:
    markup = viewer.markup
    about = json.loads(html.unescape(re.search(r'data-about="([^"]*)"', markup)[1]))
    packed = base64.b64decode(re.search(r'data-bytes="([^"]*)"', markup)[1])
    data = np.frombuffer(gzip.decompress(packed), dtype=np.uint8)
    layers, start = [], 0
    for layer in about["layers"]:
        size = int(np.prod(layer["shape"]))
        layers.append(data[start : start + size].reshape(layer["shape"]))
        start += size
    assert start == len(data)
    return about, layers


def world(about: dict, voxels: np.ndarray) -> np.ndarray:
    affine = np.array(about["affine"])
    return voxels @ affine[:, :3].T + affine[:, 3]


def test_only_voxels_near_the_brain_are_in_the_page():
    head = image(1000 * HEAD)

    about, (t1w, *_) = unpack(make_viewer(head, BRAIN, []))

    shown = world(about, np.argwhere(t1w > 0))
    brain = np.argwhere(BRAIN) * 3.0
    centre = brain.mean(axis=0)
    farthest = np.linalg.norm(brain - centre, axis=1).max()
    assert len(shown)
    assert np.linalg.norm(shown - centre, axis=1).max() < farthest + 10


@pytest.mark.parametrize(
    "turn",
    [
        np.diag([-3.0, 3.0, 3.0, 1.0]),
        np.array([[0, 0, 3, 0], [-3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1.0]]),
    ],
)
def test_right_is_right_whatever_axes_the_file_has(turn):
    bright = np.where(BRAIN, 100.0, 0)
    bright[32:36, 34:38, 30:34] = 1000

    about, (t1w, *_) = unpack(make_viewer(image(bright, turn), BRAIN, []))

    found = world(about, np.argwhere(t1w > 200)).mean(axis=0)
    expected = turn[:3, :3] @ np.array([33.5, 35.5, 31.5]) + turn[:3, 3]
    assert np.abs(found - expected).max() < 2
    assert (np.diag(np.array(about["affine"])[:, :3]) > 0).all()


def test_an_overlay_on_another_grid_lies_where_it_was_in_the_scanner():
    other = np.diag([4.0, 4.0, 4.0, 1.0])
    values = np.zeros((42, 48, 42))
    values[18:24, 24:28, 20:24] = 30

    about, layers = unpack(
        make_viewer(
            image(500 * HEAD), BRAIN, [Overlay("tSNR", "", image(values, other))]
        )
    )

    share = about["share"]
    strong = np.argwhere(layers[2] > 128) / share
    found = world(about, strong).mean(axis=0)
    assert np.abs(found - 4.0 * np.array([20.5, 25.5, 21.5])).max() < 2
    assert about["layers"][2]["name"] == "tSNR"


def test_the_same_volumes_give_the_same_viewer():
    overlays = [Overlay("FA", "", image(HEAD * 0.4))]
    first = make_viewer(image(500 * HEAD), BRAIN, overlays)

    assert make_viewer(image(500 * HEAD), BRAIN, overlays).markup == first.markup
