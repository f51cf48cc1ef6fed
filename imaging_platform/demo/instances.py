"""What DICOM instances of all three scanners share: modules, geometry, identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import MRImageStorage

from imaging_platform.demo.geometry import Grid
from imaging_platform.demo.identities import Visit
from imaging_platform.demo.protocol import Acquisition


@dataclass(frozen=True)
class SeriesContext:
    """
    A series of a visit on its way to disk.

    Parameters
    ----------
    start_s
        Seconds after midnight when the series begins.
    references
        SOPInstanceUIDs of the images on which it was planned.
    """

    visit: Visit
    acquisition: Acquisition
    start_s: float
    references: tuple[str, ...] = ()

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID."""
        return self.visit.uid("series", self.acquisition.number)

    def instance_uid(self, instance: int) -> str:
        """Return the SOPInstanceUID of an instance number."""
        return self.visit.uid("instance", self.acquisition.number, instance)


def decimal(value: float) -> str:
    """Return a DS value: at most 16 characters (PS3.5 section 6.2)."""
    for digits in range(12, 3, -1):
        text = f"{float(value) + 0.0:.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError("a number that does not fit a DS value")


def decimals(values: Sequence[float] | NDArray[np.float64]) -> list[str]:
    """Return each value as DS text."""
    return [decimal(value) for value in values]


def clock(seconds: float) -> str:
    """Return seconds after midnight as a DICOM time HHMMSS.FFFFFF."""
    whole, micro = divmod(round(seconds * 1e6), 10**6)
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours:02d}{minutes:02d}{second:02d}.{micro:06d}"


def new_series(context: SeriesContext) -> Dataset:
    """Return the elements that every instance of a series has, identity included."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = MRImageStorage
    dataset.Modality = "MR"
    _add_patient(dataset, context.visit)
    _add_study(dataset, context.visit)
    _add_equipment(dataset, context.visit)
    _add_series(dataset, context)
    _add_requests(dataset, context.visit)
    _add_contrast(dataset, context.acquisition)
    return dataset


def place(dataset: Dataset, grid: Grid, index: int) -> None:
    """Set the plane of slice `index` of `grid` (PS3.3 C.7.6.2)."""
    position = grid.position_mm(index)
    dataset.ImagePositionPatient = decimals(position)
    dataset.ImageOrientationPatient = decimals([*grid.row_cosine, *grid.column_cosine])
    dataset.SliceLocation = decimal(float(position @ grid.normal))
    # PixelSpacing is row spacing, then column spacing.
    dataset.PixelSpacing = decimals([grid.spacing_mm[1], grid.spacing_mm[0]])
    dataset.SliceThickness = decimal(grid.spacing_mm[2])
    dataset.SpacingBetweenSlices = decimal(grid.spacing_mm[2])


def set_pixels(dataset: Dataset, plane: NDArray[np.uint16]) -> None:
    """Set 12-bit pixels from `plane`, indexed (column, row)."""
    rows = np.ascontiguousarray(plane.T).astype("<u2")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    # Their representation depends on PixelRepresentation: say it here.
    dataset.add_new("SmallestImagePixelValue", "US", int(rows.min()))
    dataset.add_new("LargestImagePixelValue", "US", int(rows.max()))
    dataset.WindowCenter = "600"
    dataset.WindowWidth = "1200"
    dataset.add_new("PixelData", "OW", rows.tobytes())


def set_instance(
    dataset: Dataset, context: SeriesContext, instance: int, acquired_s: float
) -> None:
    """Set what identifies one instance; `acquired_s` counts from the series' start."""
    dataset.SOPInstanceUID = context.instance_uid(instance)
    dataset.InstanceNumber = instance
    dataset.AcquisitionTime = clock(context.start_s + acquired_s)
    dataset.ContentTime = clock(context.start_s + acquired_s + 0.8)
    dataset.InstanceCreationTime = clock(context.start_s + acquired_s + 1.1)


def reference(sop_class: str, instance_uid: str) -> Dataset:
    """Return an item that points to another object (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = instance_uid
    return item


def _add_patient(dataset: Dataset, visit: Visit) -> None:
    patient = visit.patient
    dataset.PatientName = patient.name
    dataset.PatientID = patient.patient_id
    dataset.IssuerOfPatientID = visit.scanner.institution
    dataset.PatientBirthDate = patient.birth_date
    dataset.PatientSex = patient.sex
    dataset.PatientAge = visit.age
    dataset.PatientSize = decimal(patient.size_m)
    dataset.PatientWeight = decimal(patient.weight_kg)
    dataset.PatientAddress = patient.address
    dataset.PatientTelephoneNumbers = patient.phone
    dataset.PatientMotherBirthName = patient.mothers_birth_name
    dataset.Occupation = patient.occupation
    dataset.PatientComments = f"{visit.comment}; {patient.email}"
    other = Dataset()
    other.PatientID = patient.other_id
    other.TypeOfPatientID = "TEXT"
    dataset.OtherPatientIDsSequence = Items([other])


def _add_study(dataset: Dataset, visit: Visit) -> None:
    scanner = visit.scanner
    dataset.StudyInstanceUID = visit.uid("study")
    dataset.StudyID = visit.study_id
    dataset.AccessionNumber = visit.accession
    dataset.StudyDescription = visit.description
    dataset.StudyDate = visit.date
    dataset.StudyTime = clock(visit.start_s)
    dataset.ReferringPhysicianName = scanner.referring_physician
    detached = "1.2.840.10008.3.1.2.3.1"
    dataset.ReferencedStudySequence = Items([reference(detached, visit.uid("study"))])
    step = "1.2.840.10008.3.1.2.3.3"
    dataset.ReferencedPerformedProcedureStepSequence = Items(
        [reference(step, visit.uid("performed step"))]
    )


def _add_equipment(dataset: Dataset, visit: Visit) -> None:
    scanner = visit.scanner
    dataset.Manufacturer = scanner.manufacturer
    dataset.ManufacturerModelName = scanner.model
    dataset.SoftwareVersions = scanner.software.split("\\")
    dataset.DeviceSerialNumber = scanner.serial
    dataset.StationName = scanner.station
    dataset.InstitutionName = scanner.institution
    dataset.InstitutionAddress = scanner.address
    dataset.InstitutionalDepartmentName = scanner.department
    dataset.OperatorsName = scanner.operator
    dataset.PerformingPhysicianName = scanner.performing_physician
    dataset.MagneticFieldStrength = "3"
    dataset.ImagingFrequency = "123.2"
    dataset.ImagedNucleus = "1H"


def _add_series(dataset: Dataset, context: SeriesContext) -> None:
    visit, acquisition = context.visit, context.acquisition
    dataset.SeriesInstanceUID = context.series_uid
    dataset.SeriesNumber = acquisition.number
    dataset.AcquisitionNumber = 1
    dataset.SeriesDescription = acquisition.description
    dataset.ProtocolName = acquisition.description
    dataset.BodyPartExamined = "BRAIN"
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = visit.uid("frame of reference")
    dataset.PositionReferenceIndicator = ""
    for keyword in ("Series", "Acquisition", "Content", "InstanceCreation"):
        setattr(dataset, f"{keyword}Date", visit.date)
    dataset.SeriesTime = clock(context.start_s)
    if context.references:
        dataset.ReferencedImageSequence = Items(
            [reference(MRImageStorage, uid) for uid in context.references]
        )


def _add_requests(dataset: Dataset, visit: Visit) -> None:
    """The worklist's traces: names, numbers and dates at the root and nested."""
    patient, scanner = visit.patient, visit.scanner
    dataset.RequestingPhysician = scanner.requesting_physician
    dataset.RequestedProcedureDescription = visit.description
    dataset.PerformedProcedureStepStartDate = visit.date
    dataset.PerformedProcedureStepStartTime = clock(visit.start_s)
    dataset.PerformedProcedureStepID = visit.procedure_id
    dataset.PerformedStationAETitle = scanner.ae_title
    dataset.PerformedProcedureStepDescription = visit.description
    request = Dataset()
    request.ScheduledProcedureStepDescription = visit.description
    request.ScheduledProcedureStepID = visit.procedure_id
    request.RequestedProcedureID = visit.procedure_id
    request.AccessionNumber = visit.accession
    request.ReasonForTheRequestedProcedure = f"Follow-up of {patient.name}"
    request.StudyInstanceUID = visit.uid("study")
    dataset.RequestAttributesSequence = Items([request])


def _add_contrast(dataset: Dataset, acquisition: Acquisition) -> None:
    columns, rows, _ = acquisition.grid.shape
    dataset.RepetitionTime = decimal(acquisition.tr_ms)
    dataset.EchoTime = decimal(acquisition.te_ms)
    dataset.FlipAngle = decimal(acquisition.flip_deg)
    dataset.EchoNumbers = 1
    if acquisition.inversion_ms:
        dataset.InversionTime = decimal(acquisition.inversion_ms)
    dataset.MRAcquisitionType = "3D" if acquisition.kind == "t1w" else "2D"
    dataset.EchoTrainLength = rows if acquisition.readout_s else 1
    dataset.NumberOfAverages = "1"
    dataset.PercentSampling = "100"
    dataset.PercentPhaseFieldOfView = "100"
    dataset.NumberOfPhaseEncodingSteps = rows
    dataset.PixelBandwidth = "2315" if acquisition.readout_s else "240"
    # AcquisitionMatrix: frequency rows, frequency columns, phase rows, phase columns.
    dataset.AcquisitionMatrix = (
        [0, columns, rows, 0] if _phase_in_rows(acquisition) else [rows, 0, 0, columns]
    )
    dataset.InPlanePhaseEncodingDirection = (
        "COL" if _phase_in_rows(acquisition) else "ROW"
    )
    dataset.AngioFlag = "N"
    dataset.SAR = "0.042"


def _phase_in_rows(acquisition: Acquisition) -> bool:
    """Lines are encoded along the image's columns, except in a sagittal T1w."""
    sagittal = acquisition.grid.row_cosine == (0.0, 1.0, 0.0)
    return not (acquisition.kind == "t1w" and sagittal)
