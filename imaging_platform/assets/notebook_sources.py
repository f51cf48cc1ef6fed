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
        trees = (self._trees(store, name, "") for name in self.of_sessions)
        return sorted({key.subject for found in trees for key in found})

    def versions(self, store: LocalStore, subject: str = "") -> dict[str, str]:
        """Return the data version of each tree, as ``asset[session]`` or ``asset``."""
        places = {
            f"{name}[{key}]": place
            for name in self.of_sessions
            for key, place in self._trees(store, name, subject).items()
        }
        places |= {n: layout.tree_key(self.study, n, "") for n in self.of_study}
        return read_versions(store, places)

    def sources(self, store: LocalStore, subject: str = "") -> Sources:
        """Return what can be read now of one subject, or of all when it is empty."""
        return {
            **{n: self._gather(store, n, subject) for n in self.of_sessions},
            **{n: layout.tree_key(self.study, n, "") for n in self.of_study},
        }

    def _trees(
        self, store: LocalStore, asset: str, subject: str
    ) -> dict[SessionKey, str]:
        places = {
            key: layout.session_tree(self.study, asset, key)
            for key in list_sessions(store.root, self.study)
            if subject in ("", key.subject)
        }
        return {k: p for k, p in places.items() if store.read(p) is not None}

    def _gather(
        self, store: LocalStore, asset: str, subject: str
    ) -> dict[str, str | Path]:
        """Return the trees of an asset, and the files of its dataset itself."""
        top = store.path(layout.dataset_of(self.study, asset))
        found: dict[str, str | Path] = {
            file.name: file
            for file in sorted(top.glob("*"))
            if file.is_file() and not file.name.startswith(".")
        }
        for key, place in self._trees(store, asset, subject).items():
            try:
                with store.fetch(place):
                    found[f"sub-{key.subject}/ses-{key.session}"] = place
            except Held:
                # Its de-identification is not proved: nobody reads it until it is.
                continue
        return found
