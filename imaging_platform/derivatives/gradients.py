"""The table of b-values and directions of a diffusion series: read and judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

B0_LIMIT = 50.0
"""b-values up to this many s/mm2 count as b = 0."""

SHELL_GAP = 100.0
"""b-values (s/mm2) closer than this belong to one shell."""

LEAST_DIRECTIONS = 6
"""A tensor has six unknowns."""


@dataclass(frozen=True, eq=False)
class GradientTable:
    """
    Gradients of a series.

    Parameters
    ----------
    b_values
        Shape (volumes,), s/mm2.
    vectors
        Shape (volumes, 3): unit vectors along the image's axes, with the first
        axis reversed when the affine has a positive determinant (BIDS, bvec files).
        Zero where the file holds zeros.
    """

    b_values: NDArray[np.float64]
    vectors: NDArray[np.float64]

    @property
    def is_b0(self) -> NDArray[np.bool_]:
        """True for volumes without diffusion weighting."""
        return self.b_values <= B0_LIMIT


def read_gradients(bval: Path, bvec: Path, volumes: int) -> GradientTable | str:
    """
    Return the gradient table of a series, or why there is none.

    Parameters
    ----------
    bval, bvec
        The two text files: one row, three rows, a column a volume.
    volumes
        Number of volumes of the image.
    """
    if not bval.is_file() or not bvec.is_file():
        return "it has no b-values or no directions"
    try:
        b_values = np.loadtxt(bval, ndmin=1).ravel()
        rows = np.loadtxt(bvec, ndmin=2)
    except ValueError:
        return "its table of b-values or directions is not made of numbers"
    if rows.shape != (3, volumes) or b_values.shape != (volumes,):
        return (
            f"{volumes} volumes but {b_values.size} b-values and a table of directions "
            f"of shape {rows.shape}"
        )
    lengths = np.linalg.norm(rows, axis=0)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-6)
    return GradientTable(b_values, unit.T)


def find_shells(b_values: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """
    Return the shells above b = 0 as (b-value to the next 5 s/mm2, volumes), ascending.

    Examples
    --------
    >>> import numpy as np
    >>> find_shells(np.array([0.0, 995, 1000, 1005, 2000]))
    ((1000, 3), (2000, 1))
    """
    weighted = np.sort(b_values[b_values > B0_LIMIT])
    if not weighted.size:
        return ()
    groups = np.split(weighted, np.nonzero(np.diff(weighted) > SHELL_GAP)[0] + 1)
    return tuple((5 * round(float(g.mean()) / 5), len(g)) for g in groups)


def count_directions(table: GradientTable) -> int:
    """Return how many different axes are measured; opposite vectors are one axis."""
    vectors = table.vectors[~table.is_b0]
    vectors = vectors[np.linalg.norm(vectors, axis=1) > 0.5]
    found: list[NDArray[np.float64]] = []
    for vector in vectors:
        if all(abs(float(vector @ other)) < 0.9995 for other in found):
            found.append(vector)
    return len(found)


def why_unusable(table: GradientTable) -> str:
    """Return why no tensor can be fitted to a table, or an empty text."""
    if table.is_b0.all():
        return (
            "all b-values are 0: the diffusion gradients were not recorded, or the "
            "private elements that held them were removed"
        )
    directions = count_directions(table)
    if directions < LEAST_DIRECTIONS:
        return f"only {directions} directions, a tensor needs {LEAST_DIRECTIONS}"
    if not table.is_b0.any() and len(find_shells(table.b_values)) < 2:
        return "no volume without diffusion weighting"
    return ""


def judge_table(table: GradientTable) -> tuple[str, ...]:
    """Return what is odd about a usable table, a sentence without full stop each."""
    odd: list[str] = []
    lengths = np.linalg.norm(table.vectors, axis=1)
    lost = int(((lengths < 0.5) & ~table.is_b0).sum())
    if lost:
        odd.append(f"{lost} diffusion-weighted volumes have no direction")
    if not table.is_b0.any():
        odd.append("no volume with b = 0, the lowest shell stands for it")
    vectors = table.vectors[~table.is_b0 & (lengths > 0.5)]
    spread = np.linalg.eigvalsh(vectors.T @ vectors / max(len(vectors), 1))
    if spread[0] < 0.1:
        odd.append("the directions leave a part of the sphere out")
    return tuple(odd)


def to_scanner_axes(
    vectors: NDArray[np.float64], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """
    Return bvec vectors along the scanner's axes right, anterior, superior.

    Parameters
    ----------
    vectors
        Shape (n, 3), in the frame of `GradientTable`.
    affine
        Shape (4, 4) of the image.
    """
    turned = vectors.copy()
    if np.linalg.det(affine[:3, :3]) > 0:
        turned[:, 0] = -turned[:, 0]
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return turned @ axes.T
