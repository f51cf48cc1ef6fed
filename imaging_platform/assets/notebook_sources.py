"""What a notebook about several sessions reads: their trees, laid out as in BIDS."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from imaging_platform.assets.notebook_runs import Sources
from imaging_platform.assets.scope import Scope, read_versions
from imaging_platform.model import layout
from imaging_platform.model.errors import Held
from imaging_platform.model.ids import SessionKey
from imaging_platform.pipeline.app_trees import (
    list_app_trees,
    read_app_version,
    tree_name,
)
from imaging_platform.pipeline.names import BIDS_SESSION
from imaging_platform.provenance.trees import list_sessions
from imaging_platform.storage.local import LocalStore


@dataclass(frozen=True)
class Needs:
    """
    Assets that a notebook about a subject or a study reads.

    Parameters
    ----------
    scope
        The study whose they are.
    of_sessions, of_study
        Their names, by what they are of.
    of_apps
        Names of the BIDS Apps that span sessions.
    """

    scope: Scope
    of_sessions: tuple[str, ...]
    of_study: tuple[str, ...]
    of_apps: tuple[str, ...] = ()

    @classmethod
    def sort(
        cls, scope: Scope, names: Collection[str], of_sessions: Collection[str]
    ) -> Needs:
        """Return the named assets, sorted by what they are of."""
        others = [name for name in names if name not in of_sessions]
        return cls(
            scope,
            tuple(name for name in names if name in of_sessions),
            tuple(name for name in others if name not in scope.apps),
            tuple(name for name in others if name in scope.apps),
        )

    def subjects(self, store: LocalStore) -> list[str]:
        """Return the labels of the subjects that have any of these trees, sorted."""
        found = {
            key.subject
            for name in self.of_sessions
            for key in list_trees(store, self.scope, name)
        }
        for name in self.of_apps:
            labels = list_app_trees(store, self.scope.study, name)
            found |= {x.removeprefix("sub-") for x in labels if x.startswith("sub-")}
        return sorted(found)

    def versions(self, store: LocalStore, subject: str = "") -> dict[str, str]:
        """Return the data version of each tree, as ``asset[session]`` or ``asset``."""
        places = {
            f"{name}[{key}]": place
            for name in self.of_sessions
            for key, place in list_trees(store, self.scope, name, subject).items()
        }
        places |= {n: layout.tree_key(self.scope.name, n, "") for n in self.of_study}
        versions = read_versions(store, places)
        for name in self.of_apps:
            if version := read_app_version(store, self.scope.study, name, subject):
                versions[name] = version
        return versions

    def sources(self, store: LocalStore, subject: str = "") -> Sources:
        """Return what can be read now of one subject, or of all when it is empty."""
        return {
            **{n: self._gather(store, n, subject) for n in self.of_sessions},
            **{n: layout.tree_key(self.scope.name, n, "") for n in self.of_study},
            **{n: self._gather_app(store, n, subject) for n in self.of_apps},
        }

    def _gather(
        self, store: LocalStore, asset: str, subject: str
    ) -> dict[str, str | Path]:
        """Return the trees of an asset, and the files of its dataset itself."""
        found: dict[str, str | Path] = {**list_dataset_files(store, self.scope, asset)}
        readable = list_readable(store, self.scope, asset, subject)
        for text, place in readable.items():
            key = SessionKey.parse(text)
            found[f"sub-{key.subject}/ses-{key.session}"] = place
        return found

    def _gather_app(
        self, store: LocalStore, app: str, subject: str
    ) -> str | dict[str, str | Path]:
        """Return the tree of an app of the study, or those of subjects."""
        trees = list_app_trees(store, self.scope.study, app, subject)
        whole = [place for label, place in trees.items() if not label.startswith("sub")]
        if whole:
            return whole[0]
        return {
            **list_dataset_files(store, self.scope, app),
            **{
                label: place
                for label, place in trees.items()
                if _is_readable(store, self.scope, label.removeprefix("sub-"))
            },
        }


def _is_readable(store: LocalStore, scope: Scope, subject: str) -> bool:
    """Return whether no session of a subject is held: an app has read them all."""
    readable = list_readable(store, scope, BIDS_SESSION, subject)
    return len(readable) == len(list_trees(store, scope, BIDS_SESSION, subject))


def list_dataset_files(store: LocalStore, scope: Scope, asset: str) -> dict[str, Path]:
    """Return the files at the top of the dataset in which an asset is published."""
    top = store.path(layout.dataset_of(scope.name, tree_name(scope.study, asset)))
    return {
        file.name: file
        for file in sorted(top.glob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


def list_readable(
    store: LocalStore, scope: Scope, asset: str, subject: str = ""
) -> dict[str, str]:
    """Return the keys of the trees of an asset that can be read now, by session."""
    found = {}
    for key, place in list_trees(store, scope, asset, subject).items():
        try:
            with store.fetch(place):
                found[str(key)] = place
        except Held:
            # Its de-identification is not proved: nobody reads it until it is.
            continue
    return found


def list_trees(
    store: LocalStore, scope: Scope, asset: str, subject: str = ""
) -> dict[SessionKey, str]:
    """Return the keys of the published trees of an asset, of one subject or of all."""
    places = {
        key: layout.session_tree(scope.name, tree_name(scope.study, asset), key)
        for key in list_sessions(store.root, scope.name)
        if subject in ("", key.subject)
    }
    return {k: p for k, p in places.items() if store.read(p) is not None}
