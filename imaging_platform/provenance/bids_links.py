"""What the datasets of a study say of themselves, in the words of BIDS."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imaging_platform.model import layout
from imaging_platform.provenance.sources import read_sources
from imaging_platform.provenance.trees import Trees

_KEYS = ("Name", "DatasetType", "GeneratedBy", "SourceDatasets", "DatasetLinks")

Described = dict[str, Any]  # JSON


def describe_datasets(home: Path, study: str, trees: Trees) -> Described:
    """
    Return ``GeneratedBy``, ``SourceDatasets``, ``Sources`` as the datasets have them.

    Parameters
    ----------
    home
        The imaging home.
    study
        Name of the study.
    trees
        The results whose files are listed.

    Returns
    -------
    dict
        ``datasets``: part of each description by the key of the dataset. ``files``:
        what each derived file was made from, as paths below the home.
    """
    keys = [
        layout.bids_dataset(study),
        *(layout.derivative_dataset(study, each) for each in layout.PIPELINES),
    ]
    return {"datasets": _descriptions(home, keys), "files": _sources(home, trees)}


def _descriptions(home: Path, keys: Iterable[str]) -> Described:
    found = {}
    for key in keys:
        try:
            said = json.loads((home / key / "dataset_description.json").read_text())
        except FileNotFoundError:
            continue
        found[key] = {name: said[name] for name in _KEYS if name in said}
    return found


def _sources(home: Path, trees: Trees) -> dict[str, list[str]]:
    return {
        f"{tree.key}/{file}": [
            f"{trees[o].key}/{path}" for o, path in sources if o in trees
        ]
        for tree in trees.values()
        for file, sources in read_sources(home, tree).items()
    }
