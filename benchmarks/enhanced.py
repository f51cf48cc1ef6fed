"""One enhanced multi-frame MR file of over 200 MB, in which no two frames are alike."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedMRImageStorage

from imaging_platform.demo.encoding import SeriesWriter
from imaging_platform.demo.identities import VISITS
from imaging_platform.demo.instances import SeriesContext, new_series
from imaging_platform.demo.session import acquisitions_of

ROWS = COLUMNS = 104
N_SLICES = 60
FULL_VOLUMES = 160
"""A run of functional imaging at 2 mm: 9,600 frames, 208 MB of pixels."""

_MOMENT = "20231114120517.042500"
_FRAME_UID = "2.25.19846041275319999999999"
_POSITION = ("-100.42431", "-156.09401", "0113.22394")
_PLACE, _VOLUME = 0x11111111, 0x22222222
_PER_FRAME, _OPEN = (0x5200, 0x9230), 0xFFFFFFFF


def write_enhanced_file(path: Path, *, n_volumes: int = FULL_VOLUMES) -> None:
    """
    Write a file with `N_SLICES` frames a volume.

    Each frame has its own moment, position, numbers, window and private values.
    """
    visit = VISITS[0]
    run = next(a for a in acquisitions_of(visit, small=False) if a.kind == "bold")
    head = _head(SeriesContext(visit, run, visit.start_s), n_volumes)
    encoded = SeriesWriter().encode(head)
    pattern = _encode(_frame())
    frames = (
        _vary(pattern, volume, place)
        for volume in range(n_volumes)
        for place in range(N_SLICES)
    )
    with path.open("wb") as file:
        file.write(encoded)
        file.write(struct.pack("<HH2sHI", *_PER_FRAME, b"SQ", 0, _OPEN))
        for frame in frames:
            file.write(struct.pack("<HHI", 0xFFFE, 0xE000, _OPEN) + frame)
            file.write(struct.pack("<HHI", 0xFFFE, 0xE00D, 0))
        file.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
        n_bytes = n_volumes * N_SLICES * ROWS * COLUMNS * 2
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, n_bytes))
        random = np.random.default_rng(1)
        for _ in range(n_volumes):
            shape = (N_SLICES, ROWS, COLUMNS)
            file.write(random.integers(0, 4096, shape, np.uint16).tobytes())


def _head(context: SeriesContext, n_volumes: int) -> Dataset:
    head = new_series(context)
    head.SOPClassUID = EnhancedMRImageStorage
    head.SOPInstanceUID = context.instance_uid(1)
    head.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    head.InstanceNumber = 1
    head.AcquisitionDateTime = _MOMENT
    head.NumberOfFrames = n_volumes * N_SLICES
    head.SamplesPerPixel, head.PhotometricInterpretation = 1, "MONOCHROME2"
    head.Rows, head.Columns = ROWS, COLUMNS
    head.BitsAllocated, head.BitsStored, head.HighBit = 16, 12, 11
    head.PixelRepresentation = 0
    head.SharedFunctionalGroupsSequence = Items([_shared()])
    return head


def _shared() -> Dataset:
    shared, measures, timing = Dataset(), Dataset(), Dataset()
    measures.SliceThickness, measures.PixelSpacing = "2", ["2", "2"]
    timing.RepetitionTime, timing.FlipAngle = "1000", "60"
    shared.PixelMeasuresSequence = Items([measures])
    shared.MRTimingAndRelatedParametersSequence = Items([timing])
    return shared


def _frame() -> Dataset:
    """Return the functional groups of a frame, with marks where frames differ."""
    content, position, turned = Dataset(), Dataset(), Dataset()
    content.FrameAcquisitionDateTime = content.FrameReferenceDateTime = _MOMENT
    content.FrameAcquisitionDuration = 1000.0
    content.StackID = "1"
    content.InStackPositionNumber = _PLACE
    content.TemporalPositionIndex = _VOLUME
    content.DimensionIndexValues = [1, _PLACE, _VOLUME]
    position.ImagePositionPatient = list(_POSITION)
    turned.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    echo, window, values, kind = Dataset(), Dataset(), Dataset(), Dataset()
    echo.EffectiveEchoTime = 30.0
    window.WindowCenter, window.WindowWidth = "515", "1039"
    values.RescaleIntercept, values.RescaleSlope, values.RescaleType = "0", "1", "US"
    kind.FrameType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    kind.PixelPresentation, kind.VolumetricProperties = "MONOCHROME", "VOLUME"
    kind.VolumeBasedCalculationTechnique = "NONE"
    kind.ComplexImageComponent, kind.AcquisitionContrast = "MAGNITUDE", "T2_STAR"
    frame = Dataset()
    frame.MREchoSequence = Items([echo])
    frame.MRImageFrameTypeSequence = Items([kind])
    frame.FrameContentSequence = Items([content])
    frame.PlanePositionSequence = Items([position])
    frame.PlaneOrientationSequence = Items([turned])
    frame.FrameVOILUTSequence = Items([window])
    frame.PixelValueTransformationSequence = Items([values])
    frame.ReferencedImageSequence = Items([_reference()])
    block = frame.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
    block.add_new(0xFE, "SQ", Items([_private_values()]))
    return frame


def _reference() -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = EnhancedMRImageStorage
    item.ReferencedSOPInstanceUID = _FRAME_UID
    return item


def _private_values() -> Dataset:
    item = Dataset()
    block = item.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
    block.add_new(0x06, "LO", "X_1_1_1_1_1_1_1_1_1_1_1_620")
    block.add_new(0x1A, "SH", "measured")
    block.add_new(0x24, "IS", "0")
    block.add_new(0x33, "IS", "64")
    block.add_new(0x42, "IS", "26000")
    block.add_new(0x45, "SL", [0, 0, -1250])
    block.add_new(0x4F, "LO", "HC1-7;NC1")
    block.add_new(0x53, "FD", 31.25)
    block.add_new(0x56, "LO", "p2")
    block.add_new(0x58, "SH", "104*104")
    block.add_new(0x59, "IS", ["0", "0", "0"])
    block.add_new(0x75, "CS", ["ORIGINAL", "PRIMARY", "M", "DIS2D"])
    block.add_new(0x88, "DS", _POSITION[2])
    block.add_new(0x89, "FD", 900.0)
    return item


def _encode(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    dataset.walk(_open_sequence)
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def _open_sequence(_: Dataset, element: DataElement) -> None:
    """Let a sequence and its items end by delimiters, as both makers write them."""
    if element.VR == "SQ":
        element.is_undefined_length = True
        for item in element.value:
            item.is_undefined_length_sequence_item = True


def _vary(pattern: bytes, volume: int, place: int) -> bytes:
    seconds = volume + place / N_SLICES
    minutes, second = divmod(seconds, 60)
    moment = f"2023111412{int(minutes) % 60:02d}{second:09.6f}"
    number = volume * N_SLICES + place
    marks = (
        (_MOMENT.encode(), moment.encode()),
        (_POSITION[0].encode(), f"{-100 - place * 0.00101:010.5f}".encode()),
        (_POSITION[1].encode(), f"{-156 - volume * 0.00101:010.5f}".encode()),
        (_POSITION[2].encode(), f"{113 + place * 2:010.5f}".encode()),
        (struct.pack("<I", _PLACE), struct.pack("<I", place + 1)),
        (struct.pack("<I", _VOLUME), struct.pack("<I", volume + 1)),
        (_FRAME_UID[-10:].encode(), f"{number:010d}".encode()),
    )
    for mark, value in marks:
        pattern = pattern.replace(mark, value)
    return pattern
