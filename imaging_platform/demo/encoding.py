"""Writing the files of a series fast: what does not change is encoded once."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from imaging_platform.demo.identities import made_up_uid

_ENCODINGS = ["iso8859"]
_PREAMBLE = b"\0" * 128 + b"DICM"


class SeriesWriter:
    """
    Writes one dataset again and again as it changes from instance to instance.

    The bytes are those of `pydicom.dcmwrite`, at a fraction of its time: an
    element whose value is the same object as in the file before is not encoded
    again. A value must therefore be replaced, never changed in place.
    """

    def __init__(self) -> None:
        self._encoded: dict[int, tuple[object, bytes]] = {}

    def write(self, path: Path, dataset: Dataset) -> None:
        """Write `dataset` as a DICOM file (PS3.10), explicit little endian."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.encode(dataset))

    def encode(self, dataset: Dataset) -> bytes:
        """Return the bytes of the file that holds `dataset`."""
        parts = [_PREAMBLE, _encode_meta(str(dataset.SOPInstanceUID))]
        for tag in sorted(dataset.keys()):
            element = dataset[tag]
            known = self._encoded.get(tag)
            if known is None or known[0] is not element.value:
                buffer = _little_endian()
                write_data_element(buffer, element, _ENCODINGS)
                known = (element.value, buffer.getvalue())
                self._encoded[tag] = known
            parts.append(known[1])
        return b"".join(parts)


def _encode_meta(instance_uid: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = UID(instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(made_up_uid("implementation"))
    meta.ImplementationVersionName = "DEMO_STUDY_1"
    buffer = _little_endian()
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return buffer.getvalue()


def _little_endian() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = False
    return buffer
