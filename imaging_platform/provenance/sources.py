"""Which file was made from which, as BIDS sidecars and conversion reports say."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imaging_platform.model.layout import RELEASE, find_released, find_tree
from imaging_platform.provenance.record import read_outputs
from imaging_platform.provenance.trees import Tree, read_tree, tree_id

Files = frozenset[str]
"""Paths below a tree; empty for all of its files, since nothing says which."""

Sources = Mapping[str, tuple[tuple[str, str], ...]]
"""`Tree.id` and path of each file that a file was made from."""

WHOLE: Files = frozenset()
"""All files of a result."""

_RAW = "raw"


@dataclass(frozen=True)
class SourceReader:
    """
    Answers from the files of one home.

    Files of ``raw_session`` and of ``anonymized_dicom`` are named by the number of
    their series, since their names say nothing else.

    Parameters
    ----------
    home
        The imaging home.
    study
        Name of the study.
    """

    home: Path
    study: str

    def files_in(self, tree: Tree, files: Files, source: Tree) -> Files | None:
        """
        Return the files of `source` that some files of `tree` were made from.

        Empty for all of them; None when a release has none of these from it.
        """
        if not files:
            return files
        if tree.name == RELEASE:
            return _released_from(tree, files, source)
        if tree.name == "bids_session" and source.name == "anonymized_dicom":
            return self._series_of_images(tree, files)
        if tree.name == "anonymized_dicom" and source.name == "raw_session":
            return frozenset(_number_of(name) for name in files)
        named = self._named(tree)
        found = {
            path
            for file in files
            for owner, path in named.get(file, ())
            if owner == source.id
        }
        return frozenset(found)

    def files_from(self, user: Tree, tree: Tree, files: Files) -> Files | None:
        """
        Return the files of `user` that were made from some files of `tree`.

        Empty for all of them; None when it says that it was made from others.
        """
        if not files:
            return files
        if user.name == "anonymized_dicom" and tree.name == "raw_session":
            return files
        if user.name == "bids_session" and tree.name == "anonymized_dicom":
            return self._images_of_series(user, files)
        named = self._named(user)
        mentions = {
            file: {_stem(path) for owner, path in sources if owner == tree.id}
            for file, sources in named.items()
        }
        if not any(mentions.values()):
            return frozenset()
        # A sidecar that changes is a change of its image.
        wanted = {_stem(file) for file in files}
        return frozenset(f for f, stems in mentions.items() if stems & wanted) or None

    def series_of(self, raw: Tree) -> dict[int, str]:
        """Return what the series of a session are called, de-identified, by number."""
        return {
            int(row["series_number"]): str(row["description"])
            for row in self._converted(raw.partition)
        }

    def _series_of_images(self, bids: Tree, files: Files) -> Files:
        stems = {_stem(file) for file in files}
        return frozenset(
            str(row["series_number"])
            for row in bids.record.report.get("series", ())
            if stems & {_stem(file) for scan in row["scans"] for file in scan["files"]}
        )

    def _images_of_series(self, bids: Tree, numbers: Files) -> Files | None:
        wanted = {_number_of(name) for name in numbers}
        found = {
            file
            for row in bids.record.report.get("series", ())
            if str(row["series_number"]) in wanted
            for scan in row["scans"]
            for file in scan["files"]
        }
        return frozenset(found) or None

    def _converted(self, partition: str) -> list[Mapping[str, Any]]:  # rows of a report
        bids = read_tree(self.home, self.study, "bids_session", partition)
        return list(bids.record.report.get("series", ())) if bids else []

    def _named(self, tree: Tree) -> Sources:
        return read_sources(self.home, tree)


def read_sources(home: Path, tree: Tree) -> Sources:
    """Return what each file of a derivative was made from, as its sidecar says."""
    return _read_sources(home, tree.key, tree.record.data_version)


@functools.lru_cache(maxsize=4096)
def _read_sources(home: Path, key: str, version: str) -> Sources:
    """Return (tree, path) of each source of each file that has a sidecar."""
    zone, study, *_ = key.split("/")
    if zone != "derivatives":
        return {}
    named = {}
    for file in read_outputs(home / key):
        sidecar = (home / key / _stem(file)).with_name(f"{Path(_stem(file)).name}.json")
        try:
            uris = json.loads(sidecar.read_text()).get("Sources", [])
        except (FileNotFoundError, ValueError):
            continue
        named[file] = tuple(
            found for uri in uris if (found := _parse_uri(study, uri)) is not None
        )
    return named


def _parse_uri(study: str, uri: str) -> tuple[str, str] | None:
    """Return tree and path that a BIDS URI leads to (BIDS, BIDS URIs)."""
    kind, _, rest = uri.partition(":")
    dataset, _, path = rest.partition(":")
    folder = f"bids/{study}" if dataset == _RAW else f"derivatives/{study}/{dataset}"
    found = find_tree(f"{folder}/{path}") if kind == "bids" else None
    if found is None or not found[2]:
        return None
    return tree_id(*found[1:]), "/".join(path.split("/")[2:])


def _released_from(release: Tree, files: Files, source: Tree) -> Files | None:
    """Return which files of a result some files of a release are copies of."""
    defaced = release.record.report["defaced"]
    owners = [find_released(file, defaced.get(file, "")) for file in sorted(files)]
    if None in owners:
        # The top of a dataset speaks of all its sessions.
        return WHOLE if source.name == "bids_session" else None
    mine = {
        path
        for name, partition, path in filter(None, owners)
        if tree_id(name, partition) == source.id
    }
    if not mine:
        return None
    return WHOLE if "" in mine else frozenset(mine)


def _stem(file: str) -> str:
    """Return a path without what follows the first dot of its name."""
    folder, _, name = file.rpartition("/")
    stem = name.split(".")[0]
    return f"{folder}/{stem}" if folder else stem


def _number_of(name: str) -> str:
    """Return the number of a series, of its folder, or of a file in that."""
    number = name.split("/")[0].split("-")[0]
    return str(int(number)) if number.isdecimal() else number
