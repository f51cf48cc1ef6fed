"""A Philips scanner of release 5.7: classic single frames, groups 2001 and 2005."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imaging_platform.demo.encoding import SeriesWriter
from imaging_platform.demo.geometry import Grid
from imaging_platform.demo.instances import (
    SeriesContext,
    decimal,
    new_series,
    place,
    set_instance,
    set_pixels,
)

Pixels = NDArray[np.uint16]

MAP_HZ_PER_STEP = 0.25
MAP_OFFSET_HZ = -512.0
"""A field map's pixel p means p * 0.25 - 512 Hz (RescaleSlope, RescaleIntercept)."""

_SEQUENCES = {
    "localizer": ("GR", "SS", "T1FFE", "M_FFE"),
    "t1w": ("GR", "MP", "T1TFE", "M_FFE"),
    "bold": ("GR", "SK", "FEEPI", "M_FFE"),
    "b0_map": ("GR", "SS", "T1FFE", "M_FFE"),
    "dwi": ("SE", "SK", "DwiSE", "M_SE"),
}


def write_stacks(
    folder: Path,
    context: SeriesContext,
    stacks: Iterable[tuple[Grid, Pixels]],
    *,
    first_file: int,
    bvalues: NDArray[np.float64] | None = None,
    directions_ras: NDArray[np.float64] | None = None,
) -> None:
    """
    Write each slice of each stack (volume or localizer plane) as a file.

    Parameters
    ----------
    first_file
        Number of the first file; they run on over the series of an export.
    """
    acquisition = context.acquisition
    dataset, writer = _new(context), SeriesWriter()
    instance = 0
    for stack, (grid, volume) in enumerate(stacks):
        _set_stack(dataset, context, stack)
        if bvalues is not None and directions_ras is not None:
            _set_gradient(dataset, stack, bvalues[stack], directions_ras[stack])
        for index in range(grid.shape[2]):
            instance += 1
            moment_s = (
                stack * acquisition.tr_ms / 1000 if acquisition.readout_s else 0.0
            )
            set_instance(dataset, context, instance, moment_s)
            place(dataset, grid, index)
            imaging = dataset.private_block(0x2001, "Philips Imaging DD 001")
            imaging.add_new(0x0A, "IS", str(index + 1))
            set_pixels(dataset, volume[:, :, index])
            name = f"IM_{first_file + instance - 1:04d}"
            writer.write(folder / "DICOM" / name, dataset)


def _new(context: SeriesContext) -> Dataset:
    acquisition, visit = context.acquisition, context.visit
    dataset = new_series(context)
    scanning, variant, technique, kind = _SEQUENCES[acquisition.kind]
    dataset.ScanningSequence = scanning
    dataset.SequenceVariant = variant
    dataset.ScanOptions = "FS"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", kind, "M", kind.removeprefix("M_")]
    dataset.ReceiveCoilName = "MULTI COIL"
    dataset.RescaleIntercept = "0"
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "normalized"
    dataset.NumberOfTemporalPositions = _dynamics(context)
    imaging = dataset.private_block(0x2001, "Philips Imaging DD 001", create=True)
    sagittal = acquisition.grid.row_cosine == (0.0, 1.0, 0.0)
    imaging.add_new(0x0B, "CS", "SAGITTAL" if sagittal else "TRANSVERSAL")
    imaging.add_new(
        0x13, "SL", acquisition.grid.shape[1] if acquisition.readout_s else 1
    )
    imaging.add_new(0x14, "SL", 2 if acquisition.second_te_ms else 1)
    imaging.add_new(0x18, "SL", acquisition.grid.shape[2])
    imaging.add_new(0x20, "LO", technique)
    imaging.add_new(0x22, "FL", 12.04)
    imaging.add_new(0x60, "SL", 1)
    imaging.add_new(0x81, "IS", str(_dynamics(context)))
    imaging.add_new(0xC8, "LO", f"Examcard {visit.patient.name}")
    physics = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    physics.add_new(0x0D, "FL", 0.0)
    physics.add_new(0x0E, "FL", 1.0)
    physics.add_new(0x11, "CS", "M")
    physics.add_new(0x30, "FL", [float(acquisition.tr_ms), 0.0])
    personal = dataset.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
    personal.add_new(0x91, "PN", visit.scanner.operator)
    personal.add_new(0x97, "LO", f"{visit.patient.birth_date}.{visit.scanner.serial}")
    return dataset


def _dynamics(context: SeriesContext) -> int:
    acquisition = context.acquisition
    return acquisition.n_volumes if acquisition.kind == "bold" else 1


def _set_stack(dataset: Dataset, context: SeriesContext, stack: int) -> None:
    acquisition = context.acquisition
    if acquisition.kind == "bold":
        dataset.TemporalPositionIdentifier = stack + 1
        dataset.TriggerTime = "0"
    if acquisition.kind == "b0_map" and stack == 1:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "B0 MAP", "B0", "UNSPECIFIED"]
        dataset.ComplexImageComponent = "REAL"
        dataset.RescaleSlope = decimal(MAP_HZ_PER_STEP)
        dataset.RescaleIntercept = decimal(MAP_OFFSET_HZ)
        dataset.RescaleType = "Hz"
        physics = dataset.private_block(0x2005, "Philips MR Imaging DD 001")
        physics.add_new(0x0D, "FL", MAP_OFFSET_HZ)
        physics.add_new(0x0E, "FL", 1 / MAP_HZ_PER_STEP)
        physics.add_new(0x11, "CS", "B0")


def _set_gradient(
    dataset: Dataset, stack: int, bvalue: float, direction_ras: NDArray[np.float64]
) -> None:
    """Philips gives directions in patient coordinates (LPS), 0 for no weighting."""
    direction = [float(v) for v in direction_ras * np.array([-1.0, -1.0, 1.0])]
    dataset.DiffusionBValue = float(bvalue)
    dataset.DiffusionGradientOrientation = direction
    imaging = dataset.private_block(0x2001, "Philips Imaging DD 001")
    imaging.add_new(0x03, "FL", float(bvalue))
    imaging.add_new(0x04, "CS", "O" if bvalue else "I")
    physics = dataset.private_block(0x2005, "Philips MR Imaging DD 001")
    for element, value in zip((0xB0, 0xB1, 0xB2), direction, strict=True):
        physics.add_new(element, "FL", value)
    numbers = dataset.private_block(0x2005, "Philips MR Imaging DD 005")
    numbers.add_new(0x12, "IS", "2" if bvalue else "1")
    numbers.add_new(0x13, "IS", str(stack + 1))
