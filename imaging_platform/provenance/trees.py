"""Every published tree of a study with its record, found without a database."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.model import layout
from imaging_platform.model.errors import BadInput
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.provenance.record import Record, read_record


@dataclass(frozen=True)
class Tree:
    """
    One published tree.

    Parameters
    ----------
    name
        One of `layout.SESSION_TREES` or `layout.STUDY_TREES`, or the dataset of an app.
    partition
        Session key; empty for a tree of the whole study.
    key
        Where it stands below the home.
    record
        Where it comes from.
    """

    name: str
    partition: str
    key: str
    record: Record

    @property
    def id(self) -> str:
        """Return ``motion[sub-01_ses-1]``, or ``catalog`` for the whole study."""
        return tree_id(self.name, self.partition)


Trees = Mapping[str, Tree]
"""Trees by `Tree.id`."""


def tree_id(name: str, partition: str) -> str:
    """
    Return the name of a tree within its study.

    Examples
    --------
    >>> tree_id("motion", "sub-01_ses-1"), tree_id("catalog", "")
    ('motion[sub-01_ses-1]', 'catalog')
    """
    return f"{name}[{partition}]" if partition else name


def sees_originals(home: Path, study: str) -> bool:
    """Return whether this process may read the identified zone of a study."""
    return os.access(Home(home).zone("identified", study), os.R_OK | os.X_OK)


def read_tree(home: Path, study: str, name: str, partition: str) -> Tree | None:
    """Return one tree of a study; None when it is not published, or not to be read."""
    if name == "raw_session" and not sees_originals(home, study):
        return None
    key = layout.tree_key(study, name, partition)
    if name == layout.RELEASE:
        record = read_release(home, study, partition)
    else:
        record = read_record(home / key)
    return Tree(name, partition, key, record) if record else None


def read_trees(
    home: Path, study: str, partitions: Iterable[str] | None = None
) -> dict[str, Tree]:
    """
    Return the trees of a study, sessions first, upstream first.

    Originals are among them when the caller may read the identified zone.

    Parameters
    ----------
    home
        The imaging home.
    study
        Name of the study.
    partitions
        Only these sessions, beside the trees of the whole study; None for all.
    """
    sessions = (
        [str(key) for key in list_sessions(home, study)]
        if partitions is None
        else sorted(filter(None, partitions))
    )
    names = (*layout.SESSION_TREES, *Home(home).app_datasets(study))
    wanted = [(n, key) for key in sessions for n in names]
    wanted += [(name, "") for name in layout.STUDY_TREES]
    wanted += _find_notebooks(home, study, sessions)
    trees = (read_tree(home, study, *each) for each in wanted)
    return {tree.id: tree for tree in trees if tree is not None}


def read_releases(home: Path, study: str) -> dict[str, Tree]:
    """Return the releases of a study that stand; `read_trees` has none of them."""
    versions = Home(home).release_versions(study)
    trees = (read_tree(home, study, layout.RELEASE, each) for each in versions)
    return {tree.id: tree for tree in trees if tree is not None}


def read_release(home: Path, study: str, version: str) -> Record | None:
    """Return the record of a release that stands; it does not leave with the files."""
    if not (home / layout.release(study, version)).is_dir():
        return None
    return read_record(home / layout.release_record(study, version))


def _find_notebooks(
    home: Path, study: str, sessions: Iterable[str]
) -> list[tuple[str, str]]:
    """Return name and partition of executed notebooks of sessions and of the study."""
    known = {*sessions, ""}
    pages = (home / "reports" / study / "notebooks").glob("*/*")
    found = (layout.find_tree(page.relative_to(home).as_posix()) for page in pages)
    return sorted((f[1], f[2]) for f in found if f is not None and f[2] in known)


def list_sessions(home: Path, study: str) -> list[SessionKey]:
    """Return the session keys that have a tree, sorted."""
    return sorted(set(_find_sessions(Home(home), study)))


def resolve_input(tree: Tree, name: str) -> str:
    """
    Return the `Tree.id` that an input of a record names; itself when it is no tree.

    A BIDS App is named as its asset, and its trees with the version besides.

    Examples
    --------
    >>> tree = Tree("motion", "sub-1_ses-1", "", Record("motion", "sub-1_ses-1", "1"))
    >>> resolve_input(tree, "bids_session"), resolve_input(tree, "policy")
    ('bids_session[sub-1_ses-1]', 'policy')
    """
    if name in layout.SESSION_TREES and tree.partition:
        return tree_id(name, tree.partition)
    asset, _, member = name.rstrip("]").partition("[")
    version, partition = tree.record.app_version(asset), member or tree.partition
    if version and "_ses-" in partition:
        return tree_id(layout.app_dataset_name(asset, version), partition)
    return name


def _find_sessions(home: Home, study: str) -> Iterator[SessionKey]:
    folders = [
        *home.zone("identified", study).glob("sessions/sub-*_ses-*"),
        *home.zone("dicom", study).glob("sub-*_ses-*"),
    ]
    names = [folder.name for folder in folders]
    converted = home.zone("bids", study).glob("sub-*/ses-*")
    names += [f"{folder.parent.name}_{folder.name}" for folder in converted]
    for name in names:
        try:
            yield SessionKey.parse(name)
        except BadInput:
            # A table beside the sessions, such as sub-01_sessions.tsv.
            continue
