"""Provenance of a study as W3C PROV-O in JSON-LD, with its own context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from imaging_platform.provenance.lineage import Origin
from imaging_platform.provenance.record import Record
from imaging_platform.provenance.trees import Tree, Trees, resolve_input

Item = dict[str, Any]  # a node of JSON-LD

CONTEXT = {
    "prov": "http://www.w3.org/ns/prov#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "schema": "http://schema.org/",
    "ip": "urn:imaging-platform:term:",
    "label": "rdfs:label",
    "used": {"@id": "prov:used", "@type": "@id"},
    "wasGeneratedBy": {"@id": "prov:wasGeneratedBy", "@type": "@id"},
    "wasDerivedFrom": {"@id": "prov:wasDerivedFrom", "@type": "@id"},
    "wasAssociatedWith": {"@id": "prov:wasAssociatedWith", "@type": "@id"},
    "hadMember": {"@id": "prov:hadMember", "@type": "@id"},
    "version": "schema:softwareVersion",
    "sha256": "ip:sha256",
    "place": "ip:place",
    "codeVersion": "ip:codeVersion",
    "parameters": {"@id": "ip:parameters", "@type": "@json"},
    "packages": {"@id": "ip:packages", "@type": "@json"},
    "environment": {"@id": "ip:environment", "@type": "@json"},
}
"""Terms of PROV-O (W3C Recommendation 2013), and names of our own for the rest."""


def describe_prov(
    study: str,
    trees: Trees,
    *,
    origins: Mapping[str, Iterable[Origin]],
    outputs: Mapping[str, Mapping[str, str]],
) -> Item:
    """
    Return a JSON-LD document that says what was made from what, by what.

    Parameters
    ----------
    study
        Name of the study.
    trees
        The results to describe, by `Tree.id`.
    origins
        What brought each session, by session key.
    outputs
        Content digest of each file, by `Tree.id`; those left out list no files.
    """
    items: dict[str, Item] = {}
    for tree in trees.values():
        result, activity = _entity(study, tree), _name(study, "making", tree.id)
        for item in _agents(tree.record):
            items[item["@id"]] = item
        used = {
            name: _name(study, resolve_input(tree, name), version)
            for name, version in tree.record.inputs.items()
        }
        for name, each in used.items():
            items.setdefault(each, _input(each, resolve_input(tree, name)))
        items[activity] = {
            "@id": activity,
            "@type": "prov:Activity",
            "label": f"making {tree.id}",
            "codeVersion": tree.record.code_version,
            "parameters": dict(tree.record.parameters),
            "used": sorted(used.values()),
            "wasAssociatedWith": [each["@id"] for each in _agents(tree.record)],
        }
        files = [
            _file(study, tree, name, digest)
            for name, digest in outputs.get(tree.id, {}).items()
        ]
        items |= {file["@id"]: file for file in files}
        items[result] = {
            "@id": result,
            "@type": ["prov:Entity", "prov:Collection"],
            "label": tree.id,
            "sha256": tree.record.data_version,
            "place": tree.key,
            "wasGeneratedBy": activity,
            "wasDerivedFrom": sorted(used.values()),
            **({"hadMember": [file["@id"] for file in files]} if files else {}),
        }
        if tree.name == "raw_session":
            _add_drops(study, tree, origins.get(tree.partition, ()), items)
    return {"@context": CONTEXT, "@graph": [items[name] for name in sorted(items)]}


def _entity(study: str, tree: Tree) -> str:
    return _name(study, tree.id, tree.record.data_version)


def _input(name: str, label: str) -> Item:
    """Return what is known of an input that is not described itself."""
    return {"@id": name, "@type": "prov:Entity", "label": label}


def _file(study: str, tree: Tree, name: str, digest: str) -> Item:
    return {
        "@id": _name(study, tree.id, f"{name}:{digest}"),
        "@type": "prov:Entity",
        "label": name,
        "sha256": digest,
        "place": f"{tree.key}/{name}",
    }


def _add_drops(
    study: str, raw: Tree, origins: Iterable[Origin], items: dict[str, Item]
) -> None:
    members = _name(study, "drop_index", raw.record.inputs.get("drop_index", ""))
    drops = sorted({origin.drop_id for origin in origins})
    items[members] = {
        "@id": members,
        "@type": ["prov:Entity", "prov:Collection"],
        "label": f"files of {raw.partition} as they arrived",
        "wasDerivedFrom": [_name(study, drop, "") for drop in drops],
    }
    for drop in drops:
        items[_name(study, drop, "")] = _input(_name(study, drop, ""), drop)


def _agents(record: Record) -> list[Item]:
    software = record.software
    agents = []
    if software:
        agents.append(
            {
                "@id": f"urn:imaging-platform:software:{software['revision']}",
                "@type": ["prov:Agent", "prov:SoftwareAgent"],
                "label": software["name"],
                "version": software["version"],
                "sha256": software["revision"],
                "packages": dict(software["packages"]),
                "environment": {
                    name: software[name] for name in ("python", "system", "machine")
                },
            }
        )
    for name, version in sorted(record.tools.items()):
        digest = record.tool_digests.get(name, "")
        agents.append(
            {
                "@id": f"urn:imaging-platform:tool:{name}:{digest or version}",
                "@type": ["prov:Agent", "prov:SoftwareAgent"],
                "label": name,
                "version": version,
                **({"sha256": digest} if digest else {}),
            }
        )
    return agents


def _name(study: str, what: str, version: str) -> str:
    """Return a URN; a bracket may not stand in one (RFC 3986, 2.2)."""
    plain = what.replace("[", ":").rstrip("]")
    tail = version.replace("[", ":").rstrip("]")
    return f"urn:imaging-platform:study:{study}:{plain}" + (f":{tail}" if tail else "")
