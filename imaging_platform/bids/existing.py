"""A BIDS dataset that is there already, as sessions: found, matched, left out."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imaging_platform.model.errors import BadInput, MissingInput
from imaging_platform.model.ids import SessionKey, is_label

ONLY_SESSION = "1"
"""Label of the session of a subject whose folders have no ``ses-``."""

DATATYPES = ("anat", "beh", "dwi", "fmap", "func", "perf", "pet")

_EXTENSIONS = (".nii.gz", ".nii", ".tsv.gz", ".tsv", ".json", ".bval", ".bvec")
_ENTITY = re.compile(r"([a-zA-Z0-9]+)-([a-zA-Z0-9+]+)")
_DATA = (".nii.gz", ".nii", ".tsv", ".tsv.gz")


@dataclass(frozen=True)
class BidsFile:
    """
    One file with a BIDS name.

    Parameters
    ----------
    path
        Where it lies.
    datatype
        Its folder, such as ``func``; empty above the datatypes.
    entities
        By short name, with sub and ses.
    suffix, extension
        Such as ``bold`` and ``.nii.gz``.
    """

    path: Path
    datatype: str
    entities: Mapping[str, str]
    suffix: str
    extension: str

    def name(self, key: SessionKey) -> str:
        """Return its name without extension under the labels of `key`."""
        own = [f"{k}-{v}" for k, v in self.entities.items() if k not in ("sub", "ses")]
        return "_".join([str(key), *own, self.suffix])

    def applies_to(self, other: BidsFile) -> bool:
        """Tell whether what it says holds of `other` (BIDS, inheritance principle)."""
        return self.suffix == other.suffix and all(
            other.entities.get(k) == v for k, v in self.entities.items()
        )


@dataclass(frozen=True)
class ExistingSession:
    """
    One session of an existing dataset.

    Parameters
    ----------
    key
        The labels that it gets.
    subject
        Its subject label in the dataset.
    files
        Images and tables, in order of their paths.
    inherited
        JSON, bval and bvec files that may hold of them, from the top down.
    scans
        Its ``scans.tsv``, or None.
    """

    key: SessionKey
    subject: str
    files: tuple[BidsFile, ...]
    inherited: tuple[BidsFile, ...]
    scans: Path | None


@dataclass(frozen=True)
class ExistingDataset:
    """
    What was found in a folder.

    Parameters
    ----------
    sessions
        By key.
    participants
        Row of participants.tsv by subject label of the dataset, all columns.
    left_out
        Path below the folder -> why; for the terminal only, since names may tell.
    """

    sessions: tuple[ExistingSession, ...]
    participants: Mapping[str, Mapping[str, str]]
    left_out: Mapping[str, str] = field(default_factory=dict)


def read_existing(root: Path, labels: Mapping[str, str]) -> ExistingDataset:
    """
    Return the sessions of a BIDS dataset, and what of it belongs to none.

    Parameters
    ----------
    root
        Folder with ``dataset_description.json``. Links are not followed out of it.
    labels
        New subject label by old one, both without ``sub-``; subjects that are not
        named are left out. Empty: all keep their labels.

    Raises
    ------
    MissingInput
        The folder is no BIDS dataset, or has no session.
    BadInput
        Two subjects would get one label, or one is no label.
    """
    if not (root / "dataset_description.json").is_file():
        raise MissingInput(
            "The folder has no dataset_description.json.",
            fix="Give the top folder of a BIDS dataset.",
        )
    _refuse_shared_labels(labels)
    root = root.resolve()
    found = _Walk(root, labels)
    for path in sorted(p for p in root.rglob("*") if p.is_file() or p.is_symlink()):
        found.take(path)
    sessions = tuple(found.sessions())
    if not sessions:
        raise MissingInput(
            "The dataset has no session with an image that can be imported.",
            fix="Look at the list of what was left out, or at the table of labels.",
        )
    return ExistingDataset(sessions, _read_participants(root), found.left_out)


def merge_sidecars(session: ExistingSession, file: BidsFile) -> dict[str, object]:
    """
    Return what all sidecars that hold of a file say, the nearest last.

    Raises
    ------
    BadInput
        A sidecar is no JSON object.
    """
    merged: dict[str, object] = {}
    for found in session.inherited:
        if found.extension == ".json" and found.applies_to(file):
            merged |= _read_object(found.path)
    return merged


def nearest_gradients(session: ExistingSession, file: BidsFile) -> dict[str, Path]:
    """Return the nearest bval and bvec of an image by their endings."""
    return {
        near.extension: near.path
        for near in session.inherited
        if near.extension in (".bval", ".bvec") and near.applies_to(file)
    }


def parse_name(path: Path, datatype: str) -> BidsFile | None:
    """
    Return a file by its BIDS name, None when the name has another form.

    Examples
    --------
    >>> found = parse_name(Path("sub-01_task-rest_bold.nii.gz"), "func")
    >>> found.suffix, dict(found.entities)
    ('bold', {'sub': '01', 'task': 'rest'})
    """
    extension = next((e for e in _EXTENSIONS if path.name.endswith(e)), None)
    if extension is None:
        return None
    *parts, suffix = path.name.removesuffix(extension).split("_")
    matches = [_ENTITY.fullmatch(part) for part in parts]
    if not suffix.isalnum() or not all(matches):
        return None
    entities = {m.group(1): m.group(2) for m in matches if m}
    if len(entities) != len(parts):
        return None
    return BidsFile(path, datatype, entities, suffix, extension)


class _Walk:
    """Sorts the files of a dataset into sessions."""

    def __init__(self, root: Path, labels: Mapping[str, str]) -> None:
        self._root = root
        self._labels = labels
        self._members: dict[tuple[str, str], list[BidsFile]] = defaultdict(list)
        self._above: list[tuple[Path, BidsFile]] = []
        self._scans: dict[tuple[str, str], Path] = {}
        self.left_out: dict[str, str] = {}

    def take(self, path: Path) -> None:
        """Put one file where it belongs."""
        place = path.relative_to(self._root)
        parts = place.parts
        if any(part.startswith(".") for part in parts):
            return
        if not path.resolve().is_relative_to(self._root):
            self.left_out[place.as_posix()] = "a link out of the dataset"
            return
        if not path.is_file():
            if not path.is_dir():
                self.left_out[place.as_posix()] = "a link to a file that is not there"
            return
        datatype = parts[-2] if len(parts) > 1 and parts[-2] in DATATYPES else ""
        folders = parts[:-2] if datatype else parts[:-1]
        labels = _folder_labels(folders)
        known = parse_name(path, datatype)
        why = self._place(path, labels, known)
        if why:
            self.left_out[place.as_posix()] = why

    def _place(
        self, path: Path, labels: tuple[str, str] | None, known: BidsFile | None
    ) -> str:
        """Return why a file is left out; empty when it was placed."""
        if labels is None:
            return "not in a folder of a subject and session"
        if labels == ("", ""):
            return self._place_above(path, known)
        if self._labels and labels[0] not in self._labels:
            return "its subject is not in the table of labels"
        if known is None:
            return "no BIDS name"
        if known.suffix == "scans":
            self._scans[labels] = path
            return ""
        if known.suffix == "sessions":
            return "written anew from the sessions"
        if known.extension not in _DATA:
            self._above.append((path.parent, known))
            return ""
        names = (known.entities.get("sub", ""), known.entities.get("ses", ""))
        if names != labels or not known.datatype:
            return "its name does not fit its folder"
        self._members[labels].append(known)
        return ""

    def _place_above(self, path: Path, known: BidsFile | None) -> str:
        if known is not None and known.extension in (".json", ".bval", ".bvec"):
            self._above.append((path.parent, known))
            return ""
        return "written anew for the whole dataset"

    def sessions(self) -> list[ExistingSession]:
        """Return the sessions that have a file, with what holds of them."""
        found = []
        divided = {subject for subject, session in self._members if session}
        for (subject, session), files in sorted(self._members.items()):
            if not session and subject in divided:
                for file in files:
                    place = file.path.relative_to(self._root).as_posix()
                    self.left_out[place] = "beside the sessions of its subject"
                continue
            label = self._labels.get(subject, subject)
            found.append(
                ExistingSession(
                    key=SessionKey(label, session or ONLY_SESSION),
                    subject=subject,
                    files=tuple(files),
                    inherited=self._inherited(files),
                    scans=self._scans.get((subject, session)),
                )
            )
        return found

    def _inherited(self, files: Sequence[BidsFile]) -> tuple[BidsFile, ...]:
        """Return what stands in the folders of `files` or above, from the top down."""
        folders = {parent for f in files for parent in f.path.parents}
        near = [pair for pair in self._above if pair[0] in folders]
        ordered = sorted(
            near, key=lambda p: (len(p[0].parts), len(p[1].entities), str(p[1].path))
        )
        return tuple(file for _, file in ordered)


def _folder_labels(folders: Sequence[str]) -> tuple[str, str] | None:
    """Return subject and session of folders; empty at the top, None elsewhere."""
    prefixes = ("sub-", "ses-")
    if len(folders) > len(prefixes):
        return None
    labels = ["", ""]
    for place, folder in enumerate(folders):
        label = folder.removeprefix(prefixes[place])
        if label == folder or not is_label(label):
            return None
        labels[place] = label
    return labels[0], labels[1]


def _refuse_shared_labels(labels: Mapping[str, str]) -> None:
    new = [label.casefold() for label in labels.values()]
    if len(set(new)) != len(new) or not all(map(is_label, labels.values())):
        raise BadInput(
            "The table of labels gives one label to two subjects, or something that "
            "is not 1 to 32 letters and digits.",
            fix="Correct the second column of the table.",
        )


def _read_participants(root: Path) -> dict[str, dict[str, str]]:
    path = root / "participants.tsv"
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [line.split("\t") for line in lines if line]
    named = [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]
    return {
        row["participant_id"].removeprefix("sub-"): row
        for row in named
        if "participant_id" in row
    }


def _read_object(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, UnicodeError):
        value = None
    if not isinstance(value, dict):
        raise BadInput("A sidecar is no JSON object.", fix="Correct the sidecar.")
    return value
