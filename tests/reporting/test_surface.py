"""The outside of a head is seen from where a person stands."""

from __future__ import annotations

import numpy as np

from imaging_platform.reporting.slices import Volume
from imaging_platform.reporting.surface import shade_head
from tests.reporting.published_session import ellipsoid


def volume(data: np.ndarray) -> Volume:
    return Volume(data.astype(np.float32), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


def test_a_knob_on_the_right_is_seen_on_the_left_from_the_front():
    head = ellipsoid((0.3, 0.3, 0.3), shape=(60, 60, 60))
    knob = head.copy()
    knob[46:52, 27:33, 27:33] = True

    front = shade_head(volume(900 * knob))[2]

    columns = np.flatnonzero((front > 0).any(axis=0))
    middle = front.shape[1] / 2
    assert middle - columns[0] > columns[-1] - middle + 3


def test_the_head_of_each_side_is_its_own_height():
    head = ellipsoid((0.2, 0.3, 0.4), shape=(60, 60, 60))

    views = shade_head(volume(900 * head))

    heights = [np.flatnonzero((view > 0).any(axis=1)).size for view in views]
    assert max(heights) - min(heights) <= 2
    widths = [np.flatnonzero((view > 0).any(axis=0)).size for view in views]
    assert widths[0] == widths[4] > widths[2]
