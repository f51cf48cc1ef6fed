"""A GE scanner of release DV26: one file a slice, GEMS private groups."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from io import BytesIO
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

_SEQUENCES = {
    "localizer": (["GR"], "SP", "FGRE", ["ORIGINAL", "PRIMARY", "OTHER"]),
    "t1w": (["GR", "IR"], "SP", "BRAVO", ["ORIGINAL", "PRIMARY", "OTHER"]),
    "bold": (["EP", "GR"], "SS", "EPI", ["ORIGINAL", "PRIMARY", "EPI", "NONE"]),
    "spin_echo": (["EP", "SE"], "NONE", "EPI2", ["ORIGINAL", "PRIMARY", "OTHER"]),
    "dwi": (["EP", "SE"], "NONE", "EPI2", ["ORIGINAL", "PRIMARY", "OTHER"]),
}


def slice_times_s(n_slices: int, tr_ms: float) -> NDArray[np.float64]:
    """Return when each slice is excited, in s: even slices, then odd ones."""
    order = np.concatenate([np.arange(0, n_slices, 2), np.arange(1, n_slices, 2)])
    times = np.empty(n_slices)
    times[order] = np.arange(n_slices) * tr_ms / 1000 / n_slices
    return times


def write_stacks(
    folder: Path,
    context: SeriesContext,
    stacks: Iterable[tuple[Grid, Pixels]],
    *,
    bvalues: NDArray[np.float64] | None = None,
    directions_ras: NDArray[np.float64] | None = None,
) -> None:
    """Write each slice of each stack (volume or localizer plane) as a file."""
    acquisition = context.acquisition
    dataset, writer = _new(context), SeriesWriter()
    slices = acquisition.grid.shape[2]
    times_s = slice_times_s(slices, acquisition.tr_ms)
    instance = 0
    for stack, (grid, volume) in enumerate(stacks):
        if bvalues is not None and directions_ras is not None:
            _set_gradient(dataset, bvalues[stack], directions_ras[stack])
        if acquisition.n_volumes > 1:
            dataset.TemporalPositionIdentifier = stack + 1
        for index in range(grid.shape[2]):
            instance += 1
            set_instance(dataset, context, instance, 0.0)
            place(dataset, grid, index)
            dataset.InStackPositionNumber = index + 1
            if acquisition.kind == "bold":
                timer = dataset.private_block(0x0021, "GEMS_RELA_01")
                timer.add_new(0x5E, "DS", decimal(times_s[index]))
                dataset.TriggerTime = decimal(1000 * times_s[index])
            set_pixels(dataset, volume[:, :, index])
            writer.write(_path(folder, context, instance), dataset)


def _new(context: SeriesContext) -> Dataset:
    acquisition, visit = context.acquisition, context.visit
    dataset = new_series(context)
    scanning, variant, sequence, types = _SEQUENCES[acquisition.kind]
    dataset.ScanningSequence = scanning
    dataset.SequenceVariant = variant
    dataset.ImageType = types
    dataset.ReceiveCoilName = "32Ch Head"
    dataset.StackID = "1"
    slices = acquisition.grid.shape[2]
    dataset.ImagesInAcquisition = slices * acquisition.n_volumes
    options = {"bold": ["EPI_GEMS", "PFF"], "t1w": ["FAST_GEMS", "IR"]}
    dataset.ScanOptions = options.get(acquisition.kind, ["FAST_GEMS"])
    dataset.AdditionalPatientHistory = visit.comment
    if acquisition.n_volumes > 1:
        dataset.NumberOfTemporalPositions = acquisition.n_volumes
    if acquisition.readout_s:
        # The polarity is read here: linear runs back to front on these slices.
        dataset.RectilinearPhaseEncodeReordering = (
            "REVERSE_LINEAR" if acquisition.polarity == 1 else "LINEAR"
        )
    _add_private(dataset, context, sequence)
    return dataset


def _add_private(dataset: Dataset, context: SeriesContext, sequence: str) -> None:
    acquisition, visit = context.acquisition, context.visit
    scanner, slices = visit.scanner, acquisition.grid.shape[2]
    named = dataset.private_block(0x0009, "GEMS_IDEN_01", create=True)
    named.add_new(0x02, "SH", scanner.station)
    named.add_new(0x04, "SH", "SIGNA")
    named.add_new(0x30, "SH", scanner.serial[:12])
    named.add_new(0xE3, "UI", visit.uid("equipment"))
    acquired = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    acquired.add_new(0x17, "SS", 2)
    acquired.add_new(0x9C, "LO", {"BRAVO": "bravo", "EPI": "epi"}.get(sequence, "epi2"))
    acquired.add_new(0x9E, "LO", sequence)
    related = dataset.private_block(0x0021, "GEMS_RELA_01", create=True)
    related.add_new(0x4F, "SS", slices)
    served = dataset.private_block(0x0025, "GEMS_SERS_01", create=True)
    served.add_new(0x07, "SL", slices * acquisition.n_volumes)
    served.add_new(0x1A, "SH", scanner.station)
    served.add_new(0x1B, "OB", _protocol_block(context))
    measured = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
    identity = f"MR Recon 1/{visit.study_id}/{visit.patient.patient_id}"
    measured.add_new(0x28, "OB", identity.encode().ljust(80, b"\0"))
    if acquisition.readout_s:
        spacing_us = 1e6 * acquisition.readout_s / (acquisition.grid.shape[1] - 1)
        measured.add_new(0x2C, "SS", round(spacing_us))
    measured.add_new(0x2F, "SS", 0)
    measured.add_new(0x61, "UI", visit.uid("study"))
    measured.add_new(0x62, "SH", visit.study_id)
    measured.add_new(0x83, "DS", ["1", "1"])
    measured.add_new(0x8A, "CS", str(dataset.InPlanePhaseEncodingDirection))


def _protocol_block(context: SeriesContext) -> bytes:
    """The compressed protocol: length, then gzip of ``KEY "value"`` lines."""
    acquisition, visit = context.acquisition, context.visit
    exam = "".join(filter(str.isdigit, visit.study_id))
    values = {
        "POSITION": "Supine",
        "ENTRY": "Head First",
        "COIL": "32Ch Head",
        "PLANE": "AXIAL",
        "SEDESC": acquisition.description,
        "IMODE": "3D" if acquisition.kind == "t1w" else "2D",
        "PSEQ": "Gradient Echo" if acquisition.kind == "bold" else "Spin Echo",
        "IOPT": "EPI, FMRI" if acquisition.kind == "bold" else "EPI",
        "PDGMUID": visit.uid("protocol"),
        "PDGMSTR": f"{visit.patient.name} {visit.accession}",
        "TR": f"{acquisition.tr_ms:.1f}",
        "TE": f"{acquisition.te_ms:.1f}",
        "SLICEORDER": "1",
        "VIEWORDER": "0",
        "SLPERLOC": str(acquisition.n_volumes),
        "NOSLC": str(acquisition.grid.shape[2]),
    }
    text = "".join(f'{key} "{value}"\n' for key, value in values.items())
    packed = BytesIO()
    name = f"Ex{exam}Ser{acquisition.number}Rx"
    with gzip.GzipFile(name, "wb", 6, packed, mtime=0) as file:
        file.write(text.encode("ascii"))
    data = packed.getvalue()
    block = struct.pack("<I", len(data)) + data
    return block + b"\0" * (len(block) % 2)


def _set_gradient(
    dataset: Dataset, bvalue: float, direction_ras: NDArray[np.float64]
) -> None:
    """
    Set b-value and direction; GE gives it along frequency, phase and slice.

    The sign is that of the image axes with the first two turned to the front and
    the right: for untilted axial slices with phase encoding along columns these
    are x, y and z of RAS (dcm2niix turns them back).
    """
    measured = dataset.private_block(0x0043, "GEMS_PARM_01")
    coded = int(bvalue) + (1_000_000_000 if bvalue else 0)
    measured.add_new(0x39, "IS", [str(coded), "8", "0", "0"])
    acquired = dataset.private_block(0x0019, "GEMS_ACQU_01")
    x, y, z = direction_ras
    for element, value in zip((0xBB, 0xBC, 0xBD), (x, y, z), strict=True):
        acquired.add_new(element, "DS", decimal(float(value)))
    acquired.add_new(0xE0, "DS", decimal(12.0))


def _path(folder: Path, context: SeriesContext, instance: int) -> Path:
    """As the scanner exports: exam, series, image numbers that run on."""
    number = context.acquisition.number
    exam = "".join(filter(str.isdigit, context.visit.study_id))
    name = f"i{number * 10_000 + instance:07d}.MRDCM.{instance}"
    return folder / f"e{exam}" / f"s{number:04d}" / name
