"""Many small MR files of one session, no two alike, as each of three makers sends."""

from __future__ import annotations

import functools
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError

from imaging_platform.demo import ge, philips, siemens
from imaging_platform.demo.diffusion import gradient_table
from imaging_platform.demo.identities import VISITS, Visit
from imaging_platform.demo.instances import SeriesContext, clock, decimals
from imaging_platform.demo.session import acquisitions_of

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
MAKERS = ("Siemens", "GE", "Philips")
LARGEST_BYTES = 300_000
SERIES_OF_A_MAKER, FILES_OF_A_SERIES = 4, 24

_CSA_IMAGE_HEADER = (0x0029, "SIEMENS CSA HEADER", 0x10)
_CSA_RECORD_BYTES, _CSA_ITEM_BYTES = 84, 16
_CSA_VARYING = frozenset(
    {
        b"AbsTablePosition",
        b"ICE_Dims",
        b"ProtocolSliceNumber",
        b"SliceLocation",
        b"SlicePosition_PCS",
        b"TimeAfterStart",
        b"UsedChannelMask",
    }
)


def real_files() -> Path | None:
    """Return the folder of real DICOM beside the checkout, None if there is none."""
    checkout = Path(__file__).resolve().parents[1]
    folder = checkout.parent / "shared" / "data" / "dicom"
    return folder if folder.is_dir() else None


def write_small_files(
    folder: Path, maker: str, n_files: int, *, real: Path | None = None
) -> None:
    """
    Write `n_files` MR files of one maker, patient and study into `folder`.

    Each has its own UIDs, numbers, times, position, pixels, and with Siemens its
    own CSA image header.

    Parameters
    ----------
    folder
        Made if it is not there.
    maker
        One of `MAKERS`.
    real
        Folder of real files that serve as patterns; without it, or when it has
        none of this maker, the demo's scanners make them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    patterns = _real_patterns(real, maker) if real else []
    if not patterns:
        patterns = _made_patterns(folder.with_name(f"{folder.name}-patterns"), maker)
    for number in range(n_files):
        # One series after the other, as files arrive.
        path = patterns[number * len(patterns) // n_files]
        _vary(dcmread(path), maker, number).save_as(folder / f"{number:05d}.dcm")


def vary_csa(data: bytes, number: int) -> bytes:
    """
    Return a CSA2 table of the same length in which texts end in another number.

    Parameters
    ----------
    data
        The table; one in another form is returned as it is.
    number
        From 0 to 9999; another number gives another table.
    """
    if data[:4] != b"SV10":
        return data
    varied = bytearray(data)
    digits = f"{number:04d}".encode()
    for name, start, stop in _csa_texts(data):
        if name in _CSA_VARYING:
            text = data[start:stop].split(b"\0")[0].rstrip()
            kept = text.rstrip(b"0123456789")
            n_digits = min(len(text) - len(kept), len(digits))
            end = start + len(text)
            varied[end - n_digits : end] = digits[len(digits) - n_digits :]
    return bytes(varied)


def _csa_texts(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield record name, and where a text of it stands (see `demo.csa`)."""
    (n_records,) = struct.unpack_from("<I", data, 8)
    position = 16
    for _ in range(n_records):
        name = data[position : position + 64].split(b"\0")[0]
        (n_items,) = struct.unpack_from("<i", data, position + 76)
        position += _CSA_RECORD_BYTES
        for _ in range(n_items):
            (length,) = struct.unpack_from("<i", data, position + 4)
            position += _CSA_ITEM_BYTES
            yield name, position, position + length
            position += length + -length % 4


def _vary(original: FileDataset, maker: str, number: int) -> FileDataset:
    # All makers scan one patient in one study here, so that they make one session.
    visit, series = VISITS[0], str(original.SeriesInstanceUID)
    uid = visit.uid("benchmark", maker, number)
    original.PatientName = visit.patient.name
    original.PatientID = visit.patient.patient_id
    original.StudyInstanceUID = visit.uid("study")
    original.SeriesInstanceUID = visit.uid("benchmark series", series)
    original.SOPInstanceUID = original.file_meta.MediaStorageSOPInstanceUID = uid
    original.InstanceNumber = number + 1
    for keyword in ("AcquisitionTime", "ContentTime", "InstanceCreationTime"):
        setattr(original, keyword, clock(40_000 + 0.0625 * number))
    x, y, z = (float(v) for v in original.get("ImagePositionPatient", (0, 0, 0)))
    original.ImagePositionPatient = decimals([x, y, z + 0.037 * number])
    original.SliceLocation = decimals([z + 0.037 * number])[0]
    pixels = bytearray(original.PixelData)
    pixels[: 2 * 256] = np.full(256, number % 4096, "<u2").tobytes()
    original.PixelData = bytes(pixels)
    _vary_csa_element(original, number)
    return original


def _vary_csa_element(original: FileDataset, number: int) -> None:
    group, creator, element = _CSA_IMAGE_HEADER
    try:
        block = original.private_block(group, creator)
    except KeyError:
        return
    if element in block:
        block[element].value = vary_csa(bytes(block[element].value), number)


def _visit_of(maker: str) -> Visit:
    return next(visit for visit in VISITS if visit.scanner.vendor == maker)


def _real_patterns(folder: Path, maker: str) -> list[Path]:
    """Return some files of the maker's longest series."""
    by_series: dict[str, list[Path]] = defaultdict(list)
    for path, header in _real_headers(folder):
        made_by = str(header.get("Manufacturer", "")).upper()
        if made_by.startswith(maker.upper()):
            by_series[str(header.SeriesInstanceUID)].append(path)
    longest = sorted(by_series.values(), key=len, reverse=True)[:SERIES_OF_A_MAKER]
    return [path for series in longest for path in _spread(series)]


@functools.cache
def _real_headers(folder: Path) -> list[tuple[Path, Dataset]]:
    """Return small classic MR files with what they say of maker and series."""
    found = []
    wanted = ["SOPClassUID", "Manufacturer", "SeriesInstanceUID"]
    for path in sorted(folder.glob("dcm_qa_*/**/*")):
        if not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            continue
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=wanted)
        except InvalidDicomError:
            continue
        if header.get("SOPClassUID") == MR_IMAGE:
            found.append((path, header))
    return found


def _spread(paths: list[Path]) -> list[Path]:
    step = max(1, len(paths) // FILES_OF_A_SERIES)
    return paths[::step][:FILES_OF_A_SERIES]


def _made_patterns(folder: Path, maker: str) -> list[Path]:
    """Write a series of noise with the demo's scanner of the maker."""
    visit = _visit_of(maker)
    kind = "magnitude" if maker == "Siemens" else "dwi"
    acquisition = next(
        one for one in acquisitions_of(visit, small=False) if one.kind == kind
    )
    references = tuple(visit.uid("instance", 1, plane) for plane in (1, 2, 3))
    context = SeriesContext(visit, acquisition, visit.start_s, references)
    random = np.random.default_rng(1)
    stacks = [
        (acquisition.grid, random.integers(0, 4096, acquisition.grid.shape, np.uint16))
        for _ in range(2 if kind == "magnitude" else acquisition.n_volumes)
    ]
    if maker == "Siemens":
        siemens.write_slices(folder, context, stacks)
    else:
        bvalues, directions = gradient_table(acquisition.n_volumes - 2)
        table = {"bvalues": bvalues, "directions_ras": directions}
        if maker == "GE":
            ge.write_stacks(folder, context, stacks, **table)
        else:
            philips.write_stacks(folder, context, stacks, first_file=1, **table)
    made = sorted(path for path in folder.rglob("*") if path.is_file())
    return _spread(made)
