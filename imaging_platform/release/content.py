"""Which files of a session leave: what the standard names, and no face."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging_platform.files.digests import sorted_files
from imaging_platform.model.ids import SessionKey
from imaging_platform.provenance.record import Record

DATATYPES = frozenset(
    {"anat", "beh", "dwi", "eeg", "fmap", "func", "meg", "micr", "motion", "mrs"}
    | {"nirs", "perf", "pet", "ieeg"}
)
"""Folders of a session in BIDS; whatever else stands beside them does not leave."""

WITH_FACE = ("anat", "pet")
"""Datatypes whose images show the head from outside, sharp enough to know a person."""

MUST_BE_DEFACED = ("T1w", "T2w", "FLAIR", "PDw", "pet")
"""Scans without which a session does not leave; other kinds of anatomy stay behind."""

MOST_FACE_LEFT_PERCENT = 50
"""With more of eyes, nose and mouth left than this, a face can be seen."""

UNDEFACED_DERIVATIVES = ("_pet.nii.gz", "_pet.nii")
"""Derived images of the whole head; their tables leave."""

_IMAGES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class ReleasedFile:
    """
    One file that leaves.

    Parameters
    ----------
    source
        The published file.
    path
        Where it stands in the release.
    defaced
        Path below the tree ``defaced_t1w``, for a scan that stands for one with a
        face.
    """

    source: Path
    path: str
    defaced: str = ""


@dataclass(frozen=True)
class Content:
    """
    What leaves of a session.

    Parameters
    ----------
    files
        Its files.
    left_out
        What stays behind, each with the reason.
    objection
        Why the whole session may not leave; empty when it may.
    renamed
        New name below the session of each scan whose name ends otherwise.
    """

    files: tuple[ReleasedFile, ...]
    left_out: tuple[str, ...] = ()
    objection: str = ""
    renamed: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Defaced:
    """
    The scans of a session without their faces.

    Parameters
    ----------
    tree
        The published tree of ``defaced_t1w``; None when there is none.
    report
        What it says of them.
    """

    tree: Path | None = None
    report: Mapping[str, Any] | None = None  # a `DerivativeReport`

    @classmethod
    def of(cls, tree: Path | None, record: Record | None) -> Defaced:
        """Return those of a published tree."""
        return cls(tree, record.report) if tree and record else cls()

    def find(self, scan: str) -> tuple[str, str]:
        """Return the image of a scan below the tree, or nothing and why."""
        report = self.report or {}
        for row in report.get("scans", ()):
            if row["scan"] == scan:
                left = float(row["face_left_percent"])
                if left > MOST_FACE_LEFT_PERCENT and not row["was_defaced"]:
                    return "", f"{left:.0f} % of its face is left"
                return str(row["image"]), ""
        for row in report.get("skipped", ()):
            if row["scan"] == scan:
                return "", str(row["reason"])
        return "", "it has no defaced copy"


def choose_bids(tree: Path, key: SessionKey, defaced: Defaced) -> Content:
    """
    Return what leaves of a session in BIDS.

    Parameters
    ----------
    tree
        Its published tree.
    key
        Its labels.
    defaced
        Its scans without faces.
    """
    files: list[ReleasedFile] = []
    left_out: list[str] = []
    renamed: dict[str, str] = {}
    behind: set[str] = set()
    found = {path.relative_to(tree).as_posix(): path for path in sorted_files(tree)}
    top = f"sub-{key.subject}/ses-{key.session}"
    for name, path in found.items():
        folder = name.split("/")[0]
        if not _is_named(name, key):
            if not path.name.startswith("."):
                left_out.append(f"{name}: it has no BIDS name")
        elif folder not in WITH_FACE or not name.endswith(_IMAGES):
            files.append(ReleasedFile(path, f"{top}/{name}"))
        else:
            stem = _stem(name)
            image, why = defaced.find(stem.rpartition("/")[2])
            if image and defaced.tree is not None:
                renamed[name] = f"{stem}.nii.gz"
                where = f"{top}/{stem}.nii.gz"
                files.append(ReleasedFile(defaced.tree / image, where, image))
            elif stem.rpartition("_")[2] in MUST_BE_DEFACED:
                return Content((), (), f"{name} cannot leave: {why}")
            else:
                behind.add(f"{top}/{stem}")
                left_out.append(f"{name}: {why}")
    kept = [f for f in files if _stem(f.path) not in behind]
    return Content(tuple(kept), tuple(left_out), renamed=renamed)


def choose_derivative(tree: Path, key: SessionKey, dataset: str) -> Content:
    """Return what leaves of a session in a derivative dataset."""
    top = f"derivatives/{dataset}/sub-{key.subject}/ses-{key.session}"
    files, left_out = [], []
    for path in sorted_files(tree):
        name = path.relative_to(tree).as_posix()
        if name.endswith(UNDEFACED_DERIVATIVES):
            left_out.append(f"{dataset}/{name}: the whole head, not defaced")
        elif not path.name.startswith("."):
            files.append(ReleasedFile(path, f"{top}/{name}"))
    return Content(tuple(files), tuple(left_out))


def rewrite_scans(
    text: str, present: frozenset[str], renamed: Mapping[str, str]
) -> str:
    r"""
    Return the table of a session's scans with the scans that leave.

    Parameters
    ----------
    text
        Content of ``*_scans.tsv``.
    present
        Paths below the session of what leaves.
    renamed
        New name of scans that have one.

    Examples
    --------
    >>> table = "filename\nanat/a_T1w.nii\nanat/b_SWI.nii.gz\n"
    >>> names = {"anat/a_T1w.nii": "anat/a_T1w.nii.gz"}
    >>> rewrite_scans(table, frozenset(names.values()), names)
    'filename\nanat/a_T1w.nii.gz\n'
    """
    head, *rows = text.splitlines()
    column = head.split("\t").index("filename")
    lines = [head]
    for row in rows:
        cells = row.split("\t")
        cells[column] = renamed.get(cells[column], cells[column])
        if cells[column] in present:
            lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def link_dataset(text: str, names: Mapping[str, str], version: str) -> dict[str, Any]:
    """
    Return the description of a derivative dataset with links inside a release.

    Parameters
    ----------
    text
        Its ``dataset_description.json``.
    names
        Path to each dataset that its URIs may name, seen from it.
    version
        Of the release.
    """
    said: dict[str, Any] = json.loads(text)
    linked = [name for name in said.get("DatasetLinks", {}) if name in names]
    said["DatasetLinks"] = {name: names[name] for name in linked}
    if not linked:
        del said["DatasetLinks"]
    said["SourceDatasets"] = [
        {"URL": path, "Version": version}
        for path in dict.fromkeys([names["raw"], *(names[each] for each in linked)])
    ]
    return said


def _is_named(name: str, key: SessionKey) -> bool:
    folder, _, rest = name.partition("/")
    is_hidden = any(part.startswith(".") for part in name.split("/"))
    is_table = not rest and folder in (f"{key}_scans.tsv", f"{key}_scans.json")
    return not is_hidden and (is_table or (bool(rest) and folder in DATATYPES))


def _stem(name: str) -> str:
    """Return a path without what follows the first dot of its name."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.split('.')[0]}"
