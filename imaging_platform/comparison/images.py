"""What differs between two NIfTI images: grid, header and voxels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from imaging_platform.comparison.values import Difference


@dataclass(frozen=True)
class ImageDifference:
    """
    How far two images are apart.

    Parameters
    ----------
    shape_before, shape_after
        Voxels along each axis.
    same_affine
        Whether both affines are equal, number for number.
    header
        Fields of the header that differ.
    n_voxels
        Voxels of the image, all volumes; 0 when the shapes differ: then no voxel
        is compared.
    n_differing
        Voxels with another value; NaN in both is the same value.
    max_difference, mean_difference
        Absolute difference over the voxels that are finite in both, in the unit of
        the image; 0 when there is none.
    correlation
        Pearson's, over the same voxels; None when one image is constant there.
    """

    shape_before: tuple[int, ...]
    shape_after: tuple[int, ...]
    same_affine: bool
    header: tuple[Difference, ...]
    n_voxels: int = 0
    n_differing: int = 0
    max_difference: float = 0.0
    mean_difference: float = 0.0
    correlation: float | None = None

    @property
    def share(self) -> float:
        """Differing voxels of all, 0 to 1."""
        return self.n_differing / self.n_voxels if self.n_voxels else 0.0


def compare_images(before: Path, after: Path) -> ImageDifference:
    """
    Return how far two NIfTI files are apart.

    Raises
    ------
    OSError, EOFError, ValueError
        One of them is damaged, no image, or in colour.
    """
    first, second = _load(before), _load(after)
    values = (np.asanyarray(first.dataobj), np.asanyarray(second.dataobj))
    grid = ImageDifference(
        tuple(int(n) for n in first.shape),
        tuple(int(n) for n in second.shape),
        bool(np.array_equal(first.affine, second.affine)),
        _compare_headers(first.header, second.header),
    )
    if first.shape != second.shape:
        return grid
    return _measure(grid, *values)


def _load(path: Path) -> Any:  # nibabel's classes have no common type for images
    try:
        image: Any = nib.load(path)  # type: ignore[attr-defined]
    except ImageFileError as error:
        raise ValueError("no image") from error
    if image.get_data_dtype().names:
        raise ValueError("an image in colour")
    return image


def compare_voxels(
    before: NDArray[Any],  # any number type
    after: NDArray[Any],
) -> ImageDifference:
    """Return how far two arrays of the same shape on the same grid are apart."""
    return _measure(ImageDifference(before.shape, after.shape, True, ()), before, after)


def _measure(
    grid: ImageDifference, before: NDArray[Any], after: NDArray[Any]
) -> ImageDifference:
    n_differing = n_finite = 0
    largest = total = sum_before = sum_after = 0.0
    for x, y in _volumes(before, after):
        n_differing += int(np.count_nonzero((x != y) & ~(np.isnan(x) & np.isnan(y))))
        x, y = _finite(x, y)
        gap = np.abs(y - x)
        n_finite += gap.size
        largest = max(largest, float(gap.max(initial=0.0)))
        total += float(gap.sum())
        sum_before += float(x.sum())
        sum_after += float(y.sum())
    means = (sum_before / n_finite, sum_after / n_finite) if n_finite else (0.0, 0.0)
    return ImageDifference(
        grid.shape_before,
        grid.shape_after,
        grid.same_affine,
        grid.header,
        n_voxels=before.size,
        n_differing=n_differing,
        max_difference=largest,
        mean_difference=total / n_finite if n_finite else 0.0,
        correlation=_correlate(before, after, means),
    )


def _correlate(
    before: NDArray[Any], after: NDArray[Any], means: tuple[float, float]
) -> float | None:
    xx = yy = xy = 0.0
    for volume_before, volume_after in _volumes(before, after):
        x, y = _finite(volume_before, volume_after)
        x, y = x - means[0], y - means[1]
        xx, yy, xy = xx + float(x @ x), yy + float(y @ y), xy + float(x @ y)
    if not xx or not yy:
        return None
    return float(np.clip(xy / np.sqrt(xx) / np.sqrt(yy), -1, 1))


def _volumes(
    before: NDArray[Any], after: NDArray[Any]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield both images volume by volume, flat: a whole run as floats is large."""
    if before.ndim < 4:
        yield before.astype(np.float64).ravel(), after.astype(np.float64).ravel()
        return
    for n in range(before.shape[-1]):
        yield (
            before[..., n].astype(np.float64).ravel(),
            after[..., n].astype(np.float64).ravel(),
        )


def _finite(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kept = np.isfinite(x) & np.isfinite(y)
    return x[kept], y[kept]


def _compare_headers(first: Any, second: Any) -> tuple[Difference, ...]:
    # Any: nibabel's own header classes; NIfTI-1 and NIfTI-2 have the same fields.
    names = [name for name in first.keys() if name in second]  # noqa: SIM118
    pairs = [(name, _text(first[name]), _text(second[name])) for name in names]
    return tuple(Difference(name, old, new) for name, old, new in pairs if old != new)


def _text(field: Any) -> str:  # a field of the header, of any numpy type
    return " ".join(str(part) for part in np.atleast_1d(field).ravel().tolist())
