"""A Siemens scanner of the syngo VE generation: mosaics, CSA headers, .IMA files."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imaging_platform.demo.csa import Entry, encode_csa, phoenix_protocol
from imaging_platform.demo.encoding import SeriesWriter
from imaging_platform.demo.geometry import Grid
from imaging_platform.demo.instances import (
    SeriesContext,
    clock,
    decimals,
    new_series,
    place,
    set_instance,
    set_pixels,
)

Pixels = NDArray[np.uint16]

_SEQUENCES = {
    "localizer": ("GR", "SP\\OSP", "PFP", "*fl2d1", ("M", "NORM", "DIS2D")),
    "t1w": ("GR\\IR", "SP\\MP", "PFP", "*tfl3d1_16ns", ("M", "ND", "NORM")),
    "bold": ("EP", "SK", "FS", "*epfid2d1_64", ("M", "ND", "MOSAIC")),
    "magnitude": ("GR", "SP", "", "*fm2d2r", ("M", "ND", "NORM")),
    "phasediff": ("GR", "SP", "", "*fm2d2r", ("P", "ND")),
}


def slice_times_ms(n_slices: int, tr_ms: float) -> NDArray[np.float64]:
    """
    Return when each slice is excited, in ms after the volume's start.

    Interleaved as Siemens does it: an even number of slices begins with the
    second one, an odd number with the first.
    """
    first, second = (1, 0) if n_slices % 2 == 0 else (0, 1)
    order = np.concatenate(
        [np.arange(first, n_slices, 2), np.arange(second, n_slices, 2)]
    )
    times = np.empty(n_slices)
    # The scanner's clock ticks every 2.5 ms.
    step_ms = np.floor(tr_ms / n_slices / 2.5) * 2.5
    times[order] = step_ms * np.arange(n_slices)
    return times


def mosaic_of(volume: Pixels) -> Pixels:
    """Tile slices row by row into a square mosaic, indexed (column, row)."""
    columns, rows, slices = volume.shape
    tiles = ceil(sqrt(slices))
    mosaic = np.zeros((tiles * columns, tiles * rows), volume.dtype)
    for index in range(slices):
        row, column = divmod(index, tiles)
        mosaic[
            column * columns : (column + 1) * columns, row * rows : (row + 1) * rows
        ] = volume[:, :, index]
    return mosaic


def write_mosaics(
    folder: Path,
    context: SeriesContext,
    volumes: Iterable[Pixels],
    *,
    bvalues: NDArray[np.float64] | None = None,
    directions_ras: NDArray[np.float64] | None = None,
) -> None:
    """Write one mosaic a volume; b-values in s/mm^2, directions of length 1 or 0."""
    dataset, writer = _new(context), SeriesWriter()
    for index, volume in enumerate(volumes):
        entries = _mosaic_entries(context, index)
        if bvalues is not None and directions_ras is not None:
            _set_gradient(dataset, entries, bvalues[index], directions_ras[index])
            _set_diffusion_type(dataset, bvalues[index])
        start_s = index * context.acquisition.tr_ms / 1000
        set_instance(dataset, context, index + 1, start_s)
        dataset.AcquisitionNumber = index + 1
        _place_mosaic(dataset, context.acquisition.grid)
        _set_mosaic_block(dataset, context, index)
        set_pixels(dataset, mosaic_of(volume))
        _set_csa(dataset, context, entries)
        writer.write(folder / _file_name(context, index + 1), dataset)


def write_slices(
    folder: Path,
    context: SeriesContext,
    stacks: Iterable[tuple[Grid, Pixels]],
) -> None:
    """Write each slice of each stack as a file; a second stack is a second echo."""
    acquisition = context.acquisition
    dataset, writer = _new(context), SeriesWriter()
    instance = 0
    for stack, (grid, volume) in enumerate(stacks):
        if acquisition.second_te_ms:
            last = acquisition.kind == "phasediff" or stack == 1
            echo_ms = acquisition.second_te_ms if last else acquisition.te_ms
            dataset.EchoTime = f"{echo_ms:g}"
            dataset.EchoNumbers = 2 if last else 1
        times_ms = slice_times_ms(grid.shape[2], acquisition.tr_ms)
        for index in range(grid.shape[2]):
            instance += 1
            moment_s = 0.0 if acquisition.kind == "t1w" else times_ms[index] / 1000
            set_instance(dataset, context, instance, moment_s)
            place(dataset, grid, index)
            set_pixels(dataset, volume[:, :, index])
            _set_csa(dataset, context, _slice_entries(context, index))
            writer.write(folder / _file_name(context, instance), dataset)


def _new(context: SeriesContext) -> Dataset:
    dataset = new_series(context)
    kind = context.acquisition.kind
    if kind != "dwi":
        scanning, variant, options, name, types = _SEQUENCES[kind]
        dataset.ScanningSequence = scanning.split("\\")
        dataset.SequenceVariant = variant.split("\\")
        dataset.ScanOptions = options
        dataset.SequenceName = name
        dataset.ImageType = ["ORIGINAL", "PRIMARY", *types]
    if kind == "phasediff":
        dataset.RescaleSlope = "2"
        dataset.RescaleIntercept = "-4096"
        dataset.RescaleType = "US"
    dataset.TransmitCoilName = "Body"
    dataset.ImageComments = f"{context.visit.patient.name} repeat if moved"
    medcom = dataset.private_block(0x0029, "SIEMENS MEDCOM HEADER", create=True)
    medcom.add_new(0x08, "CS", "MEDCOM 1")
    medcom.add_new(0x09, "LO", context.visit.date)
    text = f"ScanDate={context.visit.date};Serial={context.visit.scanner.serial}"
    medcom.add_new(0x10, "OB", text.encode() + b"\0" * (len(text) % 2))
    return dataset


def _set_diffusion_type(dataset: Dataset, bvalue: float) -> None:
    dataset.ScanningSequence = "EP"
    dataset.SequenceVariant = ["SK", "SP"]
    dataset.ScanOptions = ["PFP", "FS"]
    dataset.SequenceName = f"*ep_b{bvalue:.0f}{'t' if bvalue else ''}"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND", "MOSAIC"]


def _place_mosaic(dataset: Dataset, grid: Grid) -> None:
    """The corner of a mosaic lies as if it were one slice about the same centre."""
    place(dataset, grid, 0)
    tiles = ceil(sqrt(grid.shape[2]))
    half = (tiles - 1) / 2 * np.array([grid.shape[0], grid.shape[1]])
    corner = grid.position_mm(0) - grid.steps_mm[:, :2] @ half
    dataset.ImagePositionPatient = decimals(corner)


def _slice_entries(context: SeriesContext, index: int) -> dict[str, Entry]:
    acquisition = context.acquisition
    columns, rows, _ = acquisition.grid.shape
    return {
        "EchoLinePosition": ("IS", [str(rows // 2)]),
        "EchoColumnPosition": ("IS", [str(columns // 2)]),
        "UsedChannelMask": ("UL", ["4095"]),
        "ICE_Dims": ("LO", ["X_1_1_1_1_1_1_1_1_1_1_1_38"]),
        "ProtocolSliceNumber": ("IS", [str(index)]),
        "AcquisitionMatrixText": ("SH", [f"{rows}*{columns}"]),
        "PhaseEncodingDirectionPositive": (
            "IS",
            ["1" if acquisition.polarity == 1 else "0"],
        ),
        "ImaCoilString": ("LO", ["HEA;HEP"]),
    }


def _mosaic_entries(context: SeriesContext, volume: int) -> dict[str, Entry]:
    acquisition = context.acquisition
    _, rows, slices = acquisition.grid.shape
    times = slice_times_ms(slices, acquisition.tr_ms)
    # A line's time is the readout over the lines but one (BIDS, EffectiveEchoSpacing).
    bandwidth = (rows - 1) / (acquisition.readout_s * rows)
    entries = _slice_entries(context, 0)
    entries |= {
        "NumberOfImagesInMosaic": ("US", [str(slices)]),
        "SliceNormalVector": ("FD", [f"{v:.8f}" for v in acquisition.grid.normal]),
        "SliceMeasurementDuration": ("DS", [f"{acquisition.tr_ms:.1f}"]),
        "TimeAfterStart": ("DS", [f"{volume * acquisition.tr_ms / 1000:.4f}"]),
        "BandwidthPerPixelPhaseEncode": ("FD", [f"{bandwidth:.4f}"]),
        "MosaicRefAcqTimes": ("FD", [f"{v:.8f}" for v in times]),
    }
    return entries


def _set_gradient(
    dataset: Dataset,
    entries: dict[str, Entry],
    bvalue: float,
    direction_ras: NDArray[np.float64],
) -> None:
    """Siemens gives directions in patient coordinates (LPS)."""
    direction = direction_ras * np.array([-1.0, -1.0, 1.0])
    entries["B_value"] = ("IS", [f"{bvalue:.0f}"])
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", f"{bvalue:.0f}")
    if not bvalue:
        entries["DiffusionDirectionality"] = ("CS", ["NONE"])
        block.add_new(0x0D, "CS", "NONE")
        for element in (0x0E, 0x27):
            if element in block:
                del block[element]
        return
    entries["DiffusionDirectionality"] = ("CS", ["DIRECTIONAL"])
    entries["DiffusionGradientDirection"] = ("FD", [f"{v:.8f}" for v in direction])
    matrix = bvalue * np.outer(direction, direction)[np.triu_indices(3)]
    entries["B_matrix"] = ("FD", [f"{v:.8f}" for v in matrix])
    block.add_new(0x0D, "CS", "DIRECTIONAL")
    block.add_new(0x0E, "FD", [float(v) for v in direction])
    block.add_new(0x27, "FD", [float(v) for v in matrix])


def _set_mosaic_block(dataset: Dataset, context: SeriesContext, volume: int) -> None:
    acquisition = context.acquisition
    columns, rows, slices = acquisition.grid.shape
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    block.add_new(0x09, "LO", "1.0")
    block.add_new(0x0A, "US", slices)
    block.add_new(0x16, "DS", f"{volume * acquisition.tr_ms / 1000:g}")
    block.add_new(0x28, "FD", (rows - 1) / (acquisition.readout_s * rows))
    times = slice_times_ms(slices, acquisition.tr_ms)
    block.add_new(0x29, "FD", [float(v) for v in times])
    shown = dataset.private_block(0x0051, "SIEMENS MR HEADER", create=True)
    shown.add_new(0x08, "CS", "IMAGE NUM 4")
    shown.add_new(0x0B, "LO", f"{rows}*{columns}")
    shown.add_new(0x0F, "LO", "HEA;HEP")
    shown.add_new(0x16, "LO", "M/ND/MOSAIC")


def _set_csa(
    dataset: Dataset, context: SeriesContext, entries: dict[str, Entry]
) -> None:
    visit = context.visit
    block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x08, "CS", "IMAGE NUM 4")
    block.add_new(0x09, "LO", visit.date)
    block.add_new(0x10, "OB", _even(encode_csa(entries)))
    block.add_new(0x18, "CS", "MR")
    block.add_new(0x19, "LO", visit.date)
    if 0x20 in block:
        return
    protocol = phoenix_protocol(visit, context.acquisition, context.references)
    series: dict[str, Entry] = {
        "UsedPatientWeight": ("IS", [f"{visit.patient.weight_kg:.0f}"]),
        "CoilString": ("LO", ["HEA;HEP"]),
        "PatReinPattern": (
            "ST",
            [f"1;HFS;{visit.patient.weight_kg:.2f};{clock(visit.start_s)};3;0;2"],
        ),
        "MrPhoenixProtocol": ("UN", [protocol]),
        "MrProtocolVersion": ("IS", ["51130001"]),
        "ReadoutOS": ("FD", ["2.0"]),
    }
    block.add_new(0x20, "OB", _even(encode_csa(series)))


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def _file_name(context: SeriesContext, instance: int) -> str:
    """As the scanner exports: name, study, series, image, time and serial number."""
    visit, number = context.visit, context.acquisition.number
    date = f"{visit.date[:4]}.{visit.date[4:6]}.{visit.date[6:]}"
    at = clock(context.start_s)
    name = visit.patient.name.replace("^", "_")
    return (
        f"{name}.MR.NEURO_RESEARCH.{number:04d}.{instance:04d}.{date}."
        f"{at[:2]}.{at[2:4]}.{at[4:6]}.{at[7:]}.{visit.scanner.serial}.IMA"
    )
