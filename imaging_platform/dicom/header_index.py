"""
The header index: what each instance of a de-identified session says of its place.

Reading the headers of thousands of files costs a good part of their conversion. The
step that writes the files leaves their index beside them, and who needs it later
reads one file. An index that does not fit its files any more is as good as none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from imaging_platform.files.digests import HEADERS_NAME, list_files
from imaging_platform.files.writing import write_text

_FORMAT = 1


class Instance(NamedTuple):
    """
    What one instance says about its place among others.

    Parameters
    ----------
    sop_uid, sop_class_uid, study_uid, series_uid
        UIDs as written.
    series_description, series_time, manufacturer, software_versions, image_type
        Text as written; several values joined by a backslash.
    series_number, acquisition_number, instance_number, temporal_position
        Integers; None when absent or unreadable.
    images_in_acquisition
        (0020,1002), how many instances the scanner meant to make; None when absent.
    echo_number, echo_time_ms
        Integer, and text in ms.
    image_position, image_orientation
        Text in mm and as direction cosines, patient space (LPS).
    rows, columns
        Pixels.
    n_frames
        Frames in this instance, 1 when the element is absent.
    has_pixels
        Whether the instance holds pixel data.
    """

    sop_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    series_description: str
    series_time: str
    manufacturer: str
    software_versions: str
    image_type: str
    series_number: int | None
    acquisition_number: int | None
    instance_number: int | None
    temporal_position: int | None
    images_in_acquisition: int | None
    echo_number: int | None
    echo_time_ms: str
    image_position: str
    image_orientation: str
    rows: int | None
    columns: int | None
    n_frames: int
    has_pixels: bool


def write_header_index(folder: Path) -> None:
    """
    Index the DICOM files under `folder`, in a file beside them (`HEADERS_NAME`).

    It holds nothing but what stands in their headers, and the same files make the
    same bytes. There is none without files, or when one of them is not whole.
    """
    from imaging_platform.dicom.instances import read_instances

    paths = sorted(list_files(folder))
    found = [one for one in read_instances(paths) if isinstance(one, Instance)]
    if not found or len(found) < len(paths):
        return
    start = len(f"{folder}/")
    index = {
        "format": _FORMAT,
        "files": {path[start:]: Path(path).stat().st_size for path in paths},
        "columns": {
            name: _fold(values)
            for name, values in zip(
                Instance._fields, zip(*found, strict=True), strict=True
            )
        },
    }
    write_text(folder / HEADERS_NAME, json.dumps(index, separators=(",", ":")))


def read_header_index(folder: Path, paths: Sequence[str]) -> list[Instance] | None:
    """
    Return the facts of each file from the index of its folder, in order.

    Parameters
    ----------
    folder
        Where the index is.
    paths
        All files under it, sorted.

    Returns
    -------
    list of Instance
        None when there is no index, when it names other files or other sizes, or
        when a file was changed after it was written.
    """
    place = folder / HEADERS_NAME
    try:
        written_ns = place.stat().st_mtime_ns
        index = json.loads(place.read_bytes())
        if index["format"] != _FORMAT:
            return None
        if not _fits(index["files"], f"{folder}/", paths, written_ns):
            return None
        columns = [_unfold(index["columns"][name]) for name in Instance._fields]
        return list(map(Instance._make, zip(*columns, strict=True)))
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _fits(
    files: Mapping[str, int], start: str, paths: Sequence[str], written_ns: int
) -> bool:
    """Tell whether files are those that were indexed, as they were then."""
    if len(files) != len(paths):
        return False
    for (name, size), path in zip(files.items(), paths, strict=True):
        if path != start + name:
            return False
        status = os.stat(path)  # noqa: PTH116 - a Path costs more than the question
        if status.st_size != size or status.st_mtime_ns > written_ns:
            return False
    return True


def _fold(values: Iterable[Any]) -> list[Any]:  # text or integers
    """Return the different values, and the place of each file's value among them."""
    places: dict[Any, int] = {}
    rows = [places.setdefault(value, len(places)) for value in values]
    return [list(places), rows]


def _unfold(column: Sequence[Any]) -> Iterable[Any]:  # text or integers
    values, rows = column
    return map(values.__getitem__, rows)
