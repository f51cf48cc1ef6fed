"""The time series of a BOLD run as the report shows them: traces and carpet."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging_platform.model.errors import BadInput

CARPET_ROWS = 320
TISSUES = {1: "Grey", 2: "White", 3: "CSF"}
"""Labels of a tissue segmentation (BIDS common labels)."""

_SAMPLED_VOXELS = 6000
_CHUNK_VOLUMES = 16


@dataclass(frozen=True, eq=False)
class Motion:
    """
    Head movement of one run.

    Parameters
    ----------
    translations_mm, rotations_deg
        Shape (t, 3), x, y, z against the reference volume.
    displacement_mm
        Framewise displacement, shape (t,); 0 for the first volume.
    """

    translations_mm: NDArray[np.float64]
    rotations_deg: NDArray[np.float64]
    displacement_mm: NDArray[np.float64]


def read_motion(path: Path) -> Motion:
    """
    Read a ``motion_timeseries.tsv`` (BEP012 columns ``trans_*``, ``rot_*`` in rad).

    ``n/a`` becomes 0 in a trace. Without a column of framewise displacement it is
    taken from the parameters with a head of 50 mm (Power et al. 2012).

    Raises
    ------
    BadInput
        One of the six parameters is missing, or a cell is no number.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    columns = rows[0].keys() if rows else ()
    moves = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    if missing := [name for name in moves if name not in columns]:
        raise BadInput(
            f"{path.name} has no column {', '.join(missing)}.",
            fix="Materialize motion of this session again.",
        )
    values = np.array([[_read_cell(path, row[m]) for m in moves] for row in rows])
    if "framewise_displacement" in columns:
        fd = np.array([_read_cell(path, r["framewise_displacement"]) for r in rows])
    else:
        arc = np.abs(np.diff(values, axis=0, prepend=values[:1]))
        fd = arc[:, :3].sum(axis=1) + 50.0 * arc[:, 3:].sum(axis=1)
    return Motion(values[:, :3], np.degrees(values[:, 3:]), fd)


@dataclass(frozen=True, eq=False)
class Carpet:
    """
    A run as voxels over time.

    Parameters
    ----------
    rows
        Shape (rows, t), standard deviations; voxels that never change are left out.
    groups
        Name and number of rows of each group, from the top.
    dvars_percent
        Root mean square of the change since the volume before, over the sampled
        voxels, in percent of their mean signal; shape (t,), NaN for the first.
    """

    rows: NDArray[np.float32]
    groups: tuple[tuple[str, int], ...]
    dvars_percent: NDArray[np.float64]


def read_carpet(
    path: Path,
    mask: NDArray[np.bool_],
    *,
    rows: int = CARPET_ROWS,
    labels: NDArray[np.int16] | None = None,
) -> Carpet:
    """
    Return the carpet of a run.

    A regular sample of the voxels of `mask`, without mean and linear drift,
    ordered by correlation with their common signal and averaged to at most
    `rows` rows (Power 2017; order after Aquino et al. 2020).

    Parameters
    ----------
    path
        NIfTI of shape (x, y, z, t) in the file's own axes; read a few volumes at
        a time, so that a long run does not fill the memory.
    mask
        Brain on the same grid.
    rows
        How many rows at most.
    labels
        Tissue of each voxel (`TISSUES`), on the same grid: one group each; other
        voxels are left out. One group of all without labels.
    """
    if labels is not None and (mask & (labels > 0)).any():
        mask = mask & np.isin(labels, list(TISSUES))
    else:
        labels = None
    chosen = np.flatnonzero(mask)
    chosen = chosen[:: max(1, len(chosen) // _SAMPLED_VOXELS)]
    series = _read_voxels(path, chosen)
    kinds = np.zeros(len(chosen), int) if labels is None else labels.ravel()[chosen]
    pieces, groups = [], []
    for kind, name in ({0: "Brain"} if labels is None else TISSUES).items():
        own = series[kinds == kind]
        share = round(rows * len(own) / max(len(series), 1))
        piece = _order(_standardise(own), max(share, 1)) if len(own) else own
        if len(piece):
            pieces.append(piece)
            groups.append((name, len(piece)))
    drawn = np.concatenate(pieces) if pieces else series[:0]
    return Carpet(drawn, tuple(groups), _dvars_percent(series))


def read_column(path: Path, name: str) -> NDArray[np.float64] | None:
    """Return a column of a table of a run, ``n/a`` as NaN; None when it is absent."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if not rows or name not in rows[0]:
        return None
    gaps = ("n/a", "", "nan")
    cells = (row[name] for row in rows)
    return np.array([np.nan if c in gaps else _read_cell(path, c) for c in cells])


def brain_of(mean: NDArray[np.float32]) -> NDArray[np.bool_]:
    """
    Return where the head is in a mean BOLD volume: the largest part above Otsu's cut.

    Only for choosing what to show; no metric is taken from it.
    """
    from scipy.ndimage import binary_fill_holes, binary_opening, label

    rough = binary_opening(mean > _otsu(mean))
    parts, count = label(rough)  # type: ignore[misc]  # scipy's overloads
    if count == 0:
        return np.ones(mean.shape, dtype=bool)
    sizes = np.bincount(parts.ravel())[1:]
    return np.asarray(binary_fill_holes(parts == 1 + int(sizes.argmax())), dtype=bool)


def _read_voxels(path: Path, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    import nibabel as nib

    image = nib.load(path, keep_file_open=True)  # type: ignore[call-arg]  # Nifti1Image's own
    volumes = image.shape[3]  # type: ignore[attr-defined]  # untyped in FileBasedImage
    series = np.empty((len(chosen), volumes), dtype=np.float32)
    for start in range(0, volumes, _CHUNK_VOLUMES):
        stop = min(start + _CHUNK_VOLUMES, volumes)
        block = np.asarray(image.dataobj[..., start:stop])  # type: ignore[attr-defined]  # as above
        series[:, start:stop] = block.reshape(-1, stop - start)[chosen]
    return series


def _dvars_percent(series: NDArray[np.float32]) -> NDArray[np.float64]:
    change = np.diff(series.astype(np.float64), axis=1)
    level = float(np.mean(series)) if series.size else 0.0
    if level <= 0:
        return np.full(series.shape[1], np.nan)
    percent = 100 * np.sqrt(np.mean(change**2, axis=0)) / level
    return np.concatenate([[np.nan], percent])


def head_level(data: NDArray[np.float32]) -> float:
    """Return the intensity that parts a head from the air around it (Otsu 1979)."""
    return _otsu(data)


def _otsu(data: NDArray[np.float32]) -> float:
    top = float(np.percentile(data, 99.8))
    counts, edges = np.histogram(data, bins=256, range=(0.0, top if top > 0 else 1.0))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    total = below[-1]
    moment = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (moment[-1] * below / total - moment) ** 2 / (below * (total - below))
    return float(centres[int(np.nanargmax(np.where(np.isfinite(spread), spread, -1)))])


def _standardise(series: NDArray[np.float32]) -> NDArray[np.float32]:
    volumes = series.shape[1]
    time = np.linspace(-1, 1, volumes, dtype=np.float32)
    centred = series - series.mean(axis=1, keepdims=True)
    slope = (centred @ time / max(float(time @ time), 1e-6)).astype(np.float32)
    flat = centred - slope[:, None] * time
    scale = flat.std(axis=1)
    moving = scale > 1e-6
    scaled: NDArray[np.float32] = (flat[moving] / scale[moving, None]).astype(
        np.float32
    )
    return scaled


def _order(series: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    if len(series) == 0:
        return series
    common = series.mean(axis=0)
    ordered = series[np.argsort(-(series @ common), kind="stable")]
    rows = [
        chunk.mean(axis=0)
        for chunk in np.array_split(ordered, min(len(ordered), count))
    ]
    carpet = np.array(rows, dtype=np.float32)
    spread = carpet.std(axis=1, keepdims=True)
    return carpet / np.maximum(spread, np.float32(1e-6))


def _read_cell(path: Path, text: str) -> float:
    if text in ("n/a", "", "nan"):
        return 0.0
    try:
        return float(text)
    except ValueError:
        raise BadInput(
            f"{path.name} holds a cell that is no number.",
            fix="Materialize motion of this session again.",
        ) from None
