"""Single elements of a DICOM file by keyword, also from inside enhanced objects."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from imaging_platform.dicom.structure import BadDicom, Reason

if TYPE_CHECKING:
    from pydicom import Dataset

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_NO_TEXT = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN", "SQ"})
MAX_VALUES = 64
"""A longer list is no fact to match on and is left out."""


def is_keyword(name: str) -> bool:
    """Tell whether `name` is a keyword of the DICOM dictionary (PS3.6)."""
    from pydicom.datadict import tag_for_keyword

    return tag_for_keyword(name) is not None


def element_of(keyword: str) -> tuple[int, str] | None:
    """
    Return tag and value representation of a keyword of the dictionary (PS3.6).

    Examples
    --------
    >>> element_of("PatientName")
    (1048592, 'PN')
    >>> element_of("TaskName") is None
    True
    """
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword)
    return None if tag is None else (tag, dictionary_VR(tag))


def read_fields(path: Path, keywords: Iterable[str]) -> dict[str, object]:
    """
    Return elements of one file by keyword, in DICOM's own units.

    An element is looked for at the top and then in the functional groups of the
    first frame (enhanced objects). Numbers come as numbers, everything else as
    text, several values as a list. What is absent, empty, binary or a sequence is
    left out.

    Parameters
    ----------
    path
        A DICOM file; its pixels are not read.
    keywords
        Keywords of the DICOM dictionary, such as ``ContentQualification``.

    Raises
    ------
    BadDicom
        The file cannot be read.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    wanted = list(keywords)
    try:
        dataset = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=[*wanted, *_GROUPS]
        )
        found = {name: _find(dataset, name) for name in wanted}
    except (InvalidDicomError, OSError, ValueError, NotImplementedError) as error:
        raise BadDicom(Reason.NOT_DICOM) from error
    return {name: value for name, value in found.items() if value not in (None, "", [])}


def _find(dataset: Dataset, keyword: str) -> object:
    if keyword in dataset:
        return _plain(dataset, keyword)
    for name in _GROUPS:
        for group in dataset.get(name, [])[:1]:
            for element in group:
                items = element.value if element.VR == "SQ" else []
                for item in items[:1]:
                    if keyword in item:
                        return _plain(item, keyword)
    return None


def _plain(dataset: Dataset, keyword: str) -> object:
    element = dataset[keyword]
    value = element.value
    if element.VR in _NO_TEXT or value is None:
        return None
    if element.VM > 1:
        values = [_single(one) for one in value]
        return values if len(values) <= MAX_VALUES else None
    return _single(value)


def _single(value: object) -> object:
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value).strip()
