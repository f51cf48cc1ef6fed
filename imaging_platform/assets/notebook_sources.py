"""What a notebook about several sessions reads: their trees, laid out as in BIDS."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.assets.notebook_runs import Sources
from imaging_platform.assets.scope import read_versions
from imaging_platform.model import layout
from imaging_platform.model.errors import Held
from imaging_platform.model.ids import SessionKey
from imaging_platform.provenance.trees import list_sessions
from imaging_platform.storage.local import LocalStore


@dataclass(frozen=True)
class Needs:
    """
    Assets that a notebook about a subject or a study reads.

    Parameters
    ----------
    study
        Whose they are.
    of_sessions, of_study
        Their names, by what they are of.
    """

    study: str
    of_sessions: tuple[str, ...]
    of_study: tuple[str, ...]

    @classmethod
    def sort(
        cls, study: str, names: Collection[str], of_sessions: Collection[str]
    ) -> Needs:
        """Return the named assets, sorted by what they are of."""
        return cls(
            study,
            tuple(name for name in names if name in of_sessions),
            tuple(name for name in names if name not in of_sessions),
        )

    def subjects(self, store: LocalStore) -> list[str]:
        """Return the labels of the subjects that have any of these trees, sorted."""
        trees = (list_trees(store, self.study, name) for name in self.of_sessions)
        return sorted({key.subject for found in trees for key in found})

    def versions(self, store: LocalStore, subject: str = "") -> dict[str, str]:
        """Return the data version of each tree, as ``asset[session]`` or ``asset``."""
        places = {
            f"{name}[{key}]": place
            for name in self.of_sessions
            for key, place in list_trees(store, self.study, name, subject).items()
        }
        places |= {n: layout.tree_key(self.study, n, "") for n in self.of_study}
        return read_versions(store, places)

    def sources(self, store: LocalStore, subject: str = "") -> Sources:
        """Return what can be read now of one subject, or of all when it is empty."""
        return {
            **{n: self._gather(store, n, subject) for n in self.of_sessions},
            **{n: layout.tree_key(self.study, n, "") for n in self.of_study},
        }

    def _gather(
        self, store: LocalStore, asset: str, subject: str
    ) -> dict[str, str | Path]:
        """Return the trees of an asset, and the files of its dataset itself."""
        found: dict[str, str | Path] = {
            **list_dataset_files(store, self.study, asset),
        }
        readable = list_readable(store, self.study, asset, subject)
        for text, place in readable.items():
            key = SessionKey.parse(text)
            found[f"sub-{key.subject}/ses-{key.session}"] = place
        return found


def list_dataset_files(store: LocalStore, study: str, asset: str) -> dict[str, Path]:
    """Return the files at the top of the dataset in which an asset is published."""
    top = store.path(layout.dataset_of(study, asset))
    return {
        file.name: file
        for file in sorted(top.glob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


def list_readable(
    store: LocalStore, study: str, asset: str, subject: str = ""
) -> dict[str, str]:
    """Return the keys of the trees of an asset that can be read now, by session."""
    found = {}
    for key, place in list_trees(store, study, asset, subject).items():
        try:
            with store.fetch(place):
                found[str(key)] = place
        except Held:
            # Its de-identification is not proved: nobody reads it until it is.
            continue
    return found


def list_trees(
    store: LocalStore, study: str, asset: str, subject: str = ""
) -> dict[SessionKey, str]:
    """Return the keys of the published trees of an asset, of one subject or of all."""
    places = {
        key: layout.session_tree(study, asset, key)
        for key in list_sessions(store.root, study)
        if subject in ("", key.subject)
    }
    return {k: p for k, p in places.items() if store.read(p) is not None}
