"""dcm2niix, the pinned wheel: one call a session."""

from __future__ import annotations

import functools
from pathlib import Path

from imaging_platform.files.digests import digest_file
from imaging_platform.tools.run import Completed, run


def convert_folder(
    source: Path,
    target: Path,
    *,
    timeout_s: float = 3600,
    mark: str = "",
    is_one_series: bool = False,
) -> Completed:
    """
    Convert each series under `source` to NIfTI, sidecar, bval and bvec in `target`.

    Parameters
    ----------
    source
        Folder of DICOM files, read at any depth.
    target
        Existing empty folder. Names are ``<series number>_<series UID>`` and what
        dcm2niix appends; they say nothing that the sidecars do not.
    timeout_s
        Wall-clock limit in seconds.
    mark
        Follows the UID in each name, where files of several calls come together.
    is_one_series
        Take all files for one series, whatever their series UIDs say.

    Returns
    -------
    Completed
        Exit codes that leave usable output are accepted: 0, 2 (no DICOM at all)
        and 8 (some series failed); the caller accounts for each series.

    Raises
    ------
    ToolFailed
        dcm2niix crashed or took too long.
    """
    # -g i, before all others: what ~/.dcm2nii.ini of this user says changes nothing.
    # -ba n: the input is already de-identified and the sidecar allow-list follows;
    # -z n: what is kept is compressed later, for a quarter of what it costs here.
    # -w 2: images without number and UID of their series have one name; none is lost.
    options = [
        "-g",
        "i",
        "-b",
        "y",
        "-ba",
        "n",
        "-z",
        "n",
        "-f",
        f"%s_%j{mark}",
        "-d",
        "9",
        "-w",
        "2",
    ]
    if is_one_series:
        options += ["-m", "2"]
    return run(
        [program(), *options, "-o", str(target), str(source)],
        timeout_s=timeout_s,
        accepted=(0, 2, 8),
    )


def program() -> str:
    """Return the path of the dcm2niix binary that the pinned wheel carries."""
    import dcm2niix

    return str(dcm2niix.bin)


@functools.cache
def digest() -> str:
    """Return the SHA-256 of the dcm2niix binary."""
    return digest_file(Path(program()))


def version() -> str:
    """Return the version of the pinned dcm2niix wheel, such as ``1.0.20260724``."""
    import dcm2niix

    return dcm2niix.__version__
