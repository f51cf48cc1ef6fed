"""Phase of a complex image: its scale, and unwrapping in three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse import csgraph

from imaging_platform.derivatives.volumes import Volume
from imaging_platform.voxels.masks import Mask

_sparse: Any = scipy.sparse  # untyped
_csgraph: Any = csgraph

TURN = 2 * np.pi


def to_radians(stored: Volume) -> NDArray[np.float64]:
    """
    Return phase in radians from what vendors store.

    Radians as they are; thousandths of them (GE, about -3142 to 3142); or a power of
    two of steps a turn (Siemens, Philips: 0 to 4095, -4096 to 4094), of which the
    middle is no phase when nothing is negative.
    """
    values = stored.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    span = high - low
    if span <= TURN + 0.1:
        return values
    if 6000 < span <= 1000 * TURN + 2 and low < 0:
        return values / 1000
    steps = 2.0 ** np.ceil(np.log2(span))
    middle = 0.0 if low < 0 else steps / 2
    return (values - middle) * (TURN / steps)


def wrap(phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return phase brought to -pi to pi."""
    return phase - TURN * np.round(phase / TURN)


def unwrap(phase: NDArray[np.float64], magnitude: Volume, mask: Mask) -> Volume:
    """
    Return phase without jumps of whole turns, 0 outside of the mask.

    Along the spanning tree of neighbours whose phase agrees best and whose signal is
    strongest: a wrong step where there is noise reaches nothing else (Jenkinson 2003,
    MRM 49:193, for the idea of reliable regions first; Dymerska et al. 2021, MRM
    85:2294, for the weights).

    Parameters
    ----------
    phase
        Radians, three dimensions.
    magnitude
        Signal of the same shape, not negative.
    mask
        Where to unwrap. Its parts are unwrapped apart; the median of each part is
        brought to less than half a turn from 0.
    """
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(int(mask.sum()))
    values = wrap(phase[mask])
    starts, ends, costs = _find_edges(number, values, magnitude[mask])
    count = len(values)
    graph = _sparse.coo_matrix((costs, (starts, ends)), shape=(count, count)).tocsr()
    tree = _csgraph.minimum_spanning_tree(graph)
    unwrapped = _follow(tree, values)
    result = np.zeros(mask.shape, dtype=np.float32)
    result[mask] = unwrapped
    return result


def _find_edges(
    number: NDArray[np.intp], values: NDArray[np.float64], signal: Volume
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return neighbours in the mask and the cost of going from one to the other."""
    strength = signal / max(float(np.percentile(signal, 95)), 1e-6)
    starts, ends = [], []
    for axis in range(3):
        turned = np.moveaxis(number, axis, 0)
        one, other = turned[:-1].ravel(), turned[1:].ravel()
        both = (one >= 0) & (other >= 0)
        starts.append(one[both])
        ends.append(other[both])
    first, second = np.concatenate(starts), np.concatenate(ends)
    gap = np.abs(wrap(values[second] - values[first])) / np.pi
    weak = 1 - np.clip(np.minimum(strength[first], strength[second]), 0, 1)
    # A cost of 0 would be no edge.
    return first, second, 0.01 + gap + weak


def _follow(tree: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    unwrapped = values.copy()
    _, part = _csgraph.connected_components(tree, directed=False)
    _, roots = np.unique(part, return_index=True)
    for root in roots:
        order, before = _csgraph.breadth_first_order(tree, root, directed=False)
        for index in order[1:]:
            step = float(values[index] - values[before[index]])
            step -= TURN * round(step / TURN)
            unwrapped[index] = unwrapped[before[index]] + step
        middle = float(np.median(unwrapped[order]))
        unwrapped[order] -= TURN * round(middle / TURN)
    return unwrapped
