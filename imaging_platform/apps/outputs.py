"""What an app wrote: proved, and brought into the form in which it is published."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging_platform.apps.settings import App, AppOutput
from imaging_platform.apps.template import Value, fill_text
from imaging_platform.files.digests import DESCRIPTIONS
from imaging_platform.model.errors import BadOutput

OTHER = "other"
"""Folder of what an app wrote outside of the session or subject that it is about."""

DESCRIPTION = "dataset_description.json"
_ROW_NAMES = ("bids_name", "participant_id", "session_id")
_CHUNK_BYTES = 1 << 20
_TEXTS = (".json", ".html", ".tsv", ".csv", ".txt", ".log", ".md", ".svg")
_FIX = (
    "Read the log of the app: it ended without an error. Correct `outputs` or the "
    "command of the app in the study file."
)


@dataclass(frozen=True)
class FoundOutput:
    """
    A declared output and its files.

    Parameters
    ----------
    declared
        As the study file has it.
    files
        Paths below the folder of the app, sorted.
    """

    declared: AppOutput
    files: tuple[Path, ...]


def find_outputs(
    app: App, out: Path, values: Mapping[str, Value]
) -> tuple[FoundOutput, ...]:
    """
    Return the declared outputs with their files, each of which can be read.

    Parameters
    ----------
    app
        Says what must be there.
    out
        The folder that it wrote into.
    values
        Of placeholders.

    Raises
    ------
    BadOutput
        A required file is missing; a JSON, TSV or NIfTI file cannot be read; the
        description of the dataset is none.
    """
    found = []
    for declared in app.outputs:
        pattern = fill_text(declared.glob, values)
        files = tuple(sorted(p for p in out.glob(pattern) if _is_plain(p, out)))
        if declared.required and not files:
            raise BadOutput(
                f"{app.name} ended well, but no file matches {pattern}.", fix=_FIX
            )
        found.append(FoundOutput(declared, files))
    for file in sorted({file for each in found for file in each.files}):
        _refuse_unreadable(file, out)
    return tuple(found)


def read_description(out: Path) -> dict[str, object]:
    """
    Return what the app says of its dataset; empty when it says nothing.

    Raises
    ------
    BadOutput
        The file is no JSON object.
    """
    file = out / DESCRIPTION
    if not file.exists():
        return {}
    _refuse_unreadable(file, out)
    described = json.loads(file.read_text("utf-8"))
    if not isinstance(described, dict):
        raise BadOutput(f"{DESCRIPTION} of the app is no JSON object.", fix=_FIX)
    return described


def place_files(
    out: Path,
    target: Path,
    *,
    own: str,
    found: Sequence[FoundOutput],
    values: Mapping[str, Value],
) -> list[str]:
    """
    Put what an app wrote where it is published, and return what was left out.

    A link inside of the folder becomes the file that it leads to. What leads out of
    it, and what is no file, is left out.

    Parameters
    ----------
    out
        The folder that it wrote into; its files are moved out of it.
    target
        Folder that is published.
    own
        Folder of the session or subject below `out`, whose content becomes that of
        `target`; everything else goes to `OTHER`. All of `out` when empty.
    found
        Outputs that are put elsewhere.
    values
        Of placeholders.

    Raises
    ------
    BadOutput
        Two files would have one name.
    """
    moved = dict(_read_moves(found, values))
    left_out = []
    for file in sorted(out.rglob("*")):
        name = file.relative_to(out)
        if file.is_dir() and not file.is_symlink():
            continue
        if name.as_posix() == DESCRIPTION or name.name in DESCRIPTIONS:
            continue
        if not _is_plain(file, out):
            left_out.append(name.as_posix())
            continue
        place = target / moved.get(file, _place(name, own))
        if place.exists():
            raise BadOutput(
                f"Two files of the app would be published as {place.name}.", fix=_FIX
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        # Twice the same file when a link leads to another: a hard link, not a move.
        os.link(file.resolve(), place)
    return left_out


def hide_paths(root: Path, hidden: Mapping[str, str]) -> None:
    """
    Replace paths of this machine in the texts below a folder.

    Parameters
    ----------
    root
        Folder; a changed file is written anew, so that hard links stay as they are.
    hidden
        Path, and what stands for it.
    """
    longest_first = sorted(hidden.items(), key=lambda pair: -len(pair[0]))
    for file in sorted(root.rglob("*")):
        if file.suffix not in _TEXTS or not file.is_file():
            continue
        data = changed = file.read_bytes()
        for path, name in longest_first:
            changed = changed.replace(path.encode(), name.encode())
        if changed != data:
            file.unlink()
            file.write_bytes(changed)


def read_metrics(found: Sequence[FoundOutput], labels: str) -> dict[str, float]:
    """
    Return the numbers of outputs that are metrics, by name.

    Of a JSON object its own numbers. Of a TSV table whose rows name a scan, session
    or subject (``bids_name``, or ``participant_id`` and perhaps ``session_id``) the
    columns of each row; of two rows with one name the last counts. Of another table
    with one row its columns, of one with two columns its rows. NaN and infinite
    values are left out.

    Parameters
    ----------
    found
        The outputs.
    labels
        Beginning of file names that is the same in each session, such as
        ``sub-01_ses-1_``; it is cut off, so that numbers form one curve.
    """
    metrics: dict[str, float] = {}
    for each in found:
        for file in each.files if each.declared.metrics else ():
            for what, name, value in _read_values(file):
                number = _as_number(value)
                if number is not None:
                    metrics[f"{what.removeprefix(labels)} {name}"] = number
    return dict(sorted(metrics.items()))


def _read_values(file: Path) -> Iterator[tuple[str, str, object]]:
    """Yield what each value of a file is of, its name, and the value."""
    stem = file.name.split(".")[0]
    if file.suffix == ".json":
        content = json.loads(file.read_text("utf-8"))
        pairs = content.items() if isinstance(content, dict) else ()
        yield from ((stem, str(name), value) for name, value in pairs)
    elif file.suffix == ".tsv":
        head, *rows = _read_table(file)
        names = [name for name in _ROW_NAMES if name in head]
        for row in rows if names else ():
            cells = dict(zip(head, row, strict=True))
            what = _name_row([cells.pop(name) for name in names], stem)
            yield from ((what, name, value) for name, value in cells.items())
        if not names and len(rows) == 1:
            yield from ((stem, *pair) for pair in zip(head, rows[0], strict=True))
        elif not names and len(head) == 2:
            yield from ((stem, row[0], row[1]) for row in rows)


def _name_row(labels: Sequence[str], stem: str) -> str:
    """Return what a row is of, such as ``sub-01_ses-1_T1w`` or ``sub-01_volumes``."""
    named = [label for label in labels if label and label != "n/a"]
    if named and "_" in named[0]:
        return named[0]
    return "_".join([*named, stem])


def _as_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _read_moves(
    found: Sequence[FoundOutput], values: Mapping[str, Value]
) -> Iterator[tuple[Path, str]]:
    for each in found:
        place = fill_text(each.declared.put, values)
        for file in each.files if place else ():
            yield file, f"{place}{file.name}" if place.endswith("/") else place


def _place(name: Path, own: str) -> str:
    if not own:
        return name.as_posix()
    if name.is_relative_to(own):
        return name.relative_to(own).as_posix()
    return f"{OTHER}/{name.as_posix()}"


def _is_plain(path: Path, out: Path) -> bool:
    """Return whether a path is a file inside of the folder, or a link to one."""
    return path.is_file() and path.resolve().is_relative_to(out.resolve())


def _refuse_unreadable(file: Path, out: Path) -> None:
    try:
        if file.suffix == ".json":
            json.loads(file.read_text("utf-8"))
        elif file.suffix == ".tsv":
            _read_table(file)
        elif file.name.endswith((".nii", ".nii.gz")):
            _read_nifti(file)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise BadOutput(
            f"{file.relative_to(out).as_posix()} cannot be read "
            f"({type(error).__name__}).",
            fix=_FIX,
        ) from None


def _read_table(file: Path) -> list[list[str]]:
    """Return the rows of a TSV file; ValueError when they are of several lengths."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("not a table")
    return rows


def _read_nifti(file: Path) -> None:
    """Read an image to its end; ValueError when it is shorter than its header says."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(file)  # of any format
    except ImageFileError as error:
        raise ValueError("no image") from error
    wanted = (
        image.dataobj.offset + math.prod(image.shape) * image.get_data_dtype().itemsize
    )
    opener = gzip.open if file.name.endswith(".gz") else open
    n_bytes = 0
    with opener(file, "rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            n_bytes += len(chunk)
    if n_bytes < wanted:
        raise ValueError("too short")


def free_space(workspace: Path) -> None:
    """Remove what an app no longer needs, before its results are weighed."""
    for name in ("bids", "work", "out"):
        shutil.rmtree(workspace / name, ignore_errors=True)
