"""Results of a study as an RO-Crate 1.1, one action a result (Process Run Crate)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from imaging_platform.model.layout import IDENTIFIED_ZONES
from imaging_platform.provenance.lineage import Origin
from imaging_platform.provenance.record import Record
from imaging_platform.provenance.trees import Tree, Trees, resolve_input

METADATA_NAME = "ro-crate-metadata.json"
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
VERSION = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
_NO_LICENSE = "No licence was given; ask the owner of the study."

Item = dict[str, Any]  # a node of JSON-LD


@dataclass(frozen=True)
class Crate:
    """
    What a crate says of itself (RO-Crate 1.1, root data entity).

    Parameters
    ----------
    name, description
        For people.
    published
        Day of the export, ISO 8601.
    license
        Name or address of the licence; empty when none was given.
    """

    name: str
    description: str
    published: str
    license: str = ""


def describe_crate(
    crate: Crate,
    trees: Trees,
    *,
    origins: Mapping[str, Iterable[Origin]],
    outputs: Mapping[str, Mapping[str, str]],
) -> Item:
    """
    Return the content of ``ro-crate-metadata.json`` of the folder that holds the trees.

    Originals and drops are named and are no part of the crate.

    Parameters
    ----------
    crate
        What it says of itself.
    trees
        The results, by `Tree.id`; their keys are paths of the crate, empty for one
        whose files stand among those of others.
    origins
        What brought each session, by session key.
    outputs
        Content digest of each file, by `Tree.id`; those left out list no files.
    """
    items: dict[str, Item] = {}
    parts, actions = [], []
    for tree in trees.values():
        files = _files(tree, outputs.get(tree.id, {}))
        tree_item = _describe_tree(tree, files)
        action = _describe_action(tree, trees)
        for item in (
            tree_item,
            action,
            *files,
            *_used(tree, trees),
            *_tools(tree.record),
        ):
            items.setdefault(item["@id"], item)
        if tree.name == "raw_session":
            for item in _drops(origins.get(tree.partition, ())):
                items.setdefault(item["@id"], item)
                action["object"].append({"@id": item["@id"]})
        actions.append({"@id": action["@id"]})
        if not _is_original(tree):
            parts += [{"@id": each["@id"]} for each in (tree_item, *files)]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": crate.name,
        "description": crate.description,
        "datePublished": crate.published,
        "license": crate.license or _NO_LICENSE,
        "conformsTo": {"@id": PROFILE},
        "hasPart": parts,
        "mentions": actions,
    }
    descriptor = {
        "@id": METADATA_NAME,
        "@type": "CreativeWork",
        "conformsTo": {"@id": VERSION},
        "about": {"@id": "./"},
    }
    profile = {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate"}
    ordered = [items[name] for name in sorted(items)]
    graph = [descriptor, root, profile, *ordered]
    return {"@context": [CONTEXT, _TERMS], "@graph": graph}


def _is_original(tree: Tree) -> bool:
    return tree.key.split("/")[0] in IDENTIFIED_ZONES


def _tree_name(tree: Tree) -> str:
    is_named = _is_original(tree) or not tree.key
    return f"#{_plain(tree.id)}" if is_named else f"{tree.key}/"


def _describe_tree(tree: Tree, files: list[Item]) -> Item:
    item: Item = {
        "@id": _tree_name(tree),
        "@type": "Dataset" if tree.key and not _is_original(tree) else "CreativeWork",
        "name": tree.id,
        "identifier": f"sha256:{tree.record.data_version}",
    }
    if files:
        item["hasPart"] = [{"@id": file["@id"]} for file in files]
    return item


def _files(tree: Tree, outputs: Mapping[str, str]) -> list[Item]:
    if _is_original(tree):
        return []
    return [
        {
            "@id": f"{tree.key}/{name}".lstrip("/"),
            "@type": "File",
            "name": name,
            "sha256": digest,
        }
        for name, digest in outputs.items()
    ]


def _describe_action(tree: Tree, trees: Trees) -> Item:
    record = tree.record
    return {
        "@id": f"#making-{_plain(tree.id)}",
        "@type": "CreateAction",
        "name": f"Making {tree.id}, code version {record.code_version}",
        "instrument": [{"@id": item["@id"]} for item in _programs(record)],
        "object": [{"@id": item["@id"]} for item in _used(tree, trees)],
        "result": [{"@id": _tree_name(tree)}],
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
    }


def _used(tree: Tree, trees: Trees) -> list[Item]:
    """Return what a result was made from: results, other inputs, parameters."""
    used = []
    for name, version in tree.record.inputs.items():
        source = trees.get(resolve_input(tree, name))
        if source is not None and source.record.data_version == version:
            used.append(_describe_tree(source, []))
            continue
        label = resolve_input(tree, name)
        used.append(
            {
                "@id": f"#{_plain(label)}-{version}",
                "@type": "CreativeWork",
                "name": label,
                "identifier": version,
            }
        )
    if tree.record.parameters:
        text = json.dumps(dict(tree.record.parameters), sort_keys=True)
        used.append(
            {
                "@id": f"#parameters-{_plain(tree.id)}",
                "@type": "PropertyValue",
                "name": "parameters",
                "value": text,
            }
        )
    return used


def _drops(origins: Iterable[Origin]) -> list[Item]:
    names = sorted({origin.drop_id for origin in origins})
    return [{"@id": f"#{n}", "@type": "CreativeWork", "name": n} for n in names]


def _programs(record: Record) -> list[Item]:
    """Return what ran: the product, and each outside tool."""
    programs: list[Item] = []
    if record.software:
        said = record.software
        programs.append(
            {
                "@id": f"#{said['name']}-{said['revision']}",
                "@type": "SoftwareApplication",
                "name": said["name"],
                "softwareVersion": f"{said['version']} (sha256:{said['revision']})",
                "operatingSystem": f"{said['system']} {said['machine']}",
                "runtimePlatform": f"Python {said['python']}",
                "softwareRequirements": [
                    {"@id": f"#package-{name}-{version}"}
                    for name, version in said["packages"].items()
                ],
            }
        )
    for name, version in sorted(record.tools.items()):
        programs.append(
            {
                "@id": f"#tool-{name}-{version}",
                "@type": "SoftwareApplication",
                "name": name,
                "softwareVersion": version,
                "sha256": record.tool_digests.get(name, ""),
            }
        )
    return programs


def _tools(record: Record) -> list[Item]:
    """Return what ran, and the packages that it needs."""
    packages = record.software.get("packages", {}) if record.software else {}
    return [
        *_programs(record),
        *(
            {
                "@id": f"#package-{name}-{version}",
                "@type": "SoftwareApplication",
                "name": name,
                "softwareVersion": version,
            }
            for name, version in packages.items()
        ),
    ]


def _plain(name: str) -> str:
    return name.replace("[", "-").rstrip("]")
