"""
The header facts of one DICOM file: what an index, an order and a count need.

One walk over the file (`imaging_platform.dicom.structure`) collects the raw
values, so that a header is only ever read from a file known to be whole.
Everything here may identify the subject.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging_platform.dicom.structure import (
    DEFAULT_LIMITS,
    NATIVE_SYNTAXES,
    BadDicom,
    Reason,
    Structure,
    StructureLimits,
    scan_structure,
)

_CHARACTER_SET = 0x00080005
_CHARACTER_SET_TERM = re.compile(r"(?i:iso|gb|utf)[\w -]*", re.ASCII)
_PIXEL_PROVIDER_URL = 0x00287FE0
_STUDY_ID = 0x00200010
_N_FRAMES = 0x00280008
# PS3.5 section 9; absent ones are told by who needs them.
_UID = re.compile(r"[0-9.]{0,64}")
_UIDS = ("sop_uid", "study_uid", "series_uid")

_TEXT_TAGS = {
    "sop_class_uid": 0x00080016,
    "sop_uid": 0x00080018,
    "image_type": 0x00080008,
    "study_date": 0x00080020,
    "series_date": 0x00080021,
    "acquisition_date": 0x00080022,
    "content_date": 0x00080023,
    "acquisition_datetime": 0x0008002A,
    "study_time": 0x00080030,
    "accession_number": 0x00080050,
    "study_description": 0x00081030,
    "study_id": 0x00200010,
    "patient_name": 0x00100010,
    "patient_comments": 0x00104000,
    "series_time": 0x00080031,
    "acquisition_time": 0x00080032,
    "content_time": 0x00080033,
    "modality": 0x00080060,
    "manufacturer": 0x00080070,
    "station_name": 0x00081010,
    "series_description": 0x0008103E,
    "manufacturer_model": 0x00081090,
    "patient_id": 0x00100020,
    "device_serial": 0x00181000,
    "software_versions": 0x00181020,
    "protocol_name": 0x00181030,
    "echo_time_ms": 0x00180081,
    "study_uid": 0x0020000D,
    "series_uid": 0x0020000E,
    "image_position": 0x00200032,
    "image_orientation": 0x00200037,
    "slice_location": 0x00201041,
}
_INTEGER_TEXT_TAGS = {
    "echo_number": 0x00180086,
    "series_number": 0x00200011,
    "acquisition_number": 0x00200012,
    "instance_number": 0x00200013,
    "temporal_position": 0x00200100,
    "n_temporal_positions": 0x00200105,
    "images_in_acquisition": 0x00201002,
}
_SHORT_TAGS = {
    "samples_per_pixel": 0x00280002,
    "rows": 0x00280010,
    "columns": 0x00280011,
    "bits_allocated": 0x00280100,
    "n_slices": 0x00540081,
    "n_time_slices": 0x00540101,
}
_WANTED = frozenset(
    {
        _CHARACTER_SET,
        _PIXEL_PROVIDER_URL,
        *_TEXT_TAGS.values(),
        *_INTEGER_TEXT_TAGS.values(),
        *_SHORT_TAGS.values(),
        _N_FRAMES,
    }
)
# PS3.4 section B.5: an instance of these is an image, so it has rows and pixels.
_IMAGE_CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{end}"
    for end in ("2", "2.1", "2.2", "4", "4.1", "4.3", "4.4", "128", "128.1", "130")
)
_FREE_TEXT = frozenset(
    {
        "accession_number",
        "patient_comments",
        "patient_id",
        "patient_name",
        "study_description",
        "study_id",
        "series_description",
        "protocol_name",
        "manufacturer",
        "manufacturer_model",
        "station_name",
        "device_serial",
    }
)


@dataclass(frozen=True, repr=False)
class Header:
    """
    Facts of one instance, as written in its header.

    Text is decoded by the file's character set and stripped of padding; ""
    when the element is absent or empty. Numbers are None when absent, empty or
    unreadable. Several values are joined by a backslash, as in the file.

    Parameters
    ----------
    sop_uid, sop_class_uid, study_uid, series_uid
        UIDs as written, valid or not.
    patient_id
        (0010,0020).
    modality, image_type, manufacturer, manufacturer_model, station_name
        Text as written.
    device_serial, protocol_name, series_description
        Text as written.
    study_date, study_time
        (0008,0020) and (0008,0030), DICOM form YYYYMMDD and HHMMSS.FFFFFF.
    acquired
        Moment of the acquisition as DICOM DT text: (0008,002A), else date and
        time of the acquisition, else of the content, else of the series.
    series_number, acquisition_number, instance_number
        Integers of the series and of the instance in it.
    echo_number, temporal_position, n_temporal_positions
        Place of the instance among echoes and volumes.
    images_in_acquisition
        (0020,1002), how many instances the scanner meant to make.
    n_frames
        Frames in this instance, 1 when the element is absent.
    echo_time_ms, slice_location
        Text in ms and mm.
    image_position, image_orientation
        Text in mm and as direction cosines, patient space (LPS).
    rows, columns
        Pixels.
    has_pixels
        Whether the instance holds pixel data.
    transfer_syntax
        UID of the encoding.
    has_preamble
        False for files written without a file meta group or preamble.
    patient_name, patient_comments
        (0010,0010) with its carets, and (0010,4000).
    study_description, study_id, accession_number
        (0008,1030), (0020,0010) and (0008,0050).
    n_slices, n_time_slices
        (0054,0081) and (0054,0101): slices of a PET volume, and its time frames.
    series_time, software_versions
        (0008,0031) and (0018,1020), text as written.
    """

    sop_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    patient_id: str
    modality: str
    image_type: str
    manufacturer: str
    manufacturer_model: str
    station_name: str
    device_serial: str
    protocol_name: str
    series_description: str
    study_date: str
    study_time: str
    acquired: str
    series_number: int | None
    acquisition_number: int | None
    instance_number: int | None
    echo_number: int | None
    temporal_position: int | None
    n_temporal_positions: int | None
    images_in_acquisition: int | None
    n_frames: int
    echo_time_ms: str
    slice_location: str
    image_position: str
    image_orientation: str
    rows: int | None
    columns: int | None
    has_pixels: bool
    transfer_syntax: str
    has_preamble: bool
    patient_name: str = ""
    patient_comments: str = ""
    study_description: str = ""
    study_id: str = ""
    accession_number: str = ""
    n_slices: int | None = None
    n_time_slices: int | None = None
    series_time: str = ""
    software_versions: str = ""

    @property
    def has_patient(self) -> bool:
        """Whether the patient identifier tells anything: a letter or a digit."""
        return any(sign.isalnum() for sign in self.patient_id)


def read_header(path: Path, *, limits: StructureLimits = DEFAULT_LIMITS) -> Header:
    """
    Return the header facts of a file that is whole from first to last byte.

    Parameters
    ----------
    path
        A regular file that nobody changes meanwhile.
    limits
        Bounds on depth, elements and inflation.

    Raises
    ------
    BadDicom
        The file is not whole, holds fewer pixels than its rows and columns
        ask for, is an image without an image, has no SOPInstanceUID, or has
        something else where a UID or the number of frames belongs.
        `BadDicom.reason` names the category.
    """
    structure = scan_structure(path, wanted=_WANTED, limits=limits)
    header = _header_of(structure)
    shorts = _shorts_of(structure)
    _refuse_missing_pixels(structure, header.sop_class_uid, shorts, header.n_frames)
    return header


def read_owner(path: Path, *, limits: StructureLimits = DEFAULT_LIMITS) -> Header:
    """
    Return of whom and of which study a file is, without reading it to its end.

    Parameters
    ----------
    path, limits
        As `read_header`.

    Returns
    -------
    Header
        Facts up to StudyID (0020,0010); those that stand behind it are empty, and
        the file may be cut off or broken there.

    Raises
    ------
    BadDicom
        The part that was read is broken or beyond a limit, or has no
        SOPInstanceUID.
    """
    return _header_of(
        scan_structure(path, wanted=_WANTED, limits=limits, through=_STUDY_ID)
    )


def _header_of(structure: Structure) -> Header:
    texts = _decode_texts(structure.values)
    integers = {
        name: _integer(structure.values.get(tag, b""))
        for name, tag in _INTEGER_TEXT_TAGS.items()
    }
    if not texts["sop_uid"]:
        raise BadDicom(Reason.NO_SOP_UID)
    if not all(_UID.fullmatch(texts[name]) for name in _UIDS):
        raise BadDicom(Reason.BAD_UID)
    n_frames = _count_frames(structure.values.get(_N_FRAMES, b""))
    # Any: text or integers.
    facts: dict[str, Any] = {**texts, **integers, **_shorts_of(structure)}
    facts |= {
        "acquired": _first_moment(texts),
        "n_frames": n_frames,
        "has_pixels": structure.has_pixels,
        "transfer_syntax": structure.transfer_syntax,
        "has_preamble": structure.has_preamble,
    }
    return Header(**{name: facts[name] for name in Header.__annotations__})


def _shorts_of(structure: Structure) -> dict[str, int | None]:
    return {
        name: _unsigned_short(structure.values.get(tag, b""), structure.is_big_endian)
        for name, tag in _SHORT_TAGS.items()
    }


def _refuse_missing_pixels(
    structure: Structure,
    sop_class_uid: str,
    shorts: Mapping[str, int | None],
    n_frames: int,
) -> None:
    """Find what was cut off between two elements, where the walk cannot see it."""
    rows, columns = shorts["rows"], shorts["columns"]
    if sop_class_uid in _IMAGE_CLASSES and not (rows and columns):
        raise BadDicom(Reason.TRUNCATED, "an image without rows and columns")
    is_image = bool(rows and columns and shorts["bits_allocated"])
    if not structure.has_pixels:
        is_elsewhere = _PIXEL_PROVIDER_URL in structure.values
        if is_image and not is_elsewhere and sop_class_uid in _IMAGE_CLASSES:
            raise BadDicom(Reason.TRUNCATED, "an image without pixel data")
        return
    if not is_image or structure.pixel_bytes is None:
        return
    if structure.transfer_syntax not in NATIVE_SYNTAXES:
        return
    samples = shorts["samples_per_pixel"] or 1
    bits = (rows or 0) * (columns or 0) * samples * (shorts["bits_allocated"] or 0)
    # YBR_FULL_422 stores two of three samples (PS3.3 section C.7.6.3.1.2).
    needed_bytes = bits * n_frames * (2 if samples == 3 else 3) // 24
    if structure.pixel_bytes < needed_bytes:
        raise BadDicom(Reason.SHORT_PIXELS)


def _first_moment(texts: Mapping[str, str]) -> str:
    if texts["acquisition_datetime"]:
        return texts["acquisition_datetime"]
    for kind in ("acquisition", "content", "series"):
        if texts[f"{kind}_date"]:
            return texts[f"{kind}_date"] + texts[f"{kind}_time"]
    return texts["study_date"] + texts["study_time"]


def _decode_texts(values: Mapping[int, bytes]) -> dict[str, str]:
    declared = values.get(_CHARACTER_SET, b"").decode("ascii", errors="replace")
    sets = [term.strip("\0 ") for term in declared.split("\\")]
    texts = {}
    for name, tag in _TEXT_TAGS.items():
        raw = values.get(tag, b"")
        is_plain = raw.isascii() and b"\x1b" not in raw
        if name in _FREE_TEXT and not is_plain:
            text = _decode_foreign(raw, sets)
        else:
            text = raw.decode("latin-1")
        texts[name] = text.strip("\0 ")
    return texts


def _decode_foreign(raw: bytes, sets: list[str]) -> str:
    """Decode by Specific Character Set (PS3.3 section C.12.1.1.2)."""
    from pydicom.charset import convert_encodings, decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS

    # pydicom would try anything else as the name of one of Python's codecs.
    known = [term if _CHARACTER_SET_TERM.fullmatch(term) else "" for term in sets]
    with warnings.catch_warnings():
        # A misspelt or unknown term is mended or read as Latin-1; that is not news.
        warnings.simplefilter("ignore")
        try:
            return decode_bytes(raw, convert_encodings(known), TEXT_VR_DELIMS)
        except (LookupError, ValueError):
            return raw.decode("latin-1")


def _integer(raw: bytes) -> int | None:
    """Return the first value of an IS element; None when it is none (PS3.5 6.2)."""
    text = raw.split(b"\\")[0].strip(b"\0 ")
    try:
        number = int(text)
    except ValueError:
        return None
    return number if -(1 << 31) <= number < 1 << 31 else None


def _count_frames(raw: bytes) -> int:
    """Return the number of frames; 1 when the element is absent, empty or 0."""
    number = _integer(raw)
    if number is None and raw.strip(b"\0 "):
        raise BadDicom(Reason.BROKEN, "the number of frames is no number")
    if number is not None and number < 0:
        raise BadDicom(Reason.BROKEN, "the number of frames is below zero")
    return number or 1


def _unsigned_short(raw: bytes, is_big_endian: bool) -> int | None:
    if len(raw) < 2:
        return None
    (value,) = struct.unpack(">H" if is_big_endian else "<H", raw[:2])
    return value
