"""Errors and risks in the rules of a study, told in the words of BIDS and DICOM."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from imaging_platform.bids.decisions import DATATYPES, ENTITY_ORDER
from imaging_platform.bids.metadata import OPEN
from imaging_platform.bids.rule_overlap import find_same_names, find_shadowed
from imaging_platform.bids.settings import BidsSettings, StudyRule
from imaging_platform.bids.stored import STORED_KEYS
from imaging_platform.bids.study_rules import DICOM_PREFIX, IMAGE_FIELDS
from imaging_platform.bids.vocabulary import (
    FIXED_LABELS,
    Vocabulary,
    find_nearest,
    load_vocabulary,
)
from imaging_platform.model.config import say_place
from imaging_platform.model.findings import Finding

OTHER_SIDECAR_KEYS = frozenset(
    {
        "AccessionNumber",
        "BodyPartExamined",
        "ConversionSoftware",
        "ConversionSoftwareVersion",
        "DeviceSerialNumber",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "InstitutionName",
        "PatientSex",
        "ProcedureStepDescription",
        "StationName",
        "StudyDescription",
        "StudyID",
    }
)
"""Keys that dcm2niix writes and that are kept only when a rule names them."""

_LARGEST_S = {"EchoTime": 1.0, "RepetitionTime": 100.0, "InversionTime": 100.0}
"""Times from here on are milliseconds that were meant as seconds."""

_OURS = frozenset({"IntendedFor", "B0FieldIdentifier", "B0FieldSource"})
_SUPPLIED = frozenset({"task", "echo"})
_REGEX_SIGNS = re.compile(r"\.\*|\.\+|\\[dws]|^\^|\$$|\(\?")


def lint_rules(rules: object) -> tuple[Finding, ...]:
    """
    Return the findings of ``bids.rules``, by rule, errors first within each.

    Parameters
    ----------
    rules
        The list as YAML has it; it need not be valid.
    """
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        return (
            Finding("error", "bids.rules", "Rules are a list.", "Begin each with `-`."),
        )
    words = load_vocabulary()
    found: list[Finding] = []
    valid: dict[int, StudyRule] = {}
    for number, raw in enumerate(rules):
        place = f"bids.rules[{number}]"
        own = list(_lint_rule(raw, place, words))
        if not any(one.level == "error" for one in own):
            try:
                valid[number] = StudyRule.model_validate(raw)
            except ValidationError as error:
                own += [_told_by_model(each, place) for each in error.errors()]
        found += sorted(own, key=lambda one: one.level != "error")
    return (*found, *_lint_together(valid))


def lint_settings(settings: BidsSettings) -> tuple[Finding, ...]:
    """Return the findings of rules that are valid already."""
    dumped = settings.model_dump(mode="json", exclude_defaults=True)
    return lint_rules(dumped.get("rules", []))


def _lint_together(rules: Mapping[int, StudyRule]) -> Iterator[Finding]:
    for late, early in find_shadowed(rules):
        yield Finding(
            "error",
            f"bids.rules[{late}]",
            f"The rule is unreachable: all that it matches is decided by rule {early} "
            "before it.",
            f"Put it above bids.rules[{early}], or remove it.",
        )
    for late, early in find_same_names(rules):
        yield Finding(
            "risk",
            f"bids.rules[{late}].entities.run",
            f"Rule {early} gives the same name; where a session has both, one of them "
            "gets another run.",
            "Leave run out, so that runs are numbered in order of time.",
        )


def _lint_rule(raw: object, place: str, words: Vocabulary) -> Iterator[Finding]:
    if not isinstance(raw, Mapping):
        yield Finding("error", place, "A rule is a mapping.", "Give it match: first.")
        return
    for key in raw:
        if key not in StudyRule.model_fields:
            yield _unknown(f"{place}.{key}", "key", str(key), StudyRule.model_fields)
    yield from _lint_label(raw, place, words)
    if isinstance(match := raw.get("match"), Mapping):
        for field, test in match.items():
            yield from _lint_field(str(field), f"{place}.match", words)
            yield from _lint_test(str(field), test, f"{place}.match.{field}")
    if isinstance(metadata := raw.get("metadata"), Mapping):
        for key, value in metadata.items():
            yield from _lint_metadata(str(key), value, f"{place}.metadata.{key}", words)


def _lint_label(
    raw: Mapping[str, Any],  # YAML
    place: str,
    words: Vocabulary,
) -> Iterator[Finding]:
    datatype, suffix = raw.get("datatype"), raw.get("suffix")
    if datatype is not None and datatype not in DATATYPES:
        yield _unknown(f"{place}.datatype", "datatype", str(datatype), DATATYPES)
    elif datatype is not None and suffix is not None:
        yield from _lint_suffix(datatype, str(suffix), f"{place}.suffix", words)
    entities = raw.get("entities")
    if not isinstance(entities, Mapping):
        return
    known = []
    for name, label in entities.items():
        findings = list(_lint_entity(str(name), label, f"{place}.entities", words))
        known += [] if findings else [str(name)]
        yield from findings
    ordered = sorted(known, key=ENTITY_ORDER.index)
    if known != ordered:
        yield Finding(
            "risk",
            f"{place}.entities",
            f"The entities stand in another order than in a BIDS name: "
            f"{', '.join(known)}.",
            f"Names come out right; write {', '.join(ordered)}.",
        )
    if rule := words.names.get((str(datatype), str(suffix))):
        yield from _lint_together_with_suffix(
            known, rule.allowed, rule.required, suffix=str(suffix), place=place
        )


def _lint_suffix(
    datatype: str, suffix: str, place: str, words: Vocabulary
) -> Iterator[Finding]:
    if (datatype, suffix) in words.names:
        return
    homes = words.datatypes(suffix)
    if homes:
        yield Finding(
            "error",
            place,
            f"BIDS has no {datatype}/{suffix}; {suffix} belongs to "
            f"{' or '.join(homes)}.",
            f"Write datatype: {homes[0]}, or take a suffix of {datatype}.",
        )
        return
    known = words.suffixes(datatype)
    near = find_nearest(suffix, known)
    yield _unknown(place, f"suffix of {datatype}", suffix, [near] if near else known)


def _lint_entity(
    name: str,
    label: object,
    place: str,
    words: Vocabulary,
) -> Iterator[Finding]:
    known = ENTITY_ORDER[2:]
    if name in ("sub", "ses", "subject", "session"):
        yield Finding(
            "error",
            f"{place}.{name}",
            f"{name} is given by the session, not by a rule.",
            "Remove it; see `labels` in the study file.",
        )
        return
    if name not in known:
        meant = words.long_names.get(name.strip().lower(), "")
        nearest = meant or find_nearest(name.strip(), known)
        yield _unknown(
            f"{place}.{name}", "entity", name, [nearest] if nearest else known
        )
        return
    text = str(label) if isinstance(label, int | str) else ""
    yield from _lint_entity_label(name, text, f"{place}.{name}", words)


def _lint_entity_label(
    name: str, text: str, place: str, words: Vocabulary
) -> Iterator[Finding]:
    if not re.fullmatch(r"[A-Za-z0-9]+", text):
        bare = re.sub(rf"^{name}-", "", text)
        meant = re.sub(r"[^A-Za-z0-9]", "", bare)
        yield Finding(
            "error",
            place,
            f"A label is letters and digits, without spaces, - and _; found {text!r}.",
            f"Write {name}: {meant}." if meant else "Give it a label.",
        )
    elif name in words.indices and not text.isdigit():
        yield Finding(
            "error",
            place,
            f"{name} is a number; found {text!r}.",
            "Write it in digits.",
        )
    elif name in FIXED_LABELS and text not in FIXED_LABELS[name]:
        yield _unknown(place, f"label of {name}", text, FIXED_LABELS[name])


def _lint_together_with_suffix(
    known: Sequence[str],
    allowed: frozenset[str],
    required: frozenset[str],
    *,
    suffix: str,
    place: str,
) -> Iterator[Finding]:
    for name in known:
        if name not in allowed:
            yield Finding(
                "error",
                f"{place}.entities.{name}",
                f"BIDS has no {name}- in the name of a {suffix}.",
                f"Remove it; {suffix} takes {', '.join(_in_order(allowed))}.",
            )
    lacking = _in_order(required - set(known) - _SUPPLIED)
    if lacking:
        yield Finding(
            "risk",
            f"{place}.entities",
            f"BIDS requires {', '.join(lacking)} in the name of a {suffix}.",
            "Give it, unless the images themselves tell it.",
        )


def _lint_field(field: str, place: str, words: Vocabulary) -> Iterator[Finding]:
    from imaging_platform.dicom.fields import is_keyword

    if field.startswith(DICOM_PREFIX):
        keyword = field.removeprefix(DICOM_PREFIX)
        if not is_keyword(keyword):
            yield Finding(
                "error",
                f"{place}.{field}",
                f"{keyword} is no keyword of the DICOM dictionary.",
                "Correct it; keywords are written like SeriesDescription.",
            )
        return
    known = {*STORED_KEYS, *IMAGE_FIELDS, *OTHER_SIDECAR_KEYS, *words.metadata}
    if field in known:
        return
    if is_keyword(field):
        yield Finding(
            "risk",
            f"{place}.{field}",
            f"{field} is a DICOM keyword that sidecars may not have.",
            f"Write {DICOM_PREFIX}{field} to read it from the images.",
        )
        return
    near = find_nearest(field, known)
    level = "error" if near else "risk"
    fix = f"Did you mean {near}?" if near else "Look into a sidecar for its name."
    yield Finding(level, f"{place}.{field}", f"No sidecar has a field {field}.", fix)


def _lint_test(
    field: str,
    test: Any,  # YAML
    place: str,
) -> Iterator[Finding]:
    parts = test if isinstance(test, Mapping) else {"glob": test}
    texts = parts.get("glob"), parts.get("any")
    globs = [t for one in texts for t in (one if isinstance(one, list) else [one])]
    for glob in globs:
        if isinstance(glob, str) and _REGEX_SIGNS.search(glob):
            yield Finding(
                "risk",
                place,
                f"{glob!r} is read as a shell pattern and looks like a regular "
                "expression.",
                "Write {regex: ...} for one.",
            )
        if isinstance(glob, str) and glob != glob.strip():
            yield Finding(
                "risk", place, f"{glob!r} begins or ends with a space.", "Remove it."
            )
    numbers = [parts.get(key) for key in ("min", "max", "minimum", "maximum")]
    yield from _lint_times(field, [*globs, *numbers], place)


def _lint_times(field: str, values: Sequence[object], place: str) -> Iterator[Finding]:
    limit = _LARGEST_S.get(field)
    numbers = [v for v in values if isinstance(v, int | float)]
    if limit is not None and any(number >= limit for number in numbers):
        yield Finding(
            "risk",
            place,
            f"{field} of a sidecar is in seconds; {max(numbers):g} looks like "
            "milliseconds.",
            f"Write it in seconds, or test {DICOM_PREFIX}{field}.",
        )


def _lint_metadata(
    key: str, value: object, place: str, words: Vocabulary
) -> Iterator[Finding]:
    if key in _OURS:
        yield Finding(
            "risk",
            place,
            f"{key} is worked out for each session, from shim and time.",
            "Leave it out, unless the same files are meant in every session.",
        )
    elif key not in words.metadata and key not in STORED_KEYS:
        near = find_nearest(key, words.metadata)
        fix = f"Did you mean {near}?" if near else "Keep it if it is your own."
        yield Finding("risk", place, f"BIDS has no sidecar key {key}.", fix)
    if OPEN in (value if isinstance(value, list) else [value]):
        yield Finding(
            "risk",
            place,
            f"{key} has no value yet: {OPEN} counts as none.",
            "Write the value, or leave the key out.",
        )
    yield from _lint_times(key, [value], place)


def _unknown(place: str, what: str, found: str, known: Any) -> Finding:  # names
    listed = sorted(known)
    near = listed[0] if len(listed) == 1 else find_nearest(found.strip(), listed)
    fix = f"Did you mean {near}?" if near else f"Known: {', '.join(listed)}."
    said = f"{found!r}" if found != found.strip() or not found else found
    if near and near.lower() == found.strip().lower():
        return Finding(
            "error",
            place,
            f"Case and spaces count: {said} is no {what}.",
            f"Write {near}.",
        )
    return Finding("error", place, f"There is no {what} {said}.", fix)


def _told_by_model(problem: Any, place: str) -> Finding:  # pydantic's ErrorDetails
    path = say_place(problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    return Finding(
        "error", f"{place}.{path}" if path else place, f"{message}.", "Correct it."
    )


def _in_order(names: frozenset[str]) -> list[str]:
    return sorted((n for n in names if n in ENTITY_ORDER), key=ENTITY_ORDER.index)
