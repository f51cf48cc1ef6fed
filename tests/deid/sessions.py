"""Four kinds of small sessions, each with something that an option may concern."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from tests.deid.originals import make_original, save

CT = "1.2.840.10008.5.1.4.1.1.2"


def write_kinds(folder: Path) -> dict[str, Path]:
    """Write one session of each kind and return its folder by kind."""
    changes: dict[str, Callable[[FileDataset], None]] = {
        "plain": _plain,
        "rich": _rich,
        "computed tomography": _tomography,
        "screen": _screen,
    }
    made = {}
    for kind, change in changes.items():
        made[kind] = folder / kind
        made[kind].mkdir(parents=True)
        for number in (1, 2):
            original = make_original(number)
            change(original)
            save(original, made[kind] / f"{number}")
    return made


def _plain(original: FileDataset) -> None:
    for keyword in ("PatientWeight", "SeriesDescription", "ProtocolName"):
        delattr(original, keyword)


def _rich(original: FileDataset) -> None:
    original.EthnicGroup = "A1"
    original.PregnancyStatus = 4
    original.InstitutionName = "Clinic of Somewhere"
    original.AcquisitionContextSequence = Sequence([_measured()])
    block = original.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    own = original.private_block(0x0019, "LAB SEQUENCES", create=True)
    own.add_new(0x01, "LO", "MODE-7")


def _measured() -> Dataset:
    item = Dataset()
    item.ValueType = "NUMERIC"
    item.NumericValue = "37.5"
    return item


def _tomography(original: FileDataset) -> None:
    original.SOPClassUID = CT
    original.file_meta.MediaStorageSOPClassUID = UID(CT)
    original.Modality = "CT"
    original.ConvolutionKernel = "B30f"
    original.FilterType = "WEDGE_2"


def _screen(original: FileDataset) -> None:
    original.BurnedInAnnotation = "YES"
