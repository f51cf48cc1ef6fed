"""Back to the scans and forward to the results, file by file where files say so."""

from __future__ import annotations

import pytest

from imaging_platform.provenance.lineage import Lineage, find_impact, trace_back
from imaging_platform.provenance.sources import SourceReader
from imaging_platform.provenance.trees import read_tree, read_trees

from .study import (
    BOLD,
    DROP,
    ONE,
    REALIGNED,
    STUDY,
    T1W,
    TSNR,
    TWO,
    make_study,
    origins_of,
)


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path)


def back(study, name: str, partition: str, *files: str) -> Lineage:
    root = study.home.root

    def read(tree: str):
        asset, _, key = tree.partition("[")
        return read_tree(root, STUDY, asset, key.rstrip("]"))

    start = read_tree(root, STUDY, name, partition)
    return trace_back(
        start,
        frozenset(files),
        read=read,
        sources=SourceReader(root, STUDY),
        origins=origins_of,
    )


def forward(study, **start: str) -> Lineage:
    root = study.home.root
    trees = read_trees(root, STUDY)
    files = {f"{name}[{ONE}]": frozenset([f] if f else []) for name, f in start.items()}
    return find_impact(trees, files, SourceReader(root, STUDY))


def files_of(lineage: Lineage) -> dict[str, tuple[str, ...]]:
    return {node.id.replace(f"[{ONE}]", ""): node.files for node in lineage.nodes}


def test_an_image_leads_back_through_its_own_files_to_its_series_and_drop(study):
    image = f"{TSNR.format(ONE)}.nii.gz"

    found = files_of(back(study, "temporal_snr", ONE, image))

    assert found == {
        "temporal_snr": (image,),
        "motion": (f"{REALIGNED.format(ONE)}.nii.gz",),
        "bids_session": (f"{BOLD.format(ONE)}.nii.gz",),
        "anonymized_dicom": ("series 2",),
        "raw_session": ("series 2",),
        "rules of bids_session": (),
        "policy of anonymized_dicom": (),
        f"series 2 of {ONE}": (),
        DROP: (),
    }


def test_a_page_leads_back_to_every_series_of_its_session_only(study):
    lineage = back(study, "session_report", ONE)

    series = {node.id: node.details for node in lineage.nodes if node.kind == "series"}
    assert series == {
        f"series 1 of {ONE}": {"files": 10, "description": "T1w"},
        f"series 2 of {ONE}": {"files": 20, "description": "bold"},
    }
    assert not [node for node in lineage.nodes if TWO in node.id]


def test_a_figure_of_the_study_leads_back_to_every_session(study):
    lineage = back(study, "study_report", "")

    raw = {node.id for node in lineage.nodes if node.id.startswith("raw_session")}
    assert raw == {f"raw_session[{ONE}]", f"raw_session[{TWO}]"}


def test_what_was_made_anew_since_is_told(study):
    study.bids(ONE, note="other")

    lineage = back(study, "motion", ONE)

    old = [(e.source, e.target) for e in lineage.edges if not e.is_current]
    assert old == [(f"bids_session[{ONE}]", f"motion[{ONE}]")]


def test_each_result_says_versions_parameters_tools_and_software(study):
    (bids,) = (n for n in back(study, "bids_session", ONE).nodes if "bids" in n.id[:4])

    assert bids.details["data_version"] == study.versions[f"bids_session[{ONE}]"]
    assert bids.details["parameters"] == {"limit": 0.2}
    assert bids.details["tools"] == {"dcm2niix": {"version": "1.0", "digest": "a" * 64}}
    assert bids.details["software"]["python"]


def test_a_series_reaches_what_was_made_from_it_and_no_more(study):
    found = files_of(forward(study, raw_session="1"))

    assert found.keys() == {
        "raw_session",
        "anonymized_dicom",
        "bids_session",
        "brain_mask",
        "session_quality",
        "session_report",
        "bids_dataset",
        "catalog",
        "study_report",
    }
    assert found["bids_session"] == tuple(
        f"{T1W.format(ONE)}{end}" for end in (".json", ".nii.gz")
    )


@pytest.mark.parametrize("end", [".nii.gz", ".json"])
def test_a_file_or_its_sidecar_reaches_the_files_that_name_it(study, end):
    found = files_of(forward(study, bids_session=f"{BOLD.format(ONE)}{end}"))

    assert "brain_mask" not in found
    assert found["motion"] == tuple(
        f"{REALIGNED.format(ONE)}{each}" for each in (".json", ".nii.gz")
    )
    assert "temporal_snr" in found


def test_a_session_reaches_all_that_is_its_own_and_the_whole_study(study):
    found = forward(study, raw_session="")

    ids = {node.id for node in found.nodes}
    assert {"catalog", "bids_dataset", "study_report"} < ids
    assert {i.partition("[")[0] for i in ids if ONE in i} == {
        "raw_session",
        "anonymized_dicom",
        "bids_session",
        "brain_mask",
        "motion",
        "temporal_snr",
        "session_quality",
        "session_report",
    }
    assert not [i for i in ids if TWO in i]


def test_forward_and_back_agree(study):
    trees = read_trees(study.home.root, STUDY)
    ahead = {n.id for n in forward(study, raw_session="").nodes}

    for tree in trees.values():
        ids = {node.id for node in back(study, tree.name, tree.partition).nodes}
        assert (f"raw_session[{ONE}]" in ids) == (tree.id in ahead), tree.id
