"""What other programs read: PROV as they parse it, RO-Crate as its standard asks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from imaging_platform.provenance.bids_links import describe_datasets
from imaging_platform.provenance.prov import describe_prov
from imaging_platform.provenance.record import read_outputs
from imaging_platform.provenance.ro_crate import METADATA_NAME, Crate, describe_crate
from imaging_platform.provenance.trees import read_trees

from .study import BOLD, DROP, ONE, REALIGNED, STUDY, TWO, make_study, origins_of

CRATE = Crate("Demo", "A study.", "2026-03-01", "CC0")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def trees(study):
    return read_trees(study.home.root, STUDY)


@pytest.fixture(scope="module")
def outputs(study, trees):
    return {
        name: read_outputs(study.home.root / tree.key) for name, tree in trees.items()
    }


parsing = pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")
"""The parser warns of itself."""

ORIGINS = {key: origins_of(key) for key in (ONE, TWO)}


@pytest.fixture(scope="module")
def prov_text(trees, outputs):
    document = describe_prov(STUDY, trees, origins=ORIGINS, outputs=outputs)
    return json.dumps(document)


@parsing
def test_prov_says_of_each_result_what_made_it_and_from_what(prov_text, trees):
    rdflib = pytest.importorskip("rdflib", reason="no parser of JSON-LD")
    prov = rdflib.Namespace("http://www.w3.org/ns/prov#")
    graph = rdflib.Graph().parse(data=prov_text, format="json-ld")

    made = dict(graph.subject_objects(prov.wasGeneratedBy))

    assert len(made) == len(trees)
    for entity, activity in made.items():
        assert (activity, rdflib.RDF.type, prov.Activity) in graph
        used = set(graph.objects(activity, prov.used))
        assert used == set(graph.objects(entity, prov.wasDerivedFrom))
        assert all((each, rdflib.RDF.type, prov.Entity) in graph for each in used)
        agents = set(graph.objects(activity, prov.wasAssociatedWith))
        assert agents
        assert all((a, rdflib.RDF.type, prov.SoftwareAgent) in graph for a in agents)


@parsing
def test_prov_leads_from_the_study_report_to_the_drop(prov_text):
    rdflib = pytest.importorskip("rdflib", reason="no parser of JSON-LD")
    prov = rdflib.Namespace("http://www.w3.org/ns/prov#")
    graph = rdflib.Graph().parse(data=prov_text, format="json-ld")
    (report,) = graph.subjects(rdflib.RDFS.label, rdflib.Literal("study_report"))

    reached = set(graph.transitive_objects(report, prov.wasDerivedFrom))

    assert rdflib.URIRef(f"urn:imaging-platform:study:{STUDY}:{DROP}") in reached


@parsing
def test_the_library_of_prov_reads_what_is_written(prov_text, trees):
    model = pytest.importorskip("prov.model", reason="no library of W3C PROV")

    document = model.ProvDocument.deserialize(
        content=prov_text, format="rdf", rdf_format="json-ld"
    )

    assert len(list(document.get_records(model.ProvActivity))) == len(trees)
    assert len(list(document.get_records(model.ProvAgent))) == 2


def test_the_same_study_has_the_same_document(prov_text, trees, outputs):
    again = describe_prov(STUDY, trees, origins=ORIGINS, outputs=outputs)

    assert json.dumps(again) == prov_text


@pytest.fixture(scope="module")
def graph(trees, outputs):
    crate = describe_crate(CRATE, trees, origins=ORIGINS, outputs=outputs)
    return {item["@id"]: item for item in crate["@graph"]}


def test_a_crate_has_what_its_standard_requires(trees, outputs, graph):
    crate = describe_crate(CRATE, trees, origins=ORIGINS, outputs=outputs)

    # RO-Crate 1.1: descriptor, root data entity, one flat graph, unique names.
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    assert len(graph) == len(crate["@graph"])
    descriptor, root = graph[METADATA_NAME], graph["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset"
    assert {"name", "description", "datePublished", "license"} <= root.keys()
    assert all("@type" in item for item in graph.values())


def test_every_name_that_a_crate_mentions_is_described(graph):
    outside = {
        "https://w3id.org/ro/crate/1.1",
        "http://schema.org/CompletedActionStatus",
    }

    mentioned = {name for item in graph.values() for name in _names_in(item)}

    assert mentioned - graph.keys() <= outside


def test_each_part_of_a_crate_is_a_file_or_folder_that_stands_there(study, graph):
    parts = [part["@id"] for part in graph["./"]["hasPart"]]

    assert parts
    for part in parts:
        place = study.home.root / part
        assert place.is_dir() == part.endswith("/"), part
        assert place.exists(), part
        assert graph[part]["@type"] == ("Dataset" if part.endswith("/") else "File")


def test_originals_are_named_and_are_no_part_of_a_crate(graph):
    text = json.dumps(list(graph.values()))

    assert "identified/" not in text
    assert f"#raw_session-{ONE}" in graph
    assert f"#{DROP}" in graph


def test_each_result_of_a_crate_has_the_action_that_made_it(graph, trees):
    actions = [item for item in graph.values() if item["@type"] == "CreateAction"]

    assert len(actions) == len(trees)
    for action in actions:
        # Process Run Crate 0.5.
        assert {"instrument", "object", "result"} <= action.keys()
        assert all(
            graph[each["@id"]]["@type"] == "SoftwareApplication"
            for each in action["instrument"]
        )


def test_bids_links_lead_from_a_derived_file_to_its_image(study, trees):
    files = describe_datasets(study.home.root, STUDY, trees)["files"]

    realigned = f"derivatives/demo/motion/sub-A/ses-1/{REALIGNED.format(ONE)}.nii.gz"
    assert files[realigned] == [f"bids/demo/sub-A/ses-1/{BOLD.format(ONE)}.nii.gz"]


def _names_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if value.keys() == {"@id"}:
            yield value["@id"]
        for inner in value.values():
            yield from _names_in(inner)
    if isinstance(value, list):
        for inner in value:
            yield from _names_in(inner)
