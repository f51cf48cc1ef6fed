"""Rules from other converters: XNAT's ``bidsmap.json`` and dcm2bids 2 and 3."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from imaging_platform.bids.criteria import Untranslatable, translate_criteria
from imaging_platform.bids.decisions import DATATYPES
from imaging_platform.bids.settings import StudyRule
from imaging_platform.bids.vocabulary import find_nearest, load_vocabulary
from imaging_platform.model.config import say_place
from imaging_platform.model.errors import BadConfig

_TIED = (
    "Fieldmaps are tied to scans in each session, from shim and time "
    "(IntendedFor and B0FieldSource)."
)
_GENERAL = {
    "dcm2niixOptions": "dcm2niix is called in one way, so that its output is known.",
    "compKeys": "Series are ordered by time of acquisition.",
    "dup_method": "Repetitions are numbered by run in order of time.",
    "extractors": "Entities come from rules, ReproIn names and headers.",
    "auto_extract_entities": "Echo, direction and part come from headers anyway.",
    "post_op": "The platform runs no command of a configuration.",
    "bids_uri": "IntendedFor is always written as a BIDS URI.",
    "do_not_reorder_entities": "Entities always stand in the order of the standard.",
    "defaceTpl": "Defacing is an asset of its own.",
}
_SNAKE = {
    "dataType": "datatype",
    "modalityLabel": "suffix",
    "customLabels": "custom_entities",
    "customEntities": "custom_entities",
    "sidecarChanges": "sidecar_changes",
    "IntendedFor": "intended_for",
    "intendedFor": "intended_for",
    "searchMethod": "search_method",
    "caseSensitive": "case_sensitive",
    "dupMethod": "dup_method",
    "postOp": "post_op",
}
_TIES = frozenset({"IntendedFor", "B0FieldSource", "B0FieldIdentifier"})
_KNOWN = frozenset(
    {
        "criteria",
        "custom_entities",
        "datatype",
        "id",
        "intended_for",
        "sidecar_changes",
        "suffix",
    }
)


@dataclass(frozen=True)
class Remark:
    """
    What became otherwise, or could not be taken over.

    Parameters
    ----------
    where
        Place in the imported file.
    what
        What stands there.
    why
        What was done instead, and why.
    """

    where: str
    what: str
    why: str


@dataclass(frozen=True)
class ImportedRules:
    """
    Rules of a study made from a file of another converter.

    Parameters
    ----------
    source
        ``XNAT bidsmap`` or ``dcm2bids``.
    rules
        As the study file has them, each of them valid.
    remarks
        Everything else that the file says, with what became of it.
    """

    source: str
    rules: tuple[Mapping[str, Any], ...]  # YAML
    remarks: tuple[Remark, ...]

    def to_yaml(self) -> str:
        """Return a snippet for ``study.yaml``; remarks are comments above it."""
        lines = [f"# From a {self.source} of {len(self.rules)} usable entries."]
        lines += [f"# {_one_line(r.where, r.what)}: {r.why}" for r in self.remarks]
        listed = {"bids": {"rules": [dict(rule) for rule in self.rules]}}
        text = yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=80)
        return "\n".join([*lines, text])


def import_rules(text: str) -> ImportedRules:
    """
    Translate the content of a ``bidsmap.json`` or a dcm2bids configuration.

    Parameters
    ----------
    text
        The file's content, JSON.

    Raises
    ------
    BadConfig
        It is no JSON, or neither of the two formats.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 0)
        raise BadConfig(
            f"The file of rules is not valid JSON (line {line}).",
            fix="Correct the line, or export the file again.",
        ) from None
    if isinstance(content, Mapping) and isinstance(content.get("bidsmap"), list):
        content = content["bidsmap"]
    if isinstance(content, list):
        return _import_bidsmap(content)
    if isinstance(content, Mapping) and isinstance(content.get("descriptions"), list):
        return _import_dcm2bids(content)
    raise BadConfig(
        "The file is no bidsmap.json (a list of series_description and bidsname) and "
        "no dcm2bids configuration (descriptions).",
        fix="Give one of these two.",
    )


def _import_bidsmap(entries: Sequence[Any]) -> ImportedRules:  # JSON
    remarks: list[Remark] = []
    rules: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(entries):
        where = f"entry {number}"
        found = entry if isinstance(entry, Mapping) else {}
        series, name = found.get("series_description"), found.get("bidsname")
        if not isinstance(series, str) or not isinstance(name, str) or not series:
            remarks.append(
                Remark(
                    where, _brief(entry), "It has no series_description or bidsname."
                )
            )
            continue
        try:
            rule = {"match": {"SeriesDescription": _escape(series)}}
            rule |= _read_name(name, where, remarks)
            rules_of_same = rules.pop(series.lower(), None)
            rules[series.lower()] = _proved(rule)
        except Untranslatable as error:
            remarks.append(Remark(where, f"{series}: {name}", str(error)))
            continue
        if rules_of_same is not None:
            why = "A later entry of the same series takes its place, as in XNAT."
            remarks.append(Remark(where, series, why))
    return ImportedRules("XNAT bidsmap", tuple(rules.values()), tuple(remarks))


def _import_dcm2bids(config: Mapping[str, Any]) -> ImportedRules:  # JSON
    remarks: list[Remark] = []
    plain = {_SNAKE.get(key, key): value for key, value in config.items()}
    method = plain.get("search_method", "fnmatch")
    for key, value in plain.items():
        if key in _GENERAL and value not in (None, "", [], {}):
            remarks.append(Remark(key, _brief(value), _GENERAL[key]))
        elif key not in {"descriptions", "search_method", "case_sensitive", *_GENERAL}:
            remarks.append(Remark(key, _brief(value), "It is not known here."))
    if plain.get("case_sensitive", True):
        why = "Tests of a rule ignore case; look for series that differ in case only."
        remarks.append(Remark("case_sensitive", "true", why))
    rules = []
    for number, description in enumerate(plain["descriptions"]):
        where = f"description {number}"
        try:
            rules.append(_read_description(description, str(method), where, remarks))
        except Untranslatable as error:
            remarks.append(Remark(where, _brief(description), str(error)))
    return ImportedRules("dcm2bids configuration", tuple(rules), tuple(remarks))


def _read_description(
    description: Any,  # JSON
    method: str,
    where: str,
    remarks: list[Remark],
) -> dict[str, Any]:  # YAML
    if not isinstance(description, Mapping):
        raise Untranslatable("A description is a mapping.")
    plain = {_SNAKE.get(key, key): value for key, value in description.items()}
    match, changed = translate_criteria(plain.get("criteria"), method)
    datatype = str(plain.get("datatype", ""))
    suffix = str(plain.get("suffix", "")).lstrip("_")
    entities = plain.get("custom_entities") or []
    parts = entities if isinstance(entities, list) else str(entities).split("_")
    label = _read_label(
        [str(part).strip("_") for part in parts], suffix, where, remarks
    )
    rule = {"name": str(plain["id"])[:64]} if plain.get("id") else {}
    rule |= {"match": match, "datatype": _known_datatype(datatype), **label}
    metadata = _read_changes(plain.get("sidecar_changes"), label, where, remarks)
    if metadata:
        rule["metadata"] = metadata
    proved = _proved(rule)
    # Only now: a description that is left out has one reason, not several.
    remarks += [Remark(where, what, why) for what, why in changed]
    if plain.get("intended_for") not in (None, "", []):
        remarks.append(Remark(where, "IntendedFor", _TIED))
    for key in sorted({str(key) for key in plain} - _KNOWN):
        remarks.append(Remark(where, key, "It is not known here."))
    return proved


def _read_name(name: str, where: str, remarks: list[Remark]) -> dict[str, Any]:  # YAML
    """Return the label that a BIDS name of XNAT means; the datatype follows from it."""
    *parts, suffix = name.removesuffix(".nii.gz").rsplit("/", 1)[-1].split("_")
    label = _read_label(parts, suffix, where, remarks)
    homes = load_vocabulary().datatypes(label["suffix"])
    given = name.split("/")[0] if "/" in name else ""
    if given in homes:
        return {"datatype": given, **label}
    if len(homes) > 1:
        entities = label.get("entities", {})
        preferred = "func" if "task" in entities else "perf" if "perf" in homes else ""
        homes = [preferred] if preferred in homes else homes
    if len(homes) != 1:
        listed = " or ".join(homes) or "no datatype"
        raise Untranslatable(
            f"{label['suffix']} belongs to {listed}; write it yourself."
        )
    return {"datatype": homes[0], **label}


def _read_label(
    parts: Sequence[str], suffix: str, where: str, remarks: list[Remark]
) -> dict[str, Any]:  # YAML
    words = load_vocabulary()
    known = sorted({name for _, name in words.names})
    near = find_nearest(suffix, known)
    if suffix not in known:
        if near.lower() != suffix.lower():
            raise Untranslatable(f"{suffix or 'nothing'} is no suffix of a BIDS image.")
        remarks.append(Remark(where, suffix, f"The suffix is written {near}."))
    entities: dict[str, str] = {}
    for part in filter(None, parts):
        name, dash, label = part.partition("-")
        if name in ("sub", "ses"):
            remarks.append(Remark(where, part, "Subject and session are not a rule's."))
        elif not dash or not label:
            why = "It is no entity with a label; headers tell it where they can."
            remarks.append(Remark(where, part, why))
        else:
            entities[name] = label
    return {"suffix": near} | ({"entities": entities} if entities else {})


def _known_datatype(datatype: str) -> str:
    if datatype not in DATATYPES:
        near = find_nearest(datatype, DATATYPES)
        if near.lower() != datatype.lower() or not near:
            raise Untranslatable(
                f"{datatype or 'nothing'} is no datatype that images are converted to."
            )
        return near
    return datatype


def _read_changes(
    changes: Any,  # JSON
    label: Mapping[str, Any],  # YAML
    where: str,
    remarks: list[Remark],
) -> dict[str, Any]:  # YAML
    metadata: dict[str, Any] = {}
    task = label.get("entities", {}).get("task")
    for key, value in (changes if isinstance(changes, Mapping) else {}).items():
        if key in _TIES:
            remarks.append(Remark(where, key, _TIED))
        elif value == "":
            remarks.append(Remark(where, key, "A sidecar key cannot be removed."))
        elif not (key == "TaskName" and value == task):
            metadata[key] = value
    return metadata


def _proved(rule: dict[str, Any]) -> dict[str, Any]:  # YAML
    """Return a rule that the study file would take; refuse any other."""
    try:
        StudyRule.model_validate(rule)
    except ValidationError as error:
        first = error.errors()[0]
        said = str(first["msg"]).removeprefix("Value error, ")
        raise Untranslatable(f"{say_place(first['loc'])}: {said}.") from None
    return rule


def _escape(text: str) -> str:
    """Return a shell pattern that fits exactly this text."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text)


def _brief(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _one_line(*parts: str) -> str:
    return " ".join(", ".join(part for part in parts if part).split())
