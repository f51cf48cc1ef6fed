"""What a release says of itself: its tables, its quality, its provenance."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imaging_platform import __version__
from imaging_platform.bids.dataset import (
    DatasetFacts,
    write_dataset_files,
    write_derivative_description,
)
from imaging_platform.bids.participants import COLUMNS, gather_participants
from imaging_platform.files.writing import write_json
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import QUALITY_DATASET, Home
from imaging_platform.provenance.ro_crate import Crate, describe_crate
from imaging_platform.provenance.trees import Tree
from imaging_platform.qc.group import IGNORED, ScanQuality, write_quality
from imaging_platform.qc.metric import Metric
from imaging_platform.release.content import Content
from imaging_platform.release.identity import strings_of
from imaging_platform.release.packing import (
    DESCRIPTION,
    Titles,
    describe_release,
    write_texts,
)
from imaging_platform.settings import Study
from imaging_platform.tools import dcm2niix

_OF_QUALITY = ("index.html", "failed.tsv")
"""Pages of `write_quality` for people at the platform; tables leave."""


def write_dataset(
    root: Path, home: Home, study: Study, titles: Titles, members: Sequence[SessionKey]
) -> None:
    """Write the top of the BIDS dataset of a release, for its sessions only."""
    source = home.root / layout.bids_dataset(study.name)
    facts = DatasetFacts(
        versions={"imaging_platform": __version__, "dcm2niix": dcm2niix.version()},
        source=f"urn:imaging_platform:{study.name}",
        participants=gather_participants(source, members),
    )
    write_dataset_files(
        root, name=titles.title, settings=study.bids, members=members, facts=facts
    )
    said = json.loads((root / DESCRIPTION).read_text())
    said["DatasetVersion"] = titles.version
    said["SourceDatasets"][0]["Version"] = titles.version
    if home.citation_file(study.name).is_file():
        shutil.copyfile(home.citation_file(study.name), root / "CITATION.cff")
        # BIDS, CITATION.cff: it stands in place of these.
        said = {k: v for k, v in said.items() if k not in ("Authors", "License")}
    write_json(root / DESCRIPTION, said)
    write_texts(root, titles, members)


def write_quality_dataset(
    root: Path,
    home: Home,
    study: Study,
    contents: Mapping[SessionKey, Sequence[Content]],
) -> None:
    """Write the metrics of each scan that leaves, and a table a kind of scan."""
    target = root / "derivatives" / QUALITY_DATASET
    scans: list[ScanQuality] = []
    for key, parts in contents.items():
        folders = {
            Path(file.path).name.split(".")[0]: str(Path(file.path).parent)
            for file in parts[0].files
            if ".nii" in file.path
        }
        tree = home.root / layout.session_quality(study.name, key)
        found: dict[str, list[Metric]] = {}
        for row in json.loads((tree / "metrics.json").read_text())["metrics"]:
            if row["scan"] in folders:
                found.setdefault(row["scan"], []).append(Metric(**row))
        scans += [
            ScanQuality(folders[scan], scan, scan.rpartition("_")[2], tuple(metrics))
            for scan, metrics in sorted(found.items())
        ]
    write_quality(target, sorted(scans, key=lambda scan: scan.name), {})
    for name in _OF_QUALITY:
        (target / name).unlink()
    write_derivative_description(
        target,
        name="Quality",
        pipeline="imaging_platform",
        version=__version__,
        bids_version=study.bids.bids_version,
        links={"raw": "../.."},
        ignored=IGNORED,
    )


def describe_provenance(
    study: Study,
    titles: Titles,
    trees: Mapping[str, Tree],
    digests: Mapping[str, str],
    defaced: Mapping[str, str],
    *,
    is_neutral: bool,
) -> dict[str, Any]:  # JSON-LD
    """
    Return the RO-Crate of a release.

    Parameters
    ----------
    study, titles
        What it says of itself.
    trees
        The results that it holds, by `Tree.id`.
    digests
        SHA-256 of each file by its path.
    defaced
        Which scans are of ``defaced_t1w``.
    is_neutral
        Leave out all that the study said itself: what is left is the product's.
    """
    placed = {name: _place(tree, is_neutral=is_neutral) for name, tree in trees.items()}
    outputs: dict[str, dict[str, str]] = {name: {} for name in trees}
    for path, digest in digests.items():
        owner = layout.find_released(path, defaced.get(path, ""))
        if owner is None:
            continue
        name = f"{owner[0]}[{owner[1]}]"
        key = placed[name].key
        outputs[name][path.removeprefix(f"{key}/") if key else path] = digest
    crate = Crate(
        name="" if is_neutral else f"{titles.title} {titles.version}",
        description="" if is_neutral else titles.description or titles.title,
        published="" if is_neutral else titles.date,
        license="" if is_neutral else study.bids.license,
    )
    return describe_crate(crate, placed, origins={}, outputs=outputs)


def find_own_words(
    titles: Titles, members: Sequence[SessionKey], neutral: Mapping[str, Any]
) -> frozenset[str]:
    """Return each text at the top of a release that is the product's own."""
    plain = dataclasses.replace(titles, title="", description="")
    return frozenset(
        {
            *strings_of(neutral),
            *strings_of(COLUMNS),
            *describe_release(plain, members).splitlines(),
            *(titles.date, titles.version, f"{titles.version} {titles.date}"),
            *_OWN_WORDS,
        }
    )


_OWN_WORDS = frozenset(
    {"Acknowledgements", "Authors", "BIDSVersion", "DatasetLinks", "DatasetType"}
    | {"DatasetVersion", "EthicsApprovals", "Funding", "GeneratedBy", "License"}
    | {"SourceDatasets", "URL", "raw", "derivative", "imaging_platform", "dcm2niix"}
    | {"Quality", "participant_id", "bids_name", "verdict", "reasons"}
)


def _place(tree: Tree, *, is_neutral: bool) -> Tree:
    """Return a result where it stands in a release."""
    key = SessionKey.parse(tree.partition)
    inside = f"sub-{key.subject}/ses-{key.session}"
    name = QUALITY_DATASET if tree.name == "session_quality" else tree.name
    places = {"bids_session": inside, "defaced_t1w": ""}
    record = tree.record
    if is_neutral:
        record = dataclasses.replace(record, parameters={})
    return dataclasses.replace(
        tree, key=places.get(name, f"derivatives/{name}/{inside}"), record=record
    )
