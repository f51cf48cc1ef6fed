"""A session with more files than the demo has: the same scans under other UIDs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from imaging_platform.dicom.header_index import Instance
from imaging_platform.dicom.instances import read_instances
from imaging_platform.files.digests import list_files

FEWEST_FILES = 5000
"""So many files, the cost of each shows and the cost of starting does not."""

_LAST_DIGITS = re.compile(r"\d{1,6}$")


def repeat_session(
    source: Path, target: Path, *, n_files: int = FEWEST_FILES, one_study: bool = False
) -> Path:
    """
    Write a session again and again into `target` until it has enough files.

    Study, series and instance UIDs get other last digits of the same length, so
    that nothing else in a file moves.

    Parameters
    ----------
    source
        DICOM of one session.
    target
        Folder for the copies.
    n_files
        Enough.
    one_study
        The study's UID stays: all copies are one session.
    """
    paths = sorted(list_files(source))
    found = zip(paths, read_instances(paths), strict=True)
    files = [(path, one) for path, one in found if isinstance(one, Instance)]
    rounds = -(-n_files // len(files))
    for path, one in files:
        content = Path(path).read_bytes()
        uids = {one.study_uid, one.series_uid, one.sop_uid}
        kept = {one.study_uid} if one_study else set[str]()
        for number in range(rounds):
            folder = target / f"{number:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / Path(path).name).write_bytes(
                _rename(content, sorted(uids - kept), number)
            )
    return target


def _rename(content: bytes, uids: Sequence[str], number: int) -> bytes:
    for uid in uids:
        digits = _LAST_DIGITS.search(uid)
        if digits:
            other = uid[: digits.start()] + _shift(digits.group(), number)
            whole = rb"(?<![0-9.])" + re.escape(uid.encode()) + rb"(?![0-9.])"
            content = re.sub(whole, other.encode(), content)
    return content


def _shift(digits: str, number: int) -> str:
    """Return other digits, as many; the first is never 0 where it was not."""
    low = 10 ** (len(digits) - 1)
    return str(low + (int(digits) + number * 7919 * 31 - low) % (9 * low))
