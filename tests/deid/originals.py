"""Small synthetic originals, full of invented identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

MR = "1.2.840.10008.5.1.4.1.1.4"
ROOT = "1.2.826.0.1.3680043.9.9999"
SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(1, 33))
NAME = "Zuckerschwerdt^Quirina"


def make_original(number: int = 1, *, series: int = 3) -> FileDataset:
    """Return an MR image with names, dates and devices at several depths."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(MR)
    meta.MediaStorageSOPInstanceUID = UID(f"{ROOT}.1.{series}.{number}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.SourceApplicationEntityTitle = "SCANNER77"
    original = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    original.SpecificCharacterSet = "ISO_IR 100"
    original.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    original.SOPClassUID = MR
    original.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    original.StudyDate = "20200229"
    original.AcquisitionDateTime = "20200229131415.250000"
    original.StudyTime = "131400"
    original.AccessionNumber = "ACC445566"
    original.Modality = "MR"
    original.Manufacturer = "SIEMENS"
    original.InstitutionName = "Hospital of Nowhere"
    original.ReferringPhysicianName = "Ferdinandsen^Ulrike"
    original.StationName = "STATION77"
    original.StudyDescription = "Head of Quirina"
    original.SeriesDescription = "func_task-rest Zuckerschwerdt 2020-02-29"
    original.ManufacturerModelName = "Prisma"
    original.PatientName = NAME
    original.PatientID = "PX4711888"
    original.PatientBirthDate = "19280412"
    original.PatientSex = "F"
    original.PatientAge = "091Y"
    original.PatientSize = "1.7"
    original.PatientWeight = "70"
    original.PatientComments = "called her son"
    original.SequenceName = "epfid2d1_64"
    original.EchoTime = "30"
    original.RepetitionTime = "2000"
    original.DeviceSerialNumber = "66887"
    original.SoftwareVersions = "syngo MR E11"
    original.ProtocolName = "func_task-rest"
    original.StudyInstanceUID = f"{ROOT}.1"
    original.SeriesInstanceUID = f"{ROOT}.1.{series}"
    original.StudyID = "ST9988"
    original.SeriesNumber = series
    original.InstanceNumber = number
    original.ImagePositionPatient = [0.0, 0.0, float(number)]
    original.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    original.FrameOfReferenceUID = f"{ROOT}.7"
    original.ImageComments = "she was nervous"
    _add_sequences(original)
    _add_pixels(original, number)
    return original


def write_originals(folder: Path, n_files: int = 2, *, series: int = 3) -> Path:
    """Write originals under arbitrary names and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, n_files + 1):
        save(make_original(number, series=series), folder / f"Scan {series} {number}")
    return folder


def save(original: FileDataset, path: Path) -> Path:
    """Write an original and return its path."""
    original.save_as(path, enforce_file_format=True)
    return path


def _add_sequences(original: FileDataset) -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID = MR
    reference.ReferencedSOPInstanceUID = f"{ROOT}.1.3.1"
    original.ReferencedImageSequence = Sequence([reference])
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "T-A0100", "SRT"
    code.CodeMeaning = "Head of Quirina"
    original.AnatomicRegionSequence = Sequence([code])
    inner = Dataset()
    inner.PatientName = NAME
    inner.PatientBirthDate = "19280412"
    inner.ContentDate = "20200301"
    outer = Dataset()
    outer.MRTimingAndRelatedParametersSequence = Sequence([inner])
    original.SharedFunctionalGroupsSequence = Sequence([outer])
    earlier = Dataset()
    earlier.PatientName = NAME
    original.OriginalAttributesSequence = Sequence([earlier])


def _add_pixels(original: FileDataset, number: int) -> None:
    original.SamplesPerPixel = 1
    original.PhotometricInterpretation = "MONOCHROME2"
    original.Rows, original.Columns = 4, 6
    original.PixelSpacing = [2.0, 2.0]
    original.BitsAllocated = original.BitsStored = 16
    original.HighBit, original.PixelRepresentation = 15, 0
    voxels = np.arange(24, dtype="<u2") + number
    original.PixelData = voxels.tobytes()
