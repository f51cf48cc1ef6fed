"""Small drops of real DICOM, an inbox and a zone to index them in."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imaging_platform.dicom.headers import Header
from imaging_platform.intake.arrivals import list_arrivals
from imaging_platform.intake.drop import index_drop, note_told
from imaging_platform.intake.drop_report import DropReport
from imaging_platform.intake.index import IndexRow, read_index
from imaging_platform.intake.receipt import ReceiptLine, read_receipt
from imaging_platform.intake.session import GatheredSession, gather_session
from imaging_platform.intake.settings import IntakeSettings
from imaging_platform.intake.zone import drop_folder, drop_folders
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.labels import WantedLabels

SECRET = b"a secret of 32 bytes for the test"
LABELS = {"Ann^1": "A", "Bob^2": "B"}


@functools.cache
def mr_bytes(
    *,
    patient_id: str = "Ann^1",
    study: int = 1,
    series: int = 1,
    instance: int = 1,
    note: str = "",
    study_date: str = "20260102",
    is_image: bool = True,
    n_images: int = 0,
    started: str = "",
    device: str = "",
    study_description: str = "",
    comments: str = "",
    accession: str = "",
) -> bytes:
    """Return one MR image, or presentation state, as a whole DICOM file."""
    import io

    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import (
        UID,
        ExplicitVRLittleEndian,
        GrayscaleSoftcopyPresentationStateStorage,
        MRImageStorage,
    )

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = (
        MRImageStorage if is_image else GrayscaleSoftcopyPresentationStateStorage
    )
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{study}.{series}.{instance}")
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.StudyDate = study_date
    ds.Modality = "MR"
    ds.SeriesDescription = "t1 of Ann"
    ds.ImageComments = note
    ds.PatientName = patient_id
    ds.PatientID = patient_id
    ds.StudyInstanceUID = f"1.2.3.{study}" if study else ""
    ds.SeriesInstanceUID = f"1.2.3.{study}.{series}"
    ds.SeriesNumber = series
    ds.InstanceNumber = instance
    if n_images:
        ds.ImagesInAcquisition = n_images
    if started:
        ds.AcquisitionDate, ds.AcquisitionTime = study_date, started
        ds.StudyTime = started
    ds.DeviceSerialNumber = device
    ds.StudyDescription, ds.PatientComments = study_description, comments
    ds.AccessionNumber = accession
    if is_image:
        _add_pixels(ds)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def _add_pixels(ds: Any) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored = 4, 4, 16, 12
    ds.HighBit, ds.PixelRepresentation = 11, 0
    ds.PixelData = bytes(32)


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files under a folder; names may hold sub-folders and odd bytes."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def label_study(header: Header) -> WantedLabels:
    """Ask for a short label for known patients, a keyless digest for others."""
    digest = hashlib.sha256(header.patient_id.encode()).hexdigest()
    label = LABELS.get(header.patient_id, digest[:8])
    return WantedLabels(patient=label, subject=label)


@dataclass(frozen=True)
class Site:
    """One inbox and one identified zone."""

    inbox: Path
    zone: Path
    settings: IntakeSettings = field(default_factory=IntakeSettings)

    def send(self, name: str, files: Mapping[str, bytes]) -> str:
        """Put files into the inbox as a folder; return the drop's identifier."""
        return self.drop_id_of(write_files(self.inbox / name, files))

    def drop_id_of(self, path: Path) -> str:
        """Return the identifier of what stands at `path` in the inbox."""
        arrivals = list_arrivals(self.inbox, secret=SECRET)
        return next(a.drop_id for a in arrivals if a.path == path)

    def index(
        self, drop_id: str, *, jobs: int = 1, names: Sequence[str] | None = None
    ) -> DropReport:
        """Index and tell all arrivals of a drop, or those named, there or gone."""
        arrivals = list_arrivals(self.inbox, secret=SECRET)
        paths = [a.path for a in arrivals if a.drop_id == drop_id]
        report = index_drop(
            paths if names is None else [self.inbox / name for name in names],
            drop_id=drop_id,
            zone=self.zone,
            label_study=label_study,
            limits=self.settings,
            jobs=jobs,
        )
        note_told(self.zone, drop_id)
        return report

    def take_in(self, name: str, files: Mapping[str, bytes]) -> DropReport:
        """Send and index."""
        return self.index(self.send(name, files))

    def gather(self, key: str, target: Path) -> GatheredSession:
        """Gather a session into a new folder."""
        target.mkdir()
        return gather_session(SessionKey.parse(key), zone=self.zone, target=target)

    def receipt(self, drop_id: str) -> tuple[ReceiptLine, ...]:
        """Return the receipt of a drop."""
        return read_receipt(drop_folder(self.zone, drop_id))

    def rows(self) -> list[IndexRow]:
        """Return the rows of all indexes."""
        return [row for drop in drop_folders(self.zone) for row in read_index(drop)]

    def stored(self) -> set[bytes]:
        """Return the content of all stored files."""
        return {path.read_bytes() for path in self.zone.glob("store/??/*")}

    def left_over(self) -> list[str]:
        """Return what remains in the inbox, in incoming and in scratch folders."""
        drops = self.zone / "drops"
        incoming = self.zone / "incoming"
        places = [self.inbox, incoming, *incoming.glob("*"), *drops.glob("*/unpacked")]
        return [
            path.name for place in places if place.is_dir() for path in place.iterdir()
        ]
